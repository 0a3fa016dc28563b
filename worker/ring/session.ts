/**
 * One session on one stage: steps come in on the link from upstream, run in turn, and go out on the link downstream, each
 * side under custody. The last stage's session also hosts the answer (see host.ts). docs/protocol.md [SE].
 */
import { CustodyReceiver, CustodySender, type Verdict } from '../../link/custody-link.ts'
import type { HistoryStep } from '../../link/history.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import { packTensors, unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import { linkEnds, type Ticket, type TicketStage } from '../../protocol/ticket.ts'
import type { StageEngine, StepOutput } from '../engine/engine.ts'
import { AnswerHost } from './host.ts'
import type { Scheduler } from './scheduler.ts'
import { readTokens } from './step-tensors.ts'

export interface SessionPorts {
  readonly engine: StageEngine
  readonly identity: Identity
  readonly scheduler: Scheduler
  /** The authenticated link to a peer, dialled where need be. */
  link(peer: PeerId): Promise<PeerLink>
  /** A countersigned chunk for the server. */
  proof(proof: Bytes): void
  tellServer(message: Extract<ClientMessage, { t: 'done' | 'fault' }>): void
  ran(rows: number, ms: number): void
  /** The session is over here. */
  ended(session: StageSession): void
}

export class StageSession {
  readonly ticket: Ticket
  readonly index: number
  /** performance.now() of the last thing that happened in it. */
  lastActive = performance.now()
  readonly #ports: SessionPorts
  readonly #inLink: number
  readonly #receiver: CustodyReceiver | undefined
  readonly #host: AnswerHost | undefined
  /** Downstream, for every stage but the last. */
  readonly #next: Promise<{ link: PeerLink; sender: CustodySender }> | undefined
  #sender: CustodySender | undefined
  #closed = false

