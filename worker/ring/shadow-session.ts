/**
 * A stage's work computed again: rows come from a source, run in the background on a cache of their own in the runs they had,
 * and end in a commitment (an audit) or in a stage that can be taken over (a standby). docs/protocol.md [SH].
 */
import type { PeerLink } from '../../link/peer-link.ts'
import { toHex } from '../../protocol/bytes.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import { asError, fromWire, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { Hash, PeerId } from '../../protocol/ids.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import { inputsHash, type ShadowTicket } from '../../protocol/shadow.ts'
import { unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import type { StageEngine } from '../engine/engine.ts'
import { ServicePace } from './pace.ts'
import type { Scheduler } from './scheduler.ts'
import type { Warm } from './session.ts'
import { CutHashes } from './shadow-cuts.ts'
import { ShadowKept } from './shadow-kept.ts'
import { feedWindowBytes, revealMs, shadowPatienceMs } from './shadow-limits.ts'
import { logitsFrom, shadowOutputs, tensorsOf, type ShadowOutputs } from './shadow-outputs.ts'
import { ShadowReveal, type Reveal } from './shadow-reveal.ts'
import { readTokens } from './step-tensors.ts'

export type ShadowWord = Extract<ClientMessage, { t: 'audited' | 'sketched' | 'unaudited' }>

export interface ShadowPorts {
  readonly engine: StageEngine
  readonly scheduler: Scheduler
  /** The authenticated link to a peer, dialled where need be. */
  link(peer: PeerId): Promise<PeerLink>
  tellServer(message: ShadowWord): void
  ran(rows: number, ms: number): void
  /** An audit of so many rows was committed to. */
  audited(rows: number): void
  ended(shadow: ShadowSession): void
}

/** Errors of a run that come of what was handed over. */
const sourcesFault = new Set(['bad-message', 'bad-input', 'gap'])

export class ShadowSession {
  readonly ticket: ShadowTicket
  readonly kept: ShadowKept
  readonly #ports: ShadowPorts
  readonly #inputCuts: CutHashes
  readonly #outputCuts: readonly { readonly link: number; readonly hashes: CutHashes }[]
  #phase: 'running' | 'committed' | 'over' = 'running'
  #source: PeerLink | undefined
  #seq = 0
  /** Rows that came, and rows that have run. */
  #received = 0
  #held = 0
  /** Bytes of rows that came and have not run; bytes that ran since the last acknowledgement. */
  #waitingBytes = 0
  #unackedBytes = 0
  readonly #pace = new ServicePace()
  #running: Promise<unknown> = Promise.resolve()
  #patience: ReturnType<typeof setTimeout> | undefined
  #reveal: ShadowReveal | undefined

  /** @throws ManyhandsError out-of-memory when the engine has no room for another cache */
  constructor(ticket: ShadowTicket, ports: ShadowPorts) {
    this.ticket = ticket
    this.#ports = ports
    const { engine } = ports
    this.kept = new ShadowKept(ticket, engine)
    this.#inputCuts = new CutHashes(0, ticket.inputCuts, engine.inputSpecs.length)
    const tensors = tensorsOf(ticket, engine)
    this.#outputCuts = ticket.outputs.map(({ link, position, cuts }) => ({ link, hashes: new CutHashes(position, cuts, tensors) }))
    engine.open(ticket.shadow, this.#mostRows)
    this.#wait()
    void this.#begin()
  }

  get over(): boolean {
    return this.#phase === 'over'
  }

  /** A step for it (the caller knows who sends): rows of the source, or what is fetched once it is committed. */
  receive(step: Step, from: PeerId): void {
    if (this.#phase === 'committed') return this.#reveal?.receive(step, from)
    if (this.#phase !== 'running' || from !== this.ticket.source.peer) return
    try {
      this.#accept(step)
    } catch (thrown) {
      this.giveUp(asError(thrown), from)
    }
  }

  message(message: LinkMessage, from: PeerId): void {
    if (this.#phase === 'committed') return this.#reveal?.message(message, from)
    if (this.#phase !== 'running' || from !== this.ticket.source.peer) return
    if (message.t === 'fault') return this.giveUp(fromWire(message.error), from)
    if (message.t !== 'fed') return
    if (this.ticket.role === 'standby')
      return this.giveUp(new ManyhandsError('closed', 'The session that it stood by for is over at its source.'))
    if (this.#received < this.ticket.rows)
      this.giveUp(new ManyhandsError('not-found', `Its source has ${this.#received} of ${this.ticket.rows} rows.`), from)
  }

  peerLost(peer: PeerId, reason: ManyhandsError): void {
    if (this.#phase === 'committed') return this.#reveal?.peerLost(peer, reason)
    if (this.#phase === 'running' && this.#source && peer === this.ticket.source.peer) this.giveUp(reason, peer)
  }

  /** The commitment is in: sketches of its own rows and of what the stage sent. */
  reveal(reveal: Reveal): void {
    if (this.#phase !== 'committed' || this.#reveal) return
    this.#wait()
    this.#reveal = new ShadowReveal(this.ticket, reveal, this.kept, this.#ports.engine, {
      link: (peer) => this.#ports.link(peer),
      sketched: (own, theirs) => {
        this.#ports.tellServer({ t: 'sketched', shadow: this.ticket.shadow, own, theirs })
        this.close()
      },
      failed: (error, peer) => this.giveUp(error, peer),
    })
  }

  /** Rows run, and milliseconds from a step's arrival to its output. */
  pace(): { held: number; serviceMs: number } {
    return { held: this.#held, serviceMs: this.#pace.serviceMs(performance.now()) }
  }

  /** The stage is this peer's from now on: what a standby has goes to whoever calls this, once nothing runs in it any more. */
  async takeOver(): Promise<Warm> {
    const { shadow, last } = this.ticket
    this.#end()
    await this.#running
    this.#ports.engine.rollback(shadow, this.#held)
    return { cacheKey: shadow, received: this.kept.inputs, sent: last ? this.kept.logitsHashes : this.kept.outputs }
  }

  /** It can't be done, because of `peer` or of this one. */
  giveUp(error: ManyhandsError, peer?: PeerId): void {
    if (this.#phase === 'over') return
    this.#ports.tellServer({ t: 'unaudited', shadow: this.ticket.shadow, ...(peer ? { peer } : {}), error: error.toWire() })
    this.close()
  }

  close(): void {
    if (this.#phase === 'over') return
    if (this.#phase === 'running') this.#ports.engine.close(this.ticket.shadow)
    this.#end()
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** An audit's rows are known; a standby's are as many as its session may have. */
  get #mostRows(): number {
    return this.ticket.role === 'audit' ? this.ticket.rows : this.ticket.maxPositions
  }

  async #begin(): Promise<void> {
    const { source } = this.ticket
    try {
      this.#source = await this.#ports.link(source.peer)
      if (this.#phase === 'running') this.#source.sendMessage({ t: 'feed', ticket: this.ticket })
    } catch (thrown) {
      this.giveUp(asError(thrown), source.peer)
    }
  }

  /** @throws ManyhandsError bad-message */
  #accept(step: Step): void {
    const { engine, scheduler } = this.#ports
    const { position, rows, payload } = step
    const follows = this.ticket.role === 'audit' ? position === this.#received : position <= this.#received
    if (step.link !== this.ticket.link || step.generation !== 0 || step.seq !== this.#seq || !follows)
      throw new ManyhandsError('bad-message', `Rows from ${position} came where ${this.#received} was due.`)
    if (rows > this.ticket.maxRows || position + rows > this.#mostRows)
      throw new ManyhandsError('bad-message', `A run of ${rows} rows at ${position} is more than was asked for.`)
    // Twice the window: a source that went back in its rows may count those that it sent before as run.
    if (this.#waitingBytes > 0 && this.#waitingBytes + payload.length > 2 * feedWindowBytes)
      throw new ManyhandsError('bad-message', 'A source sends on without waiting for its rows to be run.')
    const inputs = unpackTensors(payload, engine.inputSpecs)
    const { decoder } = engine.manifest
    if (decoder && this.ticket.blocks[0] === 0) readTokens(inputs[0] as TensorValue, rows, decoder.vocab)
    this.#seq += 1
    this.#received = position + rows
    this.#waitingBytes += payload.length
    this.#pace.arrived(position, performance.now())
    const queued = scheduler.enqueueBackground(this.ticket.shadow, () => {
      const run = this.#run(step, inputs)
      this.#running = run
      return run
    })
    if (!queued) throw new ManyhandsError('bad-message', 'A source sends its rows in too many small runs at once.')
    this.#wait()
  }

  async #run(step: Step, inputs: readonly TensorValue[]): Promise<number> {
    const { engine } = this.#ports
    const { position, rows } = step
    if (this.#phase !== 'running') return 0
    try {
      if (position < this.#held) this.#goBack(position)
      const output = await engine.run({ session: this.ticket.shadow, position, rows, inputs, logitsFrom: logitsFrom(this.ticket, step) })
      this.#ports.ran(rows, output.runMs)
      const made = await shadowOutputs(this.ticket, engine, step, output.outputs)
      if ((this.#phase as string) === 'over') return output.runMs
      this.#record(step, made)
      if (this.ticket.role === 'audit' && this.#held === this.ticket.rows) void this.#commit()
      return output.runMs
    } catch (thrown) {
      const error = asError(thrown)
      this.giveUp(error, sourcesFault.has(error.code) ? this.ticket.source.peer : undefined)
      return 0
    }
  }

  /** The session that it stands by for has been rerouted, and goes on from there. */
  #goBack(position: number): void {
    this.#ports.engine.rollback(this.ticket.shadow, position)
    this.kept.truncate(position)
    this.#pace.clear()
    this.#held = position
  }

  #record(step: Step, made: ShadowOutputs): void {
    if (this.ticket.role === 'audit') this.#inputCuts.add(step)
    for (const { link, hashes } of this.#outputCuts) for (const rows of made.rows) if (rows.link === link) hashes.add(rows)
    this.kept.add(step, made)
    this.#held += step.rows
    this.#pace.served(step.position, performance.now())
    this.#waitingBytes -= step.payload.length
    this.#unackedBytes += step.payload.length
    this.#wait()
    if (this.#waitingBytes > 0 && this.#unackedBytes < feedWindowBytes / 4) return
    this.#unackedBytes = 0
    this.#source?.sendMessage({ t: 'ack', session: this.ticket.shadow, position: this.#held })
  }

  async #commit(): Promise<void> {
    const { shadow, rows } = this.ticket
    if (!this.#inputCuts.complete || !this.#outputCuts.every(({ hashes }) => hashes.complete))
      return this.giveUp(new ManyhandsError('bad-ticket', 'The audit asks for chunks of rows that are not among those to run.'))
    this.#phase = 'committed'
    this.#ports.scheduler.remove(shadow)
    this.#ports.engine.close(shadow)
    this.#wait()
    const inputs = await inputsHash(await this.#inputCuts.cuts())
    const outputs = await Promise.all(
      this.#outputCuts.map(async ({ hashes }) => (await hashes.cuts()).map(({ payloadHash }) => toHex(payloadHash) as Hash)),
    )
    if (this.over) return
    this.#ports.tellServer({ t: 'audited', shadow, inputs, outputs })
    this.#ports.audited(rows)
  }

  /** Waits from now on, for a while. */
  #wait(): void {
    clearTimeout(this.#patience)
    if (this.#phase === 'committed') {
      this.#patience = setTimeout(() => this.close(), revealMs)
    } else if (this.#waitingBytes > 0) {
      const busy = new ManyhandsError('busy', 'Answers under way leave no time for computing others again.')
      this.#patience = setTimeout(() => this.giveUp(busy), shadowPatienceMs)
    } else if (this.ticket.role === 'audit') {
      const silent = new ManyhandsError('timeout', 'The source of an audit has gone silent.')
      this.#patience = setTimeout(() => this.giveUp(silent, this.ticket.source.peer), shadowPatienceMs)
    }
  }

  #end(): void {
    if (this.#phase === 'running') this.#source?.sendMessage({ t: 'stop', session: this.ticket.shadow })
    this.#phase = 'over'
    clearTimeout(this.#patience)
    this.#reveal?.stop()
    this.#ports.scheduler.remove(this.ticket.shadow)
    this.#ports.ended(this)
  }
}
