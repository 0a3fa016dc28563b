/**
 * One session on one stage, over all its generations: steps come in on the link from upstream, run in turn, and go out on the
 * link to the next stage round the ring. What came and went is kept, so that a reroute goes on from there. The last stage's
 * session also hosts the answer (see host.ts). docs/protocol.md [SE], [RR].
 */
import type { LinkKey, Verdict } from '../../link/custody-link.ts'
import type { HistoryStep, LinkHistory } from '../../link/history.ts'
import { InLink } from '../../link/in-link.ts'
import { OutLink } from '../../link/out-link.ts'
import type { Outlet } from '../../link/outlet.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId, SessionId } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import { packTensors, unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import { ringLink, type Ticket, type TicketStage } from '../../protocol/ticket.ts'
import type { StageEngine, StepOutput } from '../engine/engine.ts'
import { AnswerHost } from './host.ts'
import type { Scheduler } from './scheduler.ts'
import { StepRunner } from './step-runner.ts'
import { feedSpecs, readTokens } from './step-tensors.ts'
import { isWhole, WayOn } from './way-on.ts'

export type StageWord = Extract<ClientMessage, { t: 'done' | 'fault' | 'stalled' }>

export interface SessionPorts {
  readonly engine: StageEngine
  readonly identity: Identity
  readonly scheduler: Scheduler
  /** The authenticated link to a peer, dialled where need be. */
  link(peer: PeerId): Promise<Outlet>
  /** A countersigned chunk for the server. */
  proof(proof: Bytes): void
  tellServer(message: StageWord): void
  ran(rows: number, ms: number): void
  /** The session is over here. */
  ended(session: StageSession): void
}

/** What a standby has run already and brings along. */
export interface Warm {
  /** The name of its cache in the engine. */
  readonly cacheKey: SessionId
  /** The stage's in-link, as far as it has been run. */
  readonly received: LinkHistory
  /** Its outputs; of a last stage the rows of the logits link. */
  readonly sent: LinkHistory
}

export class StageSession {
  /** performance.now() of the last thing that happened in it. */
  lastActive = performance.now()
  readonly #ports: SessionPorts
  readonly #in: InLink
  /** To the next stage round the ring. */
  readonly #out: OutLink
  readonly #way: WayOn
  readonly #runner: StepRunner
  readonly #host: AnswerHost | undefined
  #ticket: Ticket
  #index: number
  /** This generation's rows are agreed with the upstream neighbour, on this link. */
  #resumed = false
  #upOutlet: Outlet | undefined
  /** Whom the server has been told of in this generation; nothing more is taken from them. */
  readonly #blamed = new Set<PeerId>()
  /** All who take part or took part once: what these say late is nothing worse than late. */
  readonly #parties = new Set<PeerId>()
  #closed = false

