/**
 * The last stage's part of a session: it takes the prompt from the requester, feeds the ring, chooses each token, streams
 * it, and ends the answer. The ring closes here, without the requester. docs/protocol.md [HO].
 */
import type { CustodyReceiver, CustodySender } from '../../link/custody-link.ts'
import type { HistoryStep } from '../../link/history.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import { concatBytes, toHex, type Bytes } from '../../protocol/bytes.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import { maxUnacknowledged } from '../../protocol/limits.ts'
import type { Finish, LinkMessage } from '../../protocol/link-messages.ts'
import { answerHash, promptHash, signAnswer, tokenBytes } from '../../protocol/receipt.ts'
import { sampleToken } from '../../protocol/sampling.ts'
import { packTensors, unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import { answerLink, promptLink, ringLink, type TicketStage } from '../../protocol/ticket.ts'
import { feedSpecs, float32View, readTokens, writeTokens } from './step-tensors.ts'
import type { SessionPorts, StageSession } from './session.ts'

const greedy = { temperature: 0, topP: 1, seed: 0 }
/** A requester signs within milliseconds of sending. */
const promptSignatureMs = 2_000

type Start = Extract<LinkMessage, { t: 'start' }>

export class AnswerHost {
  readonly #session: StageSession
  readonly #ports: SessionPorts
  readonly #prompt: CustodyReceiver
  readonly #answer: Promise<{ link: PeerLink; sender: CustodySender }>
  /** To the first stage; undefined when this stage is the first as well. */
  readonly #ring: Promise<{ link: PeerLink; sender: CustodySender }> | undefined
  #start: Start | undefined
  readonly #promptParts: Bytes[] = []
  #promptHeld = 0
  readonly #tokens: number[] = []
  /** What `run` answered: packed outputs. */
  #result: Bytes | undefined
  #acked = 0
  /** The next ring step, held back while too much is unacknowledged. */
  #heldBack: HistoryStep | undefined
  #finishing = false

  constructor(session: StageSession, ports: SessionPorts) {
    this.#session = session
    this.#ports = ports
    const { ticket } = session
    const { decoder } = ports.engine.manifest
    this.#prompt = session.receiver(promptLink(ticket), ticket.requester.peer, feedSpecs(ports.engine.manifest).length)
    this.#answer = session.open(ticket.requester.peer, answerLink(ticket), decoder ? 1 : ports.engine.outputSpecs.length)
    const first = ticket.stages[0] as TicketStage
    this.#ring = ticket.stages.length > 1 ? session.open(first.peer, ringLink, feedSpecs(ports.engine.manifest).length) : undefined
    for (const link of [this.#answer, this.#ring]) link?.catch((thrown: unknown) => session.fail(asError(thrown)))
  }

  message(message: LinkMessage): void {
    switch (message.t) {
      case 'start':
        return this.#begin(message)
      case 'ack':
        return this.#acknowledged(message.position)
      case 'stop':
        return void this.#finish('aborted')
      default:
        throw new ManyhandsError('bad-message', `A requester can't send '${message.t}'.`)
    }
  }

  /** Prompt ids, or a model's feeds: kept, and sent on round the ring as they are. */
  receivePrompt(step: Step): void {
    if (step.link !== promptLink(this.#session.ticket))
      throw new ManyhandsError('bad-message', `Link ${step.link} does not end at this stage.`)
    if (!this.#prompt.accept(step)) return
    if (!this.#start) throw new ManyhandsError('bad-message', 'A prompt came before its start.')
    if (step.position !== this.#promptHeld || step.position + step.rows > this.#start.promptLength) {
      throw new ManyhandsError(
        'bad-message',
        `Prompt rows ${step.position} to ${step.position + step.rows} came where ${this.#promptHeld} was due.`,
      )
    }
    const { decoder } = this.#ports.engine.manifest
    const values = unpackTensors(step.payload, feedSpecs(this.#ports.engine.manifest))
    this.#promptParts.push(decoder ? tokenBytes(readTokens(values[0] as TensorValue, step.rows, decoder.vocab)) : (step.payload as Bytes))
    this.#promptHeld += step.rows
    void this.#feed({ position: step.position, rows: step.rows, emitFrom: step.position, computeMicros: 0, payload: step.payload })
  }

  custody(signedChunk: Uint8Array): void {
    this.#prompt.custody(signedChunk)
  }

  /** First row of a step whose logits are wanted: the prompt's last and everything after it. */
  logitsFrom(step: HistoryStep): number {
    if (!this.#start) return step.rows
    return Math.min(step.rows, Math.max(0, this.#start.promptLength - 1 - step.position))
  }

  /** The stage's outputs of one step. */
  async emit(step: HistoryStep, outputs: readonly TensorValue[], computeMicros: number): Promise<void> {
    const { decoder } = this.#ports.engine.manifest
    if (this.#finishing || !this.#start) return
    if (!decoder) {
      this.#result = packTensors(outputs)
      ;(await this.#answer).sender.send({ position: 0, rows: 1, emitFrom: 0, computeMicros, payload: this.#result })
      return this.#finish('stop')
    }
    const logits = outputs[0]
    if (!logits || step.position + step.rows < this.#start.promptLength) return
    const rows = float32View(logits.bytes)
    const position = step.position + step.rows
    const id = sampleToken(rows.subarray(rows.length - decoder.vocab), position, this.#session.ticket.sampling ?? greedy)
    this.#tokens.push(id)
    const finish: Finish | undefined = decoder.eos.includes(id)
      ? 'stop'
      : this.#tokens.length >= this.#start.maxTokens || position + 1 > this.#session.ticket.maxPositions
        ? 'length'
        : undefined
    const payload = packTensors([writeTokens([id])])
    // The ring first: the next step waits for it, the requester can wait a moment longer.
    if (finish === undefined) {
      const next = { position, rows: 1, emitFrom: position, computeMicros: 0, payload }
      if (this.#tokens.length - this.#acked < maxUnacknowledged) await this.#feed(next)
      else this.#heldBack = next
    }
    ;(await this.#answer).sender.send({ position, rows: 1, emitFrom: position, computeMicros, payload })
    if (finish !== undefined) await this.#finish(finish)
  }

  /** Nobody is there to read on: the work ends. */
  requesterLost(): void {
    void this.#finish('aborted')
  }

  failed(error: ManyhandsError): void {
    if (this.#finishing) return
    this.#finishing = true
    const { session, generation } = this.#session.ticket
    const end: LinkMessage = { t: 'end', session, generation, finish: 'error', error: error.toWire() }
    for (const way of [this.#answer, this.#ring]) way?.then(({ link }) => link.sendMessage(end)).catch(() => undefined)
  }

  closed(): void {
    this.#finishing = true
    this.#heldBack = undefined
  }

  #begin(start: Start): void {
    if (this.#start) throw new ManyhandsError('bad-message', 'A session can be started once.')
    const { ticket } = this.#session
    if (start.promptLength > ticket.maxPositions)
      throw new ManyhandsError('context-overflow', `The session was opened for ${ticket.maxPositions} positions.`)
    this.#start = start
  }

  #acknowledged(position: number): void {
    const start = this.#start?.promptLength ?? 0
    this.#acked = Math.max(this.#acked, Math.min(position - start, this.#tokens.length))
    if (!this.#heldBack || this.#tokens.length - this.#acked >= maxUnacknowledged) return
    const next = this.#heldBack
    this.#heldBack = undefined
    void this.#feed(next)
  }

  async #feed(step: HistoryStep): Promise<void> {
    try {
      if (this.#ring) (await this.#ring).sender.send(step)
      else this.#session.enqueue(step)
    } catch (thrown) {
      this.#session.fail(asError(thrown))
    }
  }

  async #finish(finish: Finish): Promise<void> {
    if (this.#finishing) return
    this.#finishing = true
    const { session, generation } = this.#session.ticket
    try {
      const answer = this.#result ?? tokenBytes(this.#tokens)
      const signature = await signAnswer(session, answer, this.#ports.identity.privateKey)
      const end: LinkMessage = { t: 'end', session, generation, finish, signature: toHex(signature) }
      // A short answer may be over before the requester's signature for its prompt is here; one that left gives none.
      await (finish === 'aborted' ? this.#prompt.settled() : this.#prompt.signed(promptSignatureMs))
      // A requester that left can't be told; its work still gets its receipt.
      await this.#answer.then(({ link, sender }) => sender.flush().then(() => link.sendMessage(end))).catch(() => undefined)
      if (this.#ring) {
        const { link, sender } = await this.#ring
        await sender.flush()
        link.sendMessage(end)
      }
      this.#ports.tellServer({
        t: 'done',
        session,
        finish,
        promptPositions: this.#promptHeld,
        answerPositions: this.#result ? 1 : this.#tokens.length,
        promptHash: await promptHash(concatBytes(this.#promptParts)),
        answerHash: await answerHash(answer, signature),
      })
    } catch (thrown) {
      this.#ports.tellServer({ t: 'fault', session, error: asError(thrown).toWire() })
    }
    // With a ring, the end comes back from upstream and closes the session; alone, it is over now.
    if (!this.#ring) this.#session.close()
  }
}
