/**
 * The stage that a volunteer holds, from its assignment until it is let go: has it loaded, tells the server that it serves and
 * what comes of it, and passes on to the compute side what the server says of sessions and shadows. One for each assignment.
 */
import { asError, fromWire, unwrap, type ManyhandsError } from '../../protocol/errors.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import type { PeerId, Revision, SessionId } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { ServerMessage } from '../../protocol/server-messages.ts'
import type { StageApi, StageEvent, StageRequest } from '../../worker/api.ts'
import type { StageReport } from '../../worker/engine/engine.ts'
import type { DonationState } from '../types.ts'
import { loadingReasons } from './donation-state.ts'
import { Outbox } from './outbox.ts'
import { RateMeter, secondsLeft } from './rates.ts'
import type { StageHost } from './stage-host.ts'
import { WorkReport } from './work-report.ts'

type Assign = Extract<ServerMessage, { t: 'assign' }>
type Offer = Extract<ClientMessage, { t: 'offer' }>

export interface HeldStagePorts {
  /** To the server; false while it is out of reach. */
  send(message: ClientMessage): boolean
  sendBinary(bytes: Bytes): boolean
  dial(peer: PeerId): void
  /** Closes a connection by its id. */
  release(channel: number): void
  /** Of the donation: the counters are kept there. */
  state(): DonationState
  changed(change: Partial<DonationState>): void
  /** The compute side serves on: a third of a lease has passed since it last said so. */
  beat(): void
  /** The compute side is gone; said also of a stage that was let go meanwhile. */
  broke(error: ManyhandsError): void
}

/** What a load needs beside the assignment and its manifest. */
export type LoadTerms = Omit<StageRequest, 'manifest' | 'revision' | 'range'>

/** Messages that are said again at once, and the pause after them: within what a server takes of one peer. */
const againAtOnce = 30
const againPauseMs = 5_000

export class HeldStage {
  readonly revision: Revision
  readonly blocks: readonly [number, number]
  readonly #host: StageHost
  readonly #ports: HeldStagePorts
  readonly #outbox = new Outbox()
  readonly #rate = new RateMeter()
  readonly #busy = new RateMeter()
  readonly #work = new WorkReport()
  #lease: string
  /** Present once loaded. */
  #report: StageReport | undefined
  #loadStartedAt = 0
  /** It was let go: what its compute side still says counts no more. */
  #ended = false

  constructor({ lease, revision, blocks }: Assign, host: StageHost, ports: HeldStagePorts) {
    this.#lease = lease
    this.revision = revision
    this.blocks = blocks
    this.#host = host
    this.#ports = ports
    void host.crashed.then((error) => ports.broke(asError(error, 'engine-failed')))
  }

  get lease(): string {
    return this.#lease
  }

  get api(): StageApi {
    return this.#host.api
  }

  get serving(): boolean {
    return this.#report !== undefined
  }

  /** As an offer names it: for a server that hears of it for the first time. */
  get holding(): Offer['holding'] {
    const { revision, blocks } = this
    return this.#report && { lease: this.#lease, revision, blocks: [...blocks], ...served(this.#report) }
  }

  /** Whether an assignment is of the very blocks that it serves, under another lease perhaps. */
  serves({ revision, blocks }: Assign): boolean {
    return this.serving && this.revision === revision && this.blocks[0] === blocks[0] && this.blocks[1] === blocks[1]
  }