  /** @throws ManyhandsError out-of-memory when the engine has no room for the session's cache */
  constructor(ticket: Ticket, index: number, ports: SessionPorts, warm?: Warm) {
    this.#ticket = ticket
    this.#index = index
    this.#ports = ports
    if (!warm) ports.engine.open(ticket.session, ticket.maxPositions)
    const last = index === ticket.stages.length - 1
    const self = ports.identity.id
    this.#in = this.receiver(warm?.received)
    this.#out = new OutLink(ports.identity, last ? undefined : warm?.sent)
    this.#way = new WayOn(this.#out, {
      link: (peer) => (peer === self ? Promise.resolve(this.self) : ports.link(peer)),
      lost: (peer, error) => this.blame(peer, error),
    })
    this.#runner = new StepRunner(warm?.cacheKey ?? ticket.session, this.#in.history, {
      engine: ports.engine,
      scheduler: ports.scheduler,
      logitsFrom: (step) => this.#host?.logitsFrom(step) ?? step.rows,
      ran: (rows, ms) => ports.ran(rows, ms),
      emit: (step, output) => this.#emit(step, output),
      failed: (error) => this.fail(error),
      unusable: (error) => this.blame(this.#in.sender as PeerId, error),
    })
    if (last) this.#host = new AnswerHost(this, ports, this.#out, warm?.sent)
    this.#enter()
  }

  get ticket(): Ticket {
    return this.#ticket
  }

  get id(): SessionId {
    return this.#ticket.session
  }

  get index(): number {
    return this.#index
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Position after the last row that came round. */
  get received(): number {
    return this.#in.history.end
  }

  /** What went over one of its links here; undefined for a link that has no end here. */
  history(link: number): LinkHistory | undefined {
    if (link === this.#index) return this.#in.history
    if (link === this.#outLink) return this.#out.history
    return this.#host?.history(link)
  }

  *histories(): Generator<LinkHistory> {
    yield this.#in.history
    yield this.#out.history
    if (this.#host) yield* this.#host.histories()
  }

  /** The logits of the token at a position, where they are kept (a last stage on WebGPU, its last tokens). */
  logitsRow(position: number): Uint8Array | undefined {
    return this.#host?.logitsRow(position)
  }

  /** Rows run, and milliseconds from a step's arrival to its output. */
  pace(): { held: number; serviceMs: number } {
    return this.#runner.pace()
  }

  // ---- Generations -------------------------------------------------------------------------------------------------

  /** The session goes on by a newer ticket. What was queued runs on; what is sent waits for `resume` and `gap`. */
  reroute(ticket: Ticket, index: number): void {
    this.lastActive = performance.now()
    this.#ticket = ticket
    this.#index = index
    this.#resumed = false
    this.#upOutlet = undefined
    this.#blamed.clear()
    this.#enter()
  }

  /** A newer ticket does not name this peer: it signs what it has sent, and goes. */
  leave(): void {
    this.close()
  }

  /** A word from the host: where everybody goes on from in this generation. */
  resumeRing(rows: number): void {
    this.#way.resume(rows)
  }

  /** The end goes round the ring, behind everything that was sent. */
  endRing(end: Extract<LinkMessage, { t: 'end' }>): Promise<void> {
    return this.#way.end(end)
  }

  // ---- From the links ----------------------------------------------------------------------------------------------

  receive(step: Step, from: PeerId): void {
    if (step.generation < this.#ticket.generation || this.#blamed.has(from)) return
    this.lastActive = performance.now()
    if (step.link !== this.#index || from !== this.#in.sender) {
      if (this.#host?.takes(step.link, from)) return this.#host.receive(step)
      throw notTheirs
    }
    const { engine } = this.#ports
    if (step.rows > this.#ticket.maxRows)
      throw new ManyhandsError('bad-message', `A step carries ${step.rows} rows; this session's runs have ${this.#ticket.maxRows} at most.`)
    if (step.position + step.rows > this.#ticket.maxPositions)
      throw new ManyhandsError('context-overflow', `The session was opened for ${this.#ticket.maxPositions} positions.`)
    const inputs = unpackTensors(step.payload, engine.inputSpecs)
    const { decoder } = engine.manifest
    if (decoder && this.#index === 0) readTokens(inputs[0] as TensorValue, step.rows, decoder.vocab)
    this.#host?.cameRound(step.position + step.rows)
    if (this.#in.accept(step) === 'new') this.#runner.came(step.position)
  }

  custody(signedChunk: Uint8Array, generation: number, link: number, from: PeerId): void {
    if (this.#blamed.has(from)) return
    this.lastActive = performance.now()
    if (generation < this.#ticket.generation) {
      for (const end of [this.#in, ...(this.#host?.inLinks ?? [])]) end.lateCustody(signedChunk, generation, link, from)
    } else if (link === this.#index && from === this.#in.sender) this.#in.custody(signedChunk)
    else if (this.#host?.takes(link, from)) this.#host.custody(link, signedChunk)
    else throw notTheirs
  }

  /** @param via where an answer goes */
  message(message: LinkMessage, from: PeerId, via: Outlet): void {
    const { requester } = this.#ticket
    if (!this.#parties.has(from)) throw notTheirs
    // Of another generation than the present one: it is over, or was never begun.
    if ('generation' in message && message.generation !== this.#ticket.generation) return
    this.lastActive = performance.now()
    if (this.#host && from === requester.peer) return this.#host.message(message, via)
    switch (message.t) {
      case 'resume':
        if (from === this.#in.sender) this.#resume(message.rows, via)
        return
      case 'gap':
        if (from === this.#nextStage.peer && message.link === this.#outLink) this.#way.gap(message.held, via)
        return
      case 'end':
        if (from === this.#in.sender) void this.#endFromUpstream(message)
        return
      case 'open':
      case 'fault':
        // Said to oneself, where one is one's own neighbour; and whoever can't go on tells the server.
        return
      default:
        throw new ManyhandsError('bad-message', `A peer sent '${message.t}', which is not its to send.`)
    }
  }

  /**
   * A link to a peer is gone. In the middle of things the server says how it goes on; one that has not agreed yet where this
   * generation begins is made anew by whoever sends on it.
   */
  peerLost(peer: PeerId, reason: ManyhandsError, link: Outlet): void {
    if (this.#host && peer === this.#ticket.requester.peer) return this.#host.requesterLost(link)
    const up = peer === this.#in.sender && (this.#upOutlet ?? link) === link
    if ((up || this.#way.uses(peer, link)) && this.#host?.neighbourLost()) return
    const error = new ManyhandsError('peer-lost', reason.message)
    if (up && (this.#ticket.generation === 0 || this.#in.begun)) return this.blame(peer, error)
    this.#way.linkLost(peer, error, link)
  }

  // ---- Ends --------------------------------------------------------------------------------------------------------

  /** Another's doing, or loss: the server is told, and the session waits for its word. */
  blame(peer: PeerId, error: ManyhandsError): void {
    if (this.#closed || this.#blamed.has(peer)) return
    if (peer === this.#ports.identity.id) return this.fail(error)
    if (this.#host && peer === this.#ticket.requester.peer) return this.#host.refuse(error)
    this.#blamed.add(peer)
    this.#ports.tellServer({ t: 'fault', session: this.id, peer, error: error.toWire() })
  }

  /** It can't go on here: this stage's part ends, and the server finds another for it. */
  fail(error: ManyhandsError): void {
    if (this.#closed) return
    this.#ports.tellServer({ t: 'fault', session: this.id, error: error.toWire() })
    this.close()
  }

  /** Nothing has happened for too long. */
  idle(): void {
    const error = new ManyhandsError('timeout', 'Nothing happened in this session for too long.')
    if (this.#host) this.#host.refuse(error)
    else this.fail(error)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#runner.close()
    this.#way.leave()
    this.#host?.closed()
    this.#ports.ended(this)
  }

  // ---- For the host ------------------------------------------------------------------------------------------------

  /** The receiving end of a link: its proofs go to the server. */
  receiver(history?: LinkHistory): InLink {
    const link: InLink = new InLink(
      this.#ports.identity,
      (verdict: Verdict) => {
        if (verdict.ok) this.#ports.proof(verdict.proof)
        else this.blame(link.sender as PeerId, verdict.error)
      },
      history,
    )
    return link
  }

  linkKey(link: number, tensors: number): LinkKey {
    return { session: this.id, generation: this.#ticket.generation, link, tensors }
  }

  /** To this very peer: a link whose two ends are one needs no channel, but all the rest. */
  readonly self: Outlet = {
    sendStep: (step) => this.receive(step, this.#ports.identity.id),
    sendCustody: (signedChunk) => {
      const { generation, link } = decodeChunk(signedChunk.subarray(0, chunkBytes))
      this.custody(signedChunk, generation, link, this.#ports.identity.id)
    },
    sendMessage: (message) => this.message(message, this.#ports.identity.id, this.self),
  }

  // ------------------------------------------------------------------------------------------------------------------

  get #nextStage(): TicketStage {
    const { stages } = this.#ticket
    return stages[(this.#index + 1) % stages.length] as TicketStage
  }

  get #outLink(): number {
    return this.#host ? ringLink : this.#index + 1
  }

  get #outKey(): LinkKey {
    const { engine } = this.#ports
    return this.linkKey(this.#outLink, this.#host ? feedSpecs(engine.manifest).length : engine.outputSpecs.length)
  }

  /** The present ticket's neighbours on both sides. */
  #enter(): void {
    const ticket = this.#ticket
    for (const { peer } of [ticket.requester, ...ticket.stages]) this.#parties.add(peer)
    const upstream = (ticket.stages[this.#index - 1] ?? ticket.stages.at(-1)) as TicketStage
    this.#in.begin(this.linkKey(this.#index, this.#ports.engine.inputSpecs.length), upstream)
    if (ticket.generation === 0) this.#resumed = true
    this.#way.enter(ticket, this.#nextStage.peer, this.#outKey)
    this.#host?.enter()
  }

  #resume(rows: number, via: Outlet): void {
    // Said again on another link, where the one before broke.
    if (this.#resumed && (via === this.#upOutlet || this.#in.begun)) return
    const again = this.#resumed
    this.#resumed = true
    this.#upOutlet = via
    this.#in.history.truncate(rows)
    const { session, generation } = this.#ticket
    via.sendMessage({ t: 'gap', session, link: this.#index, generation, held: this.#in.held })
    // A standby ran the row that the next token is chosen from, and chose none.
    this.#runner.resume(this.#host?.lacksToken(rows) ? this.#in.history.at(rows - 1)?.position : undefined)
    if (this.#host || again) return
    this.#out.history.truncate(rows)
    this.resumeRing(rows)
  }

  #emit(step: HistoryStep, output: StepOutput): void {
    const computeMicros = step.computeMicros + Math.round(output.runMs * 1000)
    if (this.#host) return this.#host.emit(step, output.outputs, computeMicros)
    if (step.position < step.emitFrom) return
    const { position, rows, emitFrom } = step
    this.#out.push({ position, rows, emitFrom, computeMicros, payload: packTensors(output.outputs) })
  }

  /** The end travels round the ring: what is still to be run is run, chunks still open are signed, then the next stage hears it. */
  async #endFromUpstream(message: Extract<LinkMessage, { t: 'end' }>): Promise<void> {
    const ticket = this.#ticket
    if (isWhole(message)) await this.#runner.all()
    else this.#runner.drop()
    await this.#in.settled()
    // In a newer generation the end comes again.
    if (ticket !== this.#ticket) return
    if (this.#host) return this.#host.ringEnded()
    await this.endRing(message)
    if (ticket === this.#ticket) this.close()
  }
}

/** A peer spoke where the ticket does not let it. */
export const notTheirs = new ManyhandsError('bad-ticket', 'A peer spoke for a session that is not its own.')
