/**
 * The last stage's part of a session: it takes the prompt from the requester, feeds the ring, chooses each token, streams
 * it, and ends the answer. The ring closes here, without the requester; a last stage that took over begins with the tokens
 * that have arrived so far. docs/protocol.md [HO].
 */
import type { LinkHistory } from '../../link/history.ts'
import type { InLink } from '../../link/in-link.ts'
import { OutLink } from '../../link/out-link.ts'
import type { Outlet } from '../../link/outlet.ts'
import { concatBytes, type Bytes } from '../../protocol/bytes.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId } from '../../protocol/ids.ts'
import { maxUnacknowledged, requesterGoneMs } from '../../protocol/limits.ts'
import type { Finish, LinkMessage } from '../../protocol/link-messages.ts'
import { tokenBytes } from '../../protocol/receipt.ts'
import { packTensors, unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import { answerLink, logitsLink, promptLink } from '../../protocol/ticket.ts'
import type { HistoryStep } from '../../link/history.ts'
import { chooseToken } from './last-logits.ts'
import { AnswerEnd } from './answer-end.ts'
import { AnswerOdds } from './answer-odds.ts'
import { LogitsLink } from './logits-link.ts'
import { RoundWatch } from './round-watch.ts'
import { feedSpecs, packTokens, readTokens } from './step-tensors.ts'
import type { SessionPorts, StageSession } from './session.ts'

/** A requester signs within milliseconds of sending. */
const promptSignatureMs = 2_000

type Start = Extract<LinkMessage, { t: 'start' }>
type End = Extract<LinkMessage, { t: 'end' }>

export class AnswerHost {
  readonly #session: StageSession
  readonly #ports: SessionPorts
  readonly #prompt: InLink
  readonly #answer: OutLink
  /** To the first stage; the session's own way out. */
  readonly #ring: OutLink
  readonly #logits: LogitsLink
  readonly #odds = new AnswerOdds()
  readonly #watch: RoundWatch
  /** Where the requester is heard from; and where the answer goes, once it has said in this generation what it holds. */
  #requester: Outlet | undefined
  #answering: Outlet | undefined
  #gone: ReturnType<typeof setTimeout> | undefined
  #start: Start | undefined
  readonly #promptParts: Bytes[] = []
  #promptHeld = 0
  readonly #tokens: number[] = []
  /** Of the tokens that a last stage before this one chose, so many have come; and what this one would have chosen. */
  #answeredHeld = 0
  readonly #own = new Map<number, number>()
  /** The token after them, where the ring was faster than the requester. */
  #ahead: { readonly position: number; readonly id: number; readonly computeMicros: number; readonly final: boolean } | undefined
  /** What `run` answered: packed outputs. */
  #result: Bytes | undefined
  #acked = 0
  /** Set when the answer is over. */
  #finish: Finish | undefined
  readonly #ending: AnswerEnd
  #over = false

  constructor(session: StageSession, ports: SessionPorts, ring: OutLink, logits?: LinkHistory) {
    this.#session = session
    this.#ports = ports
    this.#ring = ring
    this.#prompt = session.receiver()
    this.#answer = new OutLink(ports.identity)
    const keepRows = ports.engine.report.backend === 'webgpu'
    this.#logits = new LogitsLink(ports.identity, (history) => session.receiver(history), keepRows, logits)
    this.#ending = new AnswerEnd(session, ports, (end) => {
      const via = this.#answering
      void this.#answer.flush().then(() => via === this.#answering && via?.sendMessage(end))
    })
    this.#watch = new RoundWatch({
      now: () => performance.now(),
      stalled: (end, waitedMs) => ports.tellServer({ t: 'stalled', session: session.id, position: Math.max(0, end - 1), waitedMs }),
    })
  }

  /** A generation begins: the ring goes on from what was put on it, or is told of the end again. */
  enter(): void {
    const { ticket } = this.#session
    const { generation, requester, sampling } = ticket
    const { manifest } = this.#ports.engine
    const { id: peer, publicKey: key } = this.#ports.identity
    this.#prompt.begin(this.#session.linkKey(promptLink(ticket), feedSpecs(manifest).length), requester)
    if (sampling) this.#logits.enter(this.#session.linkKey(logitsLink(ticket), 1), { peer, key }, this.#session.self)
    if (generation === 0) return
    this.#answer.stop()
    this.#answering = undefined
    // The server's word may not reach the requester: it is passed on.
    this.#requester?.sendMessage({ t: 'open', ticket })
    if (this.#start && !this.#ending.roundOver) this.#resume(this.#ring.history.end)
    this.#ending.roundRing()
  }

  get inLinks(): InLink[] {
    return [this.#prompt, this.#logits.in]
  }

  /** Whether a peer sends on a link that ends here, the ring apart. */
  takes(link: number, from: PeerId): boolean {
    return this.inLinks.some((end) => end.link === link && end.sender === from)
  }

  history(link: number): LinkHistory | undefined {
    const { ticket } = this.#session
    if (link === promptLink(ticket)) return this.#prompt.history
    if (link === answerLink(ticket)) return this.#answer.history
    return link === logitsLink(ticket) && ticket.sampling ? this.#logits.history : undefined
  }

  histories(): LinkHistory[] {
    return [this.#prompt.history, this.#answer.history, this.#logits.history]
  }

  logitsRow(position: number): Uint8Array | undefined {
    return this.#logits.row(position)
  }

  // ---- From the requester ------------------------------------------------------------------------------------------

  message(message: LinkMessage, via: Outlet): void {
    switch (message.t) {
      case 'start':
        return this.#begin(message, via)
      case 'gap':
        if (message.link === answerLink(this.#session.ticket)) this.#sendAnswer(via, message.held)
        return
      case 'ack':
        return this.#acknowledged(message.position)
      case 'stop':
        return void this.#finishAnswer('aborted')
      case 'fault':
        return
      default:
        throw new ManyhandsError('bad-message', `A requester can't send '${message.t}'.`)
    }
  }

  receive(step: Step): void {
    if (step.link === promptLink(this.#session.ticket)) this.#receivePrompt(step)
    else this.#logits.in.accept(step, step.position)
  }

  custody(link: number, signedChunk: Uint8Array): void {
    this.inLinks.find((end) => end.link === link)?.custody(signedChunk)
  }

  /** Its channel closed: it is waited for, and the ring goes on until too much is unacknowledged. */
  requesterLost(link: Outlet): void {
    if ((this.#requester ?? link) !== link) return
    this.#requester = undefined
    if (this.#over || this.#gone !== undefined) return
    this.#gone = setTimeout(() => {
      this.#ending.arrived()
      void this.#finishAnswer('aborted')
    }, requesterGoneMs)
  }

  // ---- From the ring -----------------------------------------------------------------------------------------------

  cameRound(position: number): void {
    this.#watch.cameRound(position)
  }

  /** First row of a step whose logits are wanted: the prompt's last and everything after it. */
  logitsFrom(step: HistoryStep): number {
    if (!this.#start) return step.rows
    return Math.min(step.rows, Math.max(0, this.#start.promptLength - 1 - step.position))
  }

  /** Whether the token at a position has yet to be chosen here. */
  lacksToken(position: number): boolean {
    return this.#tokens.length <= position - (this.#start?.promptLength ?? 0) && this.#ahead?.position !== position
  }

  /** The stage's outputs of one step. */
  emit(step: HistoryStep, outputs: readonly TensorValue[], computeMicros: number): void {
    const { decoder } = this.#ports.engine.manifest
    if (this.#over || this.#finish || !this.#start) return
    if (!decoder) {
      this.#result = packTensors(outputs)
      this.#answer.push({ position: 0, rows: 1, emitFrom: 0, computeMicros, payload: this.#result })
      return void this.#finishAnswer('stop')
    }
    const position = step.position + step.rows
    const nth = position - this.#start.promptLength
    const logits = outputs[0]
    if (!logits || nth < 0) return
    const row = logits.bytes.subarray(logits.bytes.length - 4 * decoder.vocab)
    const id = chooseToken(row, position, this.#session.ticket.sampling)
    const finish = this.#finishAt(nth, id)
    const { answered, logprobs } = this.#start
    if (logprobs !== undefined && nth >= answered) this.#odds.add(position, row, id, logprobs)
    if (nth < answered) this.#compare(nth, id)
    else if (nth === this.#tokens.length) this.#choose(position, id, computeMicros, finish !== undefined)
    // The ring may be ahead of the tokens that the requester still has to bring.
    else if (nth > this.#tokens.length) this.#ahead = { position, id, computeMicros, final: finish !== undefined }
    if (this.#session.ticket.sampling) this.#logits.add(position, row, finish !== undefined)
    if (finish !== undefined && nth === this.#tokens.length - 1) void this.#finishAnswer(finish)
  }

  /** The end came back from upstream, and with it every signature. */
  ringEnded(): void {
    this.#ending.cameRound()
  }

  /** True when the answer is over and told of, and so nobody else is needed for it. */
  neighbourLost(): boolean {
    if (this.#ending.told) this.ringEnded()
    return this.#ending.told
  }

  /** It can't go on, and no other last stage could: the request itself is at fault, or nothing has happened for too long. */
  refuse(error: ManyhandsError): void {
    if (this.#over || this.#session.closed) return
    this.#over = true
    const { session, generation, requester } = this.#session.ticket
    this.#ports.tellServer({ t: 'fault', session, peer: requester.peer, error: error.toWire() })
    const end: End = { t: 'end', session, generation, finish: 'error', error: error.toWire() }
    this.#requester?.sendMessage(end)
    void this.#session.endRing(end).finally(() => this.#session.close())
  }

  closed(): void {
    this.#over = true
    this.#watch.stop()
    clearTimeout(this.#gone)
    this.#ending.giveUp()
  }

  // ---- Prompt ------------------------------------------------------------------------------------------------------

  #begin(start: Start, via: Outlet): void {
    const { ticket } = this.#session
    this.#requester = via
    clearTimeout(this.#gone)
    this.#gone = undefined
    // It may have said so before it heard of this generation.
    if (ticket.generation > 0) via.sendMessage({ t: 'open', ticket })
    // After a reroute everybody starts anew. A last stage that stayed knows it all, unless another served in between.
    if (this.#start && ticket.generation > 0) {
      if (start.answered > this.#tokens.length) this.#start = { ...this.#start, answered: start.answered }
      return
    }
    if (this.#start || (start.answered > 0 && ticket.generation === 0))
      throw new ManyhandsError('bad-message', 'A session can be started once, and then from its prompt.')
    if (start.promptLength > ticket.maxPositions || start.promptLength + start.answered > ticket.maxPositions + 1)
      throw new ManyhandsError('context-overflow', `The session was opened for ${ticket.maxPositions} positions.`)
    this.#start = start
    this.#acked = start.answered
    if (ticket.generation === 0) this.#sendAnswer(via, 0)
    else this.#resume(start.promptLength + start.answered)
  }

  /** The ring goes on from so many rows. */
  #resume(rows: number): void {
    if (this.#session.received < rows) this.#watch.reroute(rows)
    this.#session.resumeRing(rows)
  }

  /** Prompt ids, or a model's feeds: kept, and sent on round the ring as they are. After them, tokens that arrived before. */
  #receivePrompt(step: Step): void {
    if (this.#prompt.accept(step) !== 'new') return
    const start = this.#start
    if (!start) throw new ManyhandsError('bad-message', 'A prompt came before its start.')
    const { position, rows, payload } = step
    const due = Math.min(this.#promptHeld, start.promptLength) + this.#answeredHeld
    const room = start.promptLength + Math.max(start.answered, this.#tokens.length)
    if (position !== due || position + rows > (position < start.promptLength ? start.promptLength : room))
      throw new ManyhandsError('bad-message', `Prompt rows ${position} to ${position + rows} came where ${due} was due.`)
    const { manifest } = this.#ports.engine
    const { decoder } = manifest
    const values = unpackTensors(payload, feedSpecs(manifest))
    const ids = decoder ? readTokens(values[0] as TensorValue, rows, decoder.vocab) : []
    if (position >= start.promptLength) return this.#takeAnswered(position - start.promptLength, ids)
    this.#promptParts.push(decoder ? tokenBytes(ids) : (payload as Bytes))
    this.#promptHeld += rows
    this.#putOnRing({ position, rows, emitFrom: position, computeMicros: 0, payload })
    if (this.#promptHeld < start.promptLength) return
    this.#ring.cut()
    this.#feed()
  }

  /** A token that a last stage before this one chose; it is compared with what this one would have chosen. */
  #takeAnswered(nth: number, ids: readonly number[]): void {
    const [id] = ids
    if (ids.length !== 1 || id === undefined) throw new ManyhandsError('bad-message', 'Tokens of an answer go one by one.')
    this.#answeredHeld += 1
    if (nth < this.#tokens.length) return this.#compare(nth, id)
    const position = (this.#start as Start).promptLength + nth
    const finish = this.#finishAt(nth, id)
    this.#choose(position, id, 0, finish !== undefined)
    const own = this.#own.get(nth)
    if (own !== undefined) this.#compare(nth, own)
    if (own !== undefined && finish !== undefined) return void this.#finishAnswer(finish)
    const ahead = this.#ahead
    if (ahead?.position !== position + 1) return
    this.#ahead = undefined
    this.#choose(ahead.position, ahead.id, ahead.computeMicros, ahead.final)
    if (ahead.final) void this.#finishAnswer(this.#finishAt(nth + 1, ahead.id) as Finish)
  }

  /** Nobody signs for tokens that the model does not give: whoever brought them may have made them up. */
  #compare(nth: number, id: number): void {
    const token = this.#tokens[nth]
    if (token === undefined) this.#own.set(nth, id)
    else if (token !== id) this.refuse(new ManyhandsError('hash-mismatch', `Token ${nth} of the answer so far is not the model's.`))
  }

  // ---- Answer ------------------------------------------------------------------------------------------------------

  /** Why the answer ends with its nth token, if it does. */
  #finishAt(nth: number, id: number): Finish | undefined {
    const start = this.#start as Start
    if (this.#ports.engine.manifest.decoder?.eos.includes(id)) return 'stop'
    return nth + 1 >= start.maxTokens || start.promptLength + nth + 1 > this.#session.ticket.maxPositions ? 'length' : undefined
  }

  #choose(position: number, id: number, computeMicros: number, final: boolean): void {
    this.#tokens.push(id)
    // The ring first: the next step waits for it, the requester can wait a moment longer.
    if (!final) this.#feed()
    else this.#answer.cut()
    this.#answer.push({ position, rows: 1, emitFrom: position, computeMicros, payload: packTokens([id]) })
  }

  /** Puts the tokens on the ring that are not there yet, unless too much is unacknowledged. */
  #feed(force = false): void {
    const promptLength = this.#start?.promptLength ?? 0
    if (this.#over || !this.#start || this.#promptHeld < promptLength) return
    for (let nth = this.#ring.history.end - promptLength; nth < this.#tokens.length; nth++) {
      const id = this.#tokens[nth] as number
      if (this.#finishAt(nth, id) !== undefined || (!force && nth + 1 - this.#acked >= maxUnacknowledged)) return
      const position = promptLength + nth
      this.#putOnRing({ position, rows: 1, emitFrom: position, computeMicros: 0, payload: packTokens([id]) })
    }
  }

  #putOnRing(step: HistoryStep): void {
    this.#watch.sent(step.position + step.rows)
    this.#ring.push(step)
  }

  /** The requester has said what it holds; in return it hears what is held of its prompt. */
  #sendAnswer(via: Outlet, held: number): void {
    // Said again on another link, where the one before broke before anything came of it.
    if (this.#answering === via) return
    this.#answering = via
    this.#requester = via
    clearTimeout(this.#gone)
    this.#gone = undefined
    const { ticket } = this.#session
    const { session, generation } = ticket
    const { decoder } = this.#ports.engine.manifest
    const tensors = decoder ? 1 : this.#ports.engine.outputSpecs.length
    if (generation > 0) {
      const { promptLength = 0, answered = 0 } = this.#start ?? {}
      // One that has the prompt, signed for, and its tokens from itself needs nothing more.
      const complete = promptLength > 0 && this.#prompt.held === promptLength && answered === 0
      const asked = complete ? promptLength + this.#tokens.length : this.#prompt.held
      via.sendMessage({ t: 'gap', session, link: promptLink(ticket), generation, held: asked })
    }
    const key = this.#session.linkKey(answerLink(ticket), tensors)
    this.#answer.go(key, this.#odds.beside(key, via), held)
    this.#ending.toRequester()
  }

  #acknowledged(position: number): void {
    const promptLength = this.#start?.promptLength ?? 0
    if (this.#ending.made && position >= this.#answer.history.end) this.#ending.arrived()
    this.#odds.arrived(position)
    this.#acked = Math.max(this.#acked, Math.min(position - promptLength, this.#tokens.length))
    if (!this.#finish) this.#feed()
  }

  // ---- End ---------------------------------------------------------------------------------------------------------

  async #finishAnswer(finish: Finish): Promise<void> {
    if (this.#finish || this.#over) return
    this.#finish = finish
    this.#watch.stop()
    try {
      // What was held back goes round, so that the ring has what the requester has.
      if (finish === 'aborted') this.#feed(true)
      await this.#ending.make({
        finish,
        answer: this.#result ?? tokenBytes(this.#tokens),
        answerPositions: this.#result ? 1 : this.#tokens.length,
        prompt: concatBytes(this.#promptParts),
        promptPositions: this.#promptHeld,
        signed: async () => {
          // A short answer may be over before the requester's signature for its prompt is here; one that left gives none.
          await (finish === 'aborted' ? this.#prompt.settled() : this.#prompt.signed(promptSignatureMs))
          await this.#logits.flush()
        },
      })
    } catch (thrown) {
      this.#session.fail(asError(thrown))
    }
  }
}