  /** @throws ManyhandsError out-of-memory when the engine has no room for the session's cache */
  constructor(ticket: Ticket, index: number, ports: SessionPorts) {
    this.ticket = ticket
    this.index = index
    this.#ports = ports
    this.#inLink = index
    ports.engine.open(ticket.session, ticket.maxPositions)
    const last = index === ticket.stages.length - 1
    if (last) this.#host = new AnswerHost(this, ports)
    else this.#next = this.#connect(ticket.stages[index + 1] as TicketStage)
    this.#next?.catch((thrown: unknown) => this.fail(asError(thrown)))
    const upstream = linkEnds(ticket, this.#inLink)?.from as PeerId
    if (upstream !== ports.identity.id) this.#receiver = this.receiver(this.#inLink, upstream, ports.engine.inputSpecs.length)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** A step on one of the session's links, from the peer that the ticket names for it (the caller has checked). */
  receive(step: Step): void {
    this.lastActive = performance.now()
    if (step.link !== this.#inLink) return this.#host ? this.#host.receivePrompt(step) : refuse(step.link)
    if (this.#receiver?.accept(step)) this.enqueue(step)
  }

  /** A step to run here, in turn: from the wire, or from this very peer when it is first and last stage in one. */
  enqueue(step: HistoryStep): void {
    const { engine, scheduler } = this.#ports
    if (step.rows > this.ticket.maxRows)
      throw new ManyhandsError('bad-message', `A step carries ${step.rows} rows; this session's runs have ${this.ticket.maxRows} at most.`)
    if (step.position + step.rows > this.ticket.maxPositions)
      throw new ManyhandsError('context-overflow', `The session was opened for ${this.ticket.maxPositions} positions.`)
    const inputs = unpackTensors(step.payload, engine.inputSpecs)
    const { decoder } = engine.manifest
    if (decoder && this.index === 0) readTokens(inputs[0] as TensorValue, step.rows, decoder.vocab)
    const logitsFrom = this.#host?.logitsFrom(step) ?? step.rows
    const queued = scheduler.enqueue(this.ticket.session, async () => {
      if (this.#closed) return 0
      try {
        const held = engine.held(this.ticket.session)
        if (decoder && step.position > held) throw new ManyhandsError('gap', `Rows from ${step.position} came where ${held} are held.`)
        if (step.position < held) engine.rollback(this.ticket.session, step.position)
        const output = await engine.run({ session: this.ticket.session, position: step.position, rows: step.rows, inputs, logitsFrom })
        this.#ports.ran(step.rows, output.runMs)
        await this.#emit(step, output)
        return output.runMs
      } catch (thrown) {
        this.fail(asError(thrown))
        return 0
      }
    })
    if (!queued) throw new ManyhandsError('busy', 'This session has too many steps waiting.', { retryAfterMs: 1000 })
  }

  custody(link: number, signedChunk: Uint8Array): void {
    this.lastActive = performance.now()
    if (link === this.#inLink) this.#receiver?.custody(signedChunk)
    else if (this.#host) this.#host.custody(signedChunk)
    else refuse(link)
  }

  message(message: LinkMessage, from: PeerId): void {
    this.lastActive = performance.now()
    const upstream = linkEnds(this.ticket, this.#inLink)?.from
    if (message.t === 'fault') return this.fail(fromFault(message))
    if (message.t === 'end' && from === upstream) return void this.#endFromUpstream(message)
    if (this.#host && from === this.ticket.requester.peer) return this.#host.message(message)
    throw new ManyhandsError('bad-message', `A peer sent '${message.t}', which is not its to send.`)
  }

  /** A neighbour went away. */
  peerLost(peer: PeerId, reason: ManyhandsError): void {
    const { stages, requester } = this.ticket
    if (this.#host && peer === requester.peer) return this.#host.requesterLost()
    const neighbours = [stages[this.index + 1] ?? stages[0], stages[this.index - 1] ?? stages.at(-1)]
    if (neighbours.some((s) => s?.peer === peer)) this.fail(new ManyhandsError('peer-lost', reason.message))
  }

  /** It can't go on here: the server is told, the host hears it down the ring, and the session ends. */
  fail(error: ManyhandsError): void {
    if (this.#closed) return
    this.#ports.tellServer({ t: 'fault', session: this.ticket.session, error: error.toWire() })
    if (this.#host) this.#host.failed(error)
    else
      void this.#next
        ?.then(({ link }) => link.sendMessage({ t: 'fault', session: this.ticket.session, error: error.toWire() }))
        .catch(() => undefined)
    this.close()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#ports.scheduler.remove(this.ticket.session)
    this.#ports.engine.close(this.ticket.session)
    this.#host?.closed()
    this.#ports.ended(this)
  }

  // ---- For the host ------------------------------------------------------------------------------------------------

  receiver(link: number, sender: PeerId, tensors: number): CustodyReceiver {
    const party = [this.ticket.requester, ...this.ticket.stages].find((p) => p.peer === sender)
    const verdict = (v: Verdict) => (v.ok ? this.#ports.proof(v.proof) : this.fail(v.error))
    return new CustodyReceiver(this.#linkKey(link, tensors), this.#ports.identity, party?.key ?? '', verdict)
  }

  /** Opens the session at a peer and returns the custody sender of the link to it. */
  async open(peer: PeerId, link: number, tensors: number): Promise<{ link: PeerLink; sender: CustodySender }> {
    const to = await this.#ports.link(peer)
    to.sendMessage({ t: 'open', ticket: this.ticket })
    return { link: to, sender: new CustodySender(this.#linkKey(link, tensors), this.#ports.identity, to) }
  }

  // ------------------------------------------------------------------------------------------------------------------

  #linkKey(link: number, tensors: number) {
    return { session: this.ticket.session, generation: this.ticket.generation, link, tensors }
  }

  async #connect(next: TicketStage) {
    const connected = await this.open(next.peer, this.index + 1, this.#ports.engine.outputSpecs.length)
    this.#sender = connected.sender
    return connected
  }

  async #emit(step: HistoryStep, output: StepOutput): Promise<void> {
    if (this.#closed) return
    const computeMicros = step.computeMicros + Math.round(output.runMs * 1000)
    if (this.#host) return this.#host.emit(step, output.outputs, computeMicros)
    if (step.position < step.emitFrom) return
    if (!this.#sender) await this.#next
    this.#sender?.send({
      position: step.position,
      rows: step.rows,
      emitFrom: step.emitFrom,
      computeMicros,
      payload: packTensors(output.outputs),
    })
  }

  /** The end travels round the ring: chunks still open are signed, then the next stage hears it. */
  async #endFromUpstream(message: Extract<LinkMessage, { t: 'end' }>): Promise<void> {
    this.#ports.scheduler.remove(this.ticket.session)
    try {
      await this.#receiver?.settled()
      if (this.#next) {
        const { link, sender } = await this.#next
        await sender.flush()
        link.sendMessage(message)
      }
    } catch {
      // The neighbour is gone; the session ends here all the same.
    }
    this.close()
  }
}

const fromFault = (message: Extract<LinkMessage, { t: 'fault' }>) => new ManyhandsError(message.error.code, message.error.message)

function refuse(link: number): never {
  throw new ManyhandsError('bad-message', `Link ${link} does not end at this stage.`)
}