  /** @throws ManyhandsError as the compute side's `load` */
  async load(manifest: Manifest, terms: LoadTerms): Promise<void> {
    const { revision, blocks } = this
    const { name, title, blocks: all } = manifest
    this.#loadStartedAt = performance.now()
    this.#ports.changed({
      phase: 'fetching',
      reason: loadingReasons.fetching,
      model: { name, title, revision },
      blocks,
      totalBlocks: all.length,
    })
    const range = { first: blocks[0], end: blocks[1] }
    this.#report = unwrap(await this.api.load({ ...terms, manifest, revision, range }, (event) => this.#event(event)))
  }

  /** Loaded: tells the server so. @param lease where another one took the first one's place */
  ready(lease = this.#lease): void {
    const report = this.#report
    if (!report) return
    this.#lease = lease
    this.#ports.send({ t: 'ready', lease, ...served(report) })
    const { backend, threads, adapter, fallbackReason, fetchedBytes, storedBytes, notKept } = report
    this.#ports.changed({
      backend,
      threads,
      adapter,
      fallbackReason,
      fetchedBytes,
      storedBytes,
      notKept,
      servingSince: Date.now(),
    })
  }

  renew(): void {
    const state = this.#ports.state()
    if (this.#ports.send({ t: 'renew', lease: this.#lease, stats: this.#work.since(state) })) this.#work.told(state)
  }

  /** Says once more what the server may have missed, for as long as `go` says so. */
  async sayAgain(go: () => boolean): Promise<void> {
    let said = 0
    for (const message of this.#outbox.again(Date.now())) {
      if (!go()) return
      if (message instanceof Uint8Array) this.#ports.sendBinary(message)
      else this.#ports.send(message)
      if (++said % againAtOnce === 0) await new Promise((resolve) => setTimeout(resolve, againPauseMs))
    }
  }

  /** What the server says of its sessions and shadows. */
  message(message: ServerMessage): void {
    switch (message.t) {
      case 'session':
        // A refusal here shows again, to whoever needs to know, when the neighbour opens the session.
        return void this.api.openSession(message.ticket)
      case 'session-closed':
        this.#outbox.closed(message.session)
        return this.api.closeSession(message.session)
      case 'settled':
        return this.#outbox.closed(message.session)
      case 'shadow':
        return this.api.shadow(message.ticket)
      case 'reveal':
        return this.api.reveal(message)
      case 'shadow-closed':
        return this.api.closeShadow(message.shadow)
      case 'probe':
        return void this.#pace(message.session)
      default:
        return
    }
  }

  /** Has the counters as they are now, which are told once a second. */
  async count(): Promise<void> {
    const stats = await Promise.race([this.api.stats(), this.#host.crashed.then(() => undefined)])
    if (stats && !this.#ended) this.#ports.changed(stats)
  }

  /** Lets go of it, in the middle of whatever runs. */
  async end(): Promise<void> {
    this.#ended = true
    this.#outbox.clear()
    await this.#host.end()
  }

  /** How far a session is here: who can't answer holds it up. */
  async #pace(session: SessionId): Promise<void> {
    const pace = await this.api.probe(session)
    if (pace) this.#ports.send({ t: 'pace', session, ...pace })
  }

  #speed({ rows, busyMs }: Pick<DonationState, 'rows' | 'busyMs'>): Pick<DonationState, 'rowsPerSecond' | 'busyShare'> {
    const now = performance.now()
    return { rowsPerSecond: this.#rate.add(rows, now), busyShare: Math.min(1, this.#busy.add(busyMs, now) / 1000) }
  }

  #event(event: StageEvent): void {
    if (this.#ended) return
    switch (event.t) {
      case 'progress': {
        const { phase, doneBytes, totalBytes } = event.progress
        const left = secondsLeft(doneBytes, totalBytes, performance.now() - this.#loadStartedAt)
        const progress = { doneBytes, totalBytes, ...(left === undefined ? {} : { secondsLeft: left }) }
        return this.#ports.changed({ phase, reason: loadingReasons[phase], progress })
      }
      case 'dial':
        return this.#ports.dial(event.peer)
      case 'released':
        return this.#ports.release(event.channel)
      case 'opened':
        return this.#outbox.opened(event.ticket)
      case 'proof':
        this.#outbox.proof(event.proof)
        return void this.#ports.sendBinary(event.proof)
      case 'server':
        if (event.message.t === 'done') this.#outbox.done(event.message)
        return void this.#ports.send(event.message)
      case 'stats':
        return this.#ports.changed({ ...event.stats, ...this.#speed(event.stats) })
      case 'beat':
        // Nothing is told while nothing happens: the speed has to fall all the same.
        this.#ports.changed(this.#speed(this.#ports.state()))
        return this.#ports.beat()
      case 'lost':
        return this.#ports.broke(fromWire(event.error))
    }
  }
}

/** What the server goes by. */
const served = ({ backend, adapter, rowLimit, msPerRow, cachePositions }: StageReport) => ({
  backend,
  adapter: adapter.slice(0, 200),
  rowLimit,
  msPerRow,
  cachePositions,
})
