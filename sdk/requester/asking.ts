/**
 * One request as the requester sees it: prompt or feeds out under custody, tokens or results in, acknowledged and checked,
 * until the last stage's signed end; over a newer ticket it goes on where it stood. Knows nothing of text (see
 * generation.ts) or sockets (see network.ts).
 */
import { type LinkKey, type Verdict } from '../../link/custody-link.ts'
import { deferred } from '../../link/deferred.ts'
import { InLink } from '../../link/in-link.ts'
import { OutLink } from '../../link/out-link.ts'
import type { Outlet } from '../../link/outlet.ts'
import { fromHex, type Bytes } from '../../protocol/bytes.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { asError, fromWire, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'
import { maxUnacknowledged, sessionIdleMs } from '../../protocol/limits.ts'
import type { Finish, LinkMessage } from '../../protocol/link-messages.ts'
import { checkOdds, type OddsWanted, type TokenOdds } from '../../protocol/logprobs.ts'
import { checkAnswer } from '../../protocol/receipt.ts'
import { answerLink, promptLink, type Ticket, type TicketStage } from '../../protocol/ticket.ts'

export interface AskingPorts {
  readonly identity: Identity
  /** The authenticated link to a peer, dialled where need be. */
  link(peer: PeerId): Promise<Outlet>
  /** @throws ManyhandsError bad-ticket */
  check(ticket: Ticket): Promise<Ticket>
  /** A countersigned chunk for the server. */
  proof(proof: Bytes): void
  /** The server is to hear of it, and to find another way while there is one to find: the last stage's doing, or its link's. */
  fault(peer: PeerId, error: ManyhandsError): void
}

export interface AskingEvents {
  /** A row of the answer, each once: a token's step, or a result's; with the token's odds where they are wanted. */
  step(step: Step, odds?: TokenOdds): void
}

/** A quarter of the window: the last stage never waits for an acknowledgement that is on its way. */
const ackEvery = maxUnacknowledged / 4

/** A link that breaks while a generation begins is made anew so often; then the server is told. */
const mostReconnects = 2

interface Ended {
  readonly finish: Finish
  readonly signature: Bytes | undefined
}

export class Asking {
  /** Resolves at the end with its reason; rejects when the answer broke off. */
  readonly ended: Promise<Ended>
  readonly #ports: AskingPorts
  readonly #events: AskingEvents
  readonly #tensors: { readonly prompt: number; readonly answer: number }
  readonly #done = deferred<Ended>()
  readonly #prompt: OutLink
  readonly #answer: InLink
  #ticket: Ticket
  /** To the last stage, once this generation has it; and whether it knows all that it must to begin. */
  #outlet: Outlet | undefined
  #introduced = false
  /** The last stage has answered in this generation. */
  #heard = false
  #reconnected = 0
  /** The last stage has been told of to the server, in this generation. */
  #blamed = false
  #started: { readonly promptLength: number; readonly maxTokens: number; readonly logprobs?: number } | undefined
  /** Those wanted, and the last that came: they come right before their token. */
  #oddsWanted: OddsWanted | undefined
  #odds: { readonly position: number; readonly of: TokenOdds } | undefined
  #stopped = false
  #unacked = 0
  #over = false
  /** Set while nothing can come; it is not waited for without end. */
  #disrupted: ReturnType<typeof setTimeout> | undefined

  constructor(ticket: Ticket, feedTensors: number, answerTensors: number, ports: AskingPorts, events: AskingEvents) {
    this.#ticket = ticket
    this.#ports = ports
    this.#events = events
    this.#tensors = { prompt: feedTensors, answer: answerTensors }
    this.ended = this.#done.promise
    this.ended.catch(() => undefined)
    this.#prompt = new OutLink(ports.identity)
    this.#answer = new InLink(ports.identity, (v: Verdict) => (v.ok ? ports.proof(v.proof) : this.blame(v.error)))
    this.#enter()
  }

  get ticket(): Ticket {
    return this.#ticket
  }

  /** The last stage, whom the requester talks to. */
  get host(): TicketStage {
    return this.#ticket.stages.at(-1) as TicketStage
  }

  /** @param odds wanted of each token */
  start(promptLength: number, maxTokens: number, odds?: OddsWanted): void {
    this.#started = { promptLength, maxTokens, ...(odds ? { logprobs: odds.count } : {}) }
    this.#oddsWanted = odds
    this.#introduce()
  }

