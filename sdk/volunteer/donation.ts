/**
 * A volunteer's life: hello, offer, assignment, load, serve, and again when any of it breaks. One state at a time, always with
 * a plain reason. Nothing here computes; that is the stage host's.
 */
import { asError, fromWire, unwrap, type ManyhandsError } from '../../protocol/errors.ts'
import type { Identity } from '../../protocol/keys.ts'
import { leaseMs } from '../../protocol/limits.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { isRevision, type Revision, type SessionId } from '../../protocol/ids.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import type { ServerMessage } from '../../protocol/server-messages.ts'
import type { StageEvent } from '../../worker/api.ts'
import type { StageReport } from '../../worker/engine/engine.ts'
import { ControlSocket, type Welcome } from '../network/control-socket.ts'
import { discover, fetchManifest, type ServerInfo } from '../network/discovery.ts'
import { findModel } from '../network/find-model.ts'
import { PeerHub } from '../network/peer-hub.ts'
import { ServerMoves } from '../network/server-moves.ts'
import type { DonateOptions, Donation, DonationState } from '../types.ts'
import { firstState, loadingReasons, nextState } from './donation-state.ts'
import { visitor, type HeldIdentity, type HoldIdentity } from './kept-identity.ts'
import { Outbox } from './outbox.ts'
import { RateMeter, secondsLeft } from './rates.ts'
import type { MakeStageHost, StageHost } from './stage-host.ts'
import { WorkReport } from './work-report.ts'

type Assign = Extract<ServerMessage, { t: 'assign' }>
type Offer = Extract<ClientMessage, { t: 'offer' }>

/** An assignment being loaded or served. */
interface Holding {
  lease: string
  readonly revision: Revision
  readonly blocks: readonly [number, number]
  readonly host: StageHost
  /** Present once loaded. */
  report?: StageReport
}

const defaultMemory = 1024 ** 3
/** Pause before trying again after a failure that trying again may mend; doubled each time, up to a minute. */
const retryMs = 2_000
const longestRetryMs = 60_000
/** Messages that are said again at once, and the pause after them: within what a server takes of one peer. */
const againAtOnce = 30
const againPauseMs = 5_000
const finishingReason = 'Handing over the answers it holds, then it stops.'

export class VolunteerDonation extends EventTarget implements Donation {
  readonly #options: DonateOptions
  readonly #makeHost: MakeStageHost
  readonly #holdIdentity: HoldIdentity
  readonly #outbox = new Outbox()
  readonly #rate = new RateMeter()
  readonly #report = new WorkReport()
  #state: DonationState
  #info: ServerInfo | undefined
  #held: HeldIdentity | undefined
  #socket: ControlSocket | undefined
  #hub: PeerHub | undefined
  #moves: ServerMoves | undefined
  #welcome: Welcome | undefined
  /** Counts the welcomes: what is said again after one is not said on after the next. */
  #welcomes = 0
  #holding: Holding | undefined
  #renewal: ReturnType<typeof setInterval> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #retryMs = retryMs
  #pausedBecause: string | undefined
  /** It wants to go and hands over what it holds. */
  #finishing = false
  /** The server has handed over all that it held. */
  #handed = false
  #ended = false
  #loadStartedAt = 0

  /** @param holdIdentity the key to serve with where the options bring none */
  constructor(options: DonateOptions, makeHost: MakeStageHost, holdIdentity: HoldIdentity) {
    super()
    this.#options = options
    this.#makeHost = makeHost
    this.#holdIdentity = holdIdentity
    this.#state = firstState(options.power ?? 1)
    options.signal?.addEventListener('abort', () => void this.stop('now'), { once: true })
    void this.#join()
  }

  get state(): DonationState {
    return this.#state
  }

  pause(reason = 'You paused it.'): void {
    if (this.#ended || this.#pausedBecause !== undefined) return
    this.#pausedBecause = reason
    this.#socket?.send({ t: 'pause', paused: true })
    this.#holding?.host.api.setPaused(true)
    this.#set({ phase: 'paused', reason })
  }

  resume(): void {
    if (this.#ended || this.#pausedBecause === undefined) return
    this.#pausedBecause = undefined
    this.#socket?.send({ t: 'pause', paused: false })
    this.#holding?.host.api.setPaused(false)
    this.#settle()
  }

  setPower(power: number): void {
    const held = Math.min(1, Math.max(0.1, power))
    this.#holding?.host.api.setPower(held)
    this.#set({ power: held })
  }

  async stop(mode: 'now' | 'finish' = 'now'): Promise<void> {
    if (this.#ended) return
    // The server knows better than the counters, which are told once a second.
    if (mode === 'finish' && this.#holding?.report && (this.#socket?.ready || this.#state.sessions > 0)) {
      this.#finishing = true
      this.#socket?.send({ t: 'leaving' })
      this.#set({ reason: finishingReason })
      await new Promise<void>((resolve) => {
        const check = () => {
          if (this.#ended || this.#handed || (!this.#socket?.ready && this.#state.sessions === 0)) {
            this.removeEventListener('change', check)
            resolve()
          }
        }
        this.addEventListener('change', check)
        check()
      })
    }
    await this.#end('stopped', 'Stopped. Nothing computes here any more.')
  }

  // ---- Joining -----------------------------------------------------------------------------------------------------

  async #join(): Promise<void> {
    try {
      const { identity } = this.#options
      this.#held ??= await (identity ? visitor(identity) : this.#holdIdentity())
      if (this.#ended) return this.#held.release()
      this.#info = await discover(this.#options.server, this.#options.signal)
      if (this.#ended) return
      const hub = new PeerHub(this.#info, true, {
        connection: (id, channel, terms) => {
          const host = this.#holding?.report ? this.#holding.host : undefined
          if (host) host.api.addChannel(id, channel, terms)
          else channel.close()
        },
        fingerprints: (id, fingerprints) => this.#holding?.host.api.bindChannel(id, fingerprints),
        gone: (id) => this.#holding?.host.api.dropChannel(id),
      })
      this.#hub = hub
      const socket = new ControlSocket(this.#info, this.#held.identity, {
        welcomed: (welcome) => {
          moves.welcomed(welcome.servers)
          this.#welcomed(welcome)
        },
        message: (message) => this.#message(message),
        lost: (reason) => {
          moves.lost()
          if (this.#holding?.report) this.#settle()
          else this.#set({ phase: 'connecting', reason: `${reason.message} Trying again.` })
        },
      })
      this.#socket = socket
      const moves = new ServerMoves(this.#info, {
        discover: (url) => discover(url, this.#options.signal),
        socket,
        arrived: (info) => {
          this.#info = info
          hub.move(info)
        },
        uptime: () => performance.now(),
      })
      this.#moves = moves
    } catch (thrown) {
      const error = asError(thrown)
      if (!error.retryable) return this.#end('failed', error.message)
      this.#again(error.message, () => this.#join())
    }
  }

  #welcomed(welcome: Welcome): void {
    const before = this.#welcome?.boot
    this.#welcome = welcome
    this.#welcomes += 1
    this.#set({ peer: welcome.peer })
    void this.#hub?.welcomed(welcome)
    this.#holding?.host.api.setServerKeys(welcome.serverKeys)
    if (this.#holding?.report) void this.#back(this.#holding, this.#holding.report, before === welcome.boot)
    else void this.#offer()
  }

  /** Connected again with a stage that serves: to a server that knows it, or to one that hears of it for the first time. */
  async #back(holding: Holding, report: StageReport, known: boolean): Promise<void> {
    const welcomes = this.#welcomes
    if (known) this.#renew()
    else await this.#offer({ lease: holding.lease, revision: holding.revision, blocks: [...holding.blocks], ...served(report) })
    // It may have been paused or resumed, or have begun to leave, while nobody heard it.
    if (known) this.#socket?.send({ t: 'pause', paused: this.#pausedBecause !== undefined })
    if (this.#finishing) this.#socket?.send({ t: 'leaving' })
    this.#settle()
    let said = 0
    for (const message of this.#outbox.again(Date.now())) {
      if (this.#welcomes !== welcomes) return
      if (message instanceof Uint8Array) this.#socket?.sendBinary(message)
      else this.#socket?.send(message)
      if (++said % againAtOnce === 0) await new Promise((resolve) => setTimeout(resolve, againPauseMs))
    }
  }

  async #offer(holding?: Offer['holding']): Promise<void> {
    if (this.#ended || (this.#finishing && !holding)) return
    const { maxMemory = defaultMemory, backends = ['webgpu', 'wasm'] } = this.#options
    try {
      const models = await this.#wantedModels()
      this.#socket?.send({
        t: 'offer',
        models,
        memoryBytes: Math.floor(maxMemory),
        power: this.#state.power,
        backends: [...backends],
        ...(holding ? { holding } : {}),
      })
    } catch (thrown) {
      return this.#again(asError(thrown).message, () => this.#offerAgain())
    }
    if (this.#pausedBecause !== undefined) this.#socket?.send({ t: 'pause', paused: true })
    if (!this.#holding) this.#settle()
  }

  /** After a pause in which an assignment may have come by another way. */
  #offerAgain(): void {
    if (!this.#holding) void this.#offer()
  }

  /** The revisions that may be served, names looked up; none: any. @throws ManyhandsError unknown-model */
  async #wantedModels(): Promise<Revision[]> {
    const wanted = this.#options.models ?? []
    if (wanted.every(isRevision)) return [...wanted]
    const socket = this.#socket
    if (!socket) return []
    const { reply } = await socket.request((id) => ({ t: 'models', id }), 'models', {})
    return wanted.map((model) => findModel(reply.models, model))
  }

  #message(message: ServerMessage): void {
    switch (message.t) {
      case 'assign':
        return void this.#assigned(message)
      case 'idle':
        if (!this.#holding) this.#set({ phase: 'waiting', reason: message.reason })
        return
      case 'unassign':
        if (message.lease !== this.#holding?.lease) return
        return void this.#letGo(message.reason).then(() => this.#offer())
      case 'session':
        // A refusal here shows again, to whoever needs to know, when the neighbour opens the session.
        return void this.#holding?.host.api.openSession(message.ticket)
      case 'session-closed':
        this.#outbox.closed(message.session)
        return this.#holding?.host.api.closeSession(message.session)
      case 'settled':
        return this.#outbox.closed(message.session)
      case 'shadow':
        return this.#holding?.host.api.shadow(message.ticket)
      case 'reveal':
        return this.#holding?.host.api.reveal(message)
      case 'shadow-closed':
        return this.#holding?.host.api.closeShadow(message.shadow)
      case 'probe':
        return void this.#pace(message.session)
      case 'handed':
        this.#handed = true
        return this.#settle()
      case 'standing':
        return this.#set({ standing: message.standing })
      case 'moved':
        return this.#moved(message)
      case 'servers':
        return this.#moves?.heard(message.servers)
      case 'error':
        if (message.error.code !== 'rate-limited') this.#set({ reason: message.error.message })
        return
      default:
        return
    }
  }

  /** Another server has what it holds or wants; or, without a word of what, needs volunteers. */
  #moved({ revision, url }: Extract<ServerMessage, { t: 'moved' }>): void {
    const certain = revision !== undefined
    if (!certain && (this.#holding || this.#finishing)) return
    // Wherever it arrives, also back here, it says anew what it holds.
    if (this.#moves?.moved(url, certain)) this.#welcome = undefined
  }

  // ---- Serving -----------------------------------------------------------------------------------------------------

  async #assigned(assign: Assign): Promise<void> {
    const { revision, blocks, lease } = assign
    const held = this.#holding
    if (held?.report && held.revision === revision && held.blocks[0] === blocks[0] && held.blocks[1] === blocks[1]) {
      held.lease = lease
      return this.#ready(held, held.report)
    }
    await this.#letGo('A new assignment came.')
    if (this.#ended) return
    const host = this.#makeHost()
    const holding: Holding = { lease, revision, blocks, host }
    this.#holding = holding
    void host.crashed.then((error) => this.#broke(holding, asError(error, 'engine-failed')))
    try {
      const manifest = await fetchManifest(this.#info as ServerInfo, revision, this.#options.signal)
      if (this.#holding !== holding) return
      this.#loading(manifest, blocks)
      const report = unwrap(await host.api.load(this.#stageRequest(manifest, holding), (event) => this.#event(holding, event)))
      if (this.#holding !== holding) return
      holding.report = report
      this.#retryMs = retryMs
      host.api.setPower(this.#state.power)
      host.api.setPaused(this.#pausedBecause !== undefined)
      this.#ready(holding, report)
    } catch (thrown) {
      await this.#broke(holding, asError(thrown))
    }
  }

  #stageRequest(manifest: Manifest, { revision, blocks }: Holding) {
    const info = this.#info as ServerInfo
    return {
      manifest,
      revision,
      range: { first: blocks[0], end: blocks[1] },
      backends: this.#options.backends ?? (['webgpu', 'wasm'] as const),
      memoryBytes: this.#options.maxMemory ?? defaultMemory,
      identity: this.#held?.identity as Identity,
      serverKeys: this.#welcome?.serverKeys ?? [info.serverKey],
      blobsUrl: info.blobsUrl,
      engineUrl: info.engineUrl,
    }
  }

  #loading({ name, title, blocks: all }: Manifest, blocks: readonly [number, number]): void {
    const revision = this.#holding?.revision ?? ''
    this.#loadStartedAt = performance.now()
    this.#set({
      phase: 'fetching',
      reason: loadingReasons.fetching,
      model: { name, title, revision },
      blocks,
      totalBlocks: all.length,
    })
  }

  #ready(holding: Holding, report: StageReport): void {
    this.#socket?.send({ t: 'ready', lease: holding.lease, ...served(report) })
    clearInterval(this.#renewal)
    this.#renewal = setInterval(() => this.#renew(), leaseMs / 3)
    const { backend, threads, fallbackReason, fetchedBytes, storedBytes, notKept } = report
    this.#set({ backend, threads, adapter: report.adapter, fallbackReason, fetchedBytes, storedBytes, notKept, servingSince: Date.now() })
    this.#settle()
  }

  #renew(): void {
    const stats = this.#report.since(this.#state)
    if (this.#socket?.send({ t: 'renew', lease: this.#holding?.lease ?? '', stats })) this.#report.told(this.#state)
  }

  /** How far a session is here: who can't answer holds it up. */
  async #pace(session: SessionId): Promise<void> {
    const pace = await this.#holding?.host.api.probe(session)
    if (pace) this.#socket?.send({ t: 'pace', session, ...pace })
  }

  #event(holding: Holding, event: StageEvent): void {
    if (this.#holding !== holding) return
    switch (event.t) {
      case 'progress': {
        const { phase, doneBytes, totalBytes } = event.progress
        const left = secondsLeft(doneBytes, totalBytes, performance.now() - this.#loadStartedAt)
        const progress = { doneBytes, totalBytes, ...(left === undefined ? {} : { secondsLeft: left }) }
        return this.#set({ phase, reason: loadingReasons[phase], progress })
      }
      case 'dial':
        return this.#hub?.dial(event.peer)
      case 'released':
        return this.#hub?.release(event.channel)
      case 'opened':
        return this.#outbox.opened(event.ticket)
      case 'proof':
        this.#outbox.proof(event.proof)
        return void this.#socket?.sendBinary(event.proof)
      case 'server':
        if (event.message.t === 'done') this.#outbox.done(event.message)
        return void this.#socket?.send(event.message)
      case 'stats':
        return this.#set({ ...event.stats, rowsPerSecond: this.#rate.add(event.stats.rows, performance.now()) })
      case 'lost':
        return void this.#broke(holding, fromWire(event.error))
    }
  }

  /** The stage is gone: the server is told, and after a pause there is another offer. */
  async #broke(holding: Holding, error: ManyhandsError): Promise<void> {
    if (this.#holding !== holding || this.#ended) return
    this.#socket?.send({ t: 'failed', lease: holding.lease, error: error.toWire() })
    await this.#letGo(error.message)
    this.#again(error.message, () => this.#offerAgain())
  }

  async #letGo(reason: string): Promise<void> {
    clearInterval(this.#renewal)
    const holding = this.#holding
    this.#holding = undefined
    if (!holding) return
    this.#report.reset()
    this.#outbox.clear()
    await holding.host.end()
    if (!this.#ended) this.#set({ phase: 'waiting', reason, sessions: 0, rowsPerSecond: 0 })
  }

  // ---- State -------------------------------------------------------------------------------------------------------

  /** The phase that follows from what is held and whether it is paused. */
  #settle(): void {
    if (this.#pausedBecause !== undefined) this.#set({ phase: 'paused', reason: this.#pausedBecause })
    else if (this.#holding?.report) this.#set({ phase: 'serving', reason: this.#servingReason() })
    else if (!this.#holding) this.#set({ phase: 'waiting', reason: 'Waiting for the server to hand out work.' })
  }

  #servingReason(): string {
    if (this.#finishing) return finishingReason
    if (!this.#socket?.ready) return 'The server is out of reach. Answers under way go on; trying to reach it again.'
    return 'Computes its part whenever somebody asks.'
  }

  #again(why: string, retry: () => unknown): void {
    const pauseMs = this.#retryMs
    this.#retryMs = Math.min(longestRetryMs, pauseMs * 2)
    this.#set({ phase: 'failed', reason: `${why} Trying again in ${Math.round(pauseMs / 1000)} s.` })
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      if (!this.#ended) retry()
    }, pauseMs)
  }

  async #end(phase: 'stopped' | 'failed', reason: string): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    clearInterval(this.#renewal)
    clearTimeout(this.#retry)
    this.#socket?.send({ t: 'leave' })
    const holding = this.#holding
    this.#holding = undefined
    // The worker first: stop means stop, whatever the network does.
    await holding?.host.end()
    this.#hub?.close()
    this.#moves?.close()
    this.#socket?.close()
    this.#held?.release()
    this.#set({ phase, reason, sessions: 0, rowsPerSecond: 0 })
  }

  #set(change: Partial<DonationState>): void {
    this.#state = nextState(this.#state, change, this.#pausedBecause !== undefined)
    this.dispatchEvent(new Event('change'))
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