  /** One run of the prompt, or all of the feeds. */
  send(position: number, rows: number, payload: Uint8Array): void {
    this.#prompt.push({ position, rows, emitFrom: position, computeMicros: 0, payload })
  }

  /** After the last {@link send}. */
  flush(): Promise<void> {
    this.#prompt.cut()
    return this.#prompt.flush()
  }

  /** Enough: the volunteers stop as soon as they hear it. */
  stop(): void {
    if (this.#over || this.#stopped) return
    this.#stopped = true
    this.#outlet?.sendMessage({ t: 'stop', session: this.#ticket.session })
  }

  fail(error: ManyhandsError): void {
    if (this.#over) return
    this.stop()
    this.#finish()
    this.#done.reject(error)
  }

  /** The session goes on by a newer ticket, from the server or passed on by the last stage. */
  async rerouted(offered: Ticket): Promise<void> {
    if (this.#over || offered.session !== this.#ticket.session || offered.generation <= this.#ticket.generation) return
    try {
      const ticket = await this.#ports.check(offered)
      if (this.#over || ticket.generation <= this.#ticket.generation || ticket.requester.peer !== this.#ports.identity.id) return
      this.#prompt.stop()
      this.#ticket = ticket
      this.#enter()
    } catch {
      // Not the server's word: whatever else it is, it changes nothing.
    }
  }

  /** A link to the last stage is gone: it is made anew where nothing has come of it, else the server says how it goes on. */
  linkLost(reason: ManyhandsError, link: Outlet): void {
    if (this.#over || (this.#outlet ?? link) !== link) return
    this.#outlet = undefined
    if (this.#ticket.generation === 0 || this.#heard || this.#reconnected >= mostReconnects)
      return this.blame(new ManyhandsError('peer-lost', reason.message))
    this.#reconnected += 1
    this.#introduced = false
    this.#reach()
  }

  /** The last stage's doing, or loss. */
  blame(error: ManyhandsError): void {
    if (this.#over || this.#blamed) return
    this.#blamed = true
    this.#wait(error)
    this.#ports.fault(this.host.peer, error)
  }

  // ---- From the link -----------------------------------------------------------------------------------------------

  /** @throws ManyhandsError what the last stage must not send */
  receive(step: Step, from: PeerId): void {
    if (this.#over || this.#blamed || step.generation < this.#ticket.generation) return
    if (from !== this.host.peer || step.link !== answerLink(this.#ticket))
      throw new ManyhandsError('bad-message', 'The last stage sent on a link that is not its answer.')
    const { history } = this.#answer
    // Tokens that were given out stand: a last stage that says otherwise is wrong now, or the one before it was.
    if (this.#ticket.sampling && history.rows > 0 && step.position < history.end && !history.equal(step))
      throw new ManyhandsError('hash-mismatch', 'The last stage sent another token than had arrived before.')
    const odds = this.#oddsOf(step)
    if (this.#answer.accept(step, this.#firstRow) !== 'new') return
    this.#goesOn()
    this.#events.step(step, odds)
    this.#unacked += step.rows
    if (this.#unacked >= ackEvery) this.#acknowledge()
  }

  /** @throws ManyhandsError what the last stage must not send */
  custody(signedChunk: Uint8Array, from: PeerId): void {
    if (this.#blamed) return
    const { generation, link } = decodeChunk(signedChunk.subarray(0, chunkBytes))
    if (generation < this.#ticket.generation) this.#answer.lateCustody(signedChunk, generation, link, from)
    else if (link === answerLink(this.#ticket) && from === this.host.peer) this.#answer.custody(signedChunk)
  }

  message(message: LinkMessage, from: PeerId, via: Outlet): void {
    if (this.#over) return
    if (message.t === 'open') return void this.rerouted(message.ticket)
    if (from !== this.host.peer) return
    // What it can't take part in it tells the server as well.
    if (message.t === 'fault') return this.#wait(fromWire(message.error))
    if (!('generation' in message) || message.generation !== this.#ticket.generation) return
    if (message.t === 'gap' && message.link === promptLink(this.#ticket)) {
      this.#heard = true
      this.#prompt.go(this.#key(message.link, this.#tensors.prompt), via, message.held)
      // Nothing follows in this generation: what is asked for is signed at once.
      void this.#prompt.flush()
      this.#goesOn()
    }
    if (message.t === 'odds') this.#odds = { position: message.position, of: { logprob: message.logprob, top: message.top } }
    if (message.t === 'end') this.#ends(message)
  }

  /**
   * What the last stage signed must be what came; the server hears of it where it is not.
   * @throws ManyhandsError bad-signature
   */
  async checkAnswer(answer: Uint8Array, signature: Bytes | undefined): Promise<void> {
    if (signature && (await checkAnswer(this.#ticket.session, answer, this.host.key, signature))) return
    const error = new ManyhandsError('bad-signature', 'The last stage did not sign for the answer that arrived.')
    this.#ports.fault(this.host.peer, error)
    throw error
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** Where the answer's first row stands. */
  get #firstRow(): number {
    return this.#ticket.sampling ? (this.#started?.promptLength ?? 0) : 0
  }

  /** Of a token that is new; one that is sent again has told its odds before. */
  #oddsOf({ position }: Step): TokenOdds | undefined {
    const { history } = this.#answer
    if (!this.#oddsWanted || (history.rows > 0 && position < history.end)) return undefined
    return checkOdds(this.#odds?.position === position ? this.#odds.of : undefined, this.#oddsWanted)
  }

  #key(link: number, tensors: number): LinkKey {
    return { session: this.#ticket.session, generation: this.#ticket.generation, link, tensors }
  }

  #enter(): void {
    const ticket = this.#ticket
    this.#outlet = undefined
    this.#introduced = false
    this.#blamed = false
    this.#heard = false
    this.#reconnected = 0
    this.#answer.begin(this.#key(answerLink(ticket), this.#tensors.answer), this.host)
    this.#reach()
  }

  #reach(): void {
    const ticket = this.#ticket
    const current = () => ticket === this.#ticket && !this.#over
    this.#ports.link(this.host.peer).then(
      (outlet) => {
        if (!current()) return
        this.#outlet = outlet
        outlet.sendMessage({ t: 'open', ticket })
        this.#introduce()
      },
      (thrown: unknown) => current() && this.blame(asError(thrown)),
    )
  }

  /** What a last stage must know to begin; one that took over begins where the answer stands. */
  #introduce(): void {
    const outlet = this.#outlet
    if (!outlet || !this.#started || this.#introduced) return
    this.#introduced = true
    const { session, generation, sampling } = this.#ticket
    const { history, held } = this.#answer
    const answered = sampling ? history.rows : 0
    outlet.sendMessage({ t: 'start', session, ...this.#started, answered })
    if (generation === 0) this.#prompt.go(this.#key(promptLink(this.#ticket), this.#tensors.prompt), outlet, 0)
    else {
      if (sampling) this.#bringAnswered()
      outlet.sendMessage({ t: 'gap', session, link: answerLink(this.#ticket), generation, held })
      if (history.rows > 0) this.#acknowledge()
    }
    if (this.#stopped) outlet.sendMessage({ t: 'stop', session })
  }

  /** Behind the prompt go the tokens that have arrived: a new last stage has them from nowhere else. */
  #bringAnswered(): void {
    for (const { position, rows, payload } of this.#answer.history.from(0))
      if (position === this.#prompt.history.end) this.#prompt.push({ position, rows, emitFrom: position, computeMicros: 0, payload })
  }

  #acknowledge(): void {
    this.#unacked = 0
    this.#outlet?.sendMessage({ t: 'ack', session: this.#ticket.session, position: this.#answer.history.end })
  }

  #ends(end: Extract<LinkMessage, { t: 'end' }>): void {
    if (end.finish === 'error') {
      this.#finish()
      return this.#done.reject(end.error ? fromWire(end.error) : new ManyhandsError('peer-lost', 'The answer broke off.'))
    }
    // The last stage lets go of the session when it hears that its end has arrived.
    this.#acknowledge()
    this.#finish()
    const signature = end.signature === undefined ? undefined : fromHex(end.signature)
    void this.#answer.settled().then(() => this.#done.resolve({ finish: end.finish, signature }))
  }

  /** The server is expected to find another way; it may be out of reach itself. */
  #wait(error: ManyhandsError): void {
    this.#disrupted ??= setTimeout(() => this.fail(error), sessionIdleMs)
  }

  #goesOn(): void {
    clearTimeout(this.#disrupted)
    this.#disrupted = undefined
  }

  #finish(): void {
    this.#over = true
    this.#goesOn()
    this.#prompt.stop()
  }
}
