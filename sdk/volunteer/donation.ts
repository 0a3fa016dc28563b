/**
 * A volunteer's life with its server: hello, offer, assignment, moving, pausing, stopping, and again when any of it breaks. One
 * state at a time, always with a plain reason. What the stage that it holds does is held-stage.ts's.
 */
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import type { Identity } from '../../protocol/keys.ts'
import type { ServerMessage } from '../../protocol/server-messages.ts'
import { ControlSocket, type Welcome } from '../network/control-socket.ts'
import { discover, fetchManifest, type ServerInfo } from '../network/discovery.ts'
import { PeerHub } from '../network/peer-hub.ts'
import { ServerMoves } from '../network/server-moves.ts'
import type { DonateOptions, Donation, DonationState } from '../types.ts'
import { firstState, nextState } from './donation-state.ts'
import { HeldStage } from './held-stage.ts'
import { visitor, type HeldIdentity, type HoldIdentity } from './kept-identity.ts'
import { loadTerms, offerOf, projectOf, wantedModels } from './offer.ts'
import type { MakeStageHost } from './stage-host.ts'

type Assign = Extract<ServerMessage, { t: 'assign' }>

/** Pause before trying again after a failure that trying again may mend; doubled each time, up to a minute. */
const retryMs = 2_000
const longestRetryMs = 60_000
/** With nothing held. */
const idle = { sessions: 0, rowsPerSecond: 0, busyShare: 0 }
const finishingReason = 'Handing over the answers it holds, then it stops.'

export class VolunteerDonation extends EventTarget implements Donation {
  readonly #options: DonateOptions
  readonly #makeHost: MakeStageHost
  readonly #holdIdentity: HoldIdentity
  #state: DonationState
  #info: ServerInfo | undefined
  #held: HeldIdentity | undefined
  #socket: ControlSocket | undefined
  #hub: PeerHub | undefined
  #moves: ServerMoves | undefined
  #welcome: Welcome | undefined
  /** Counts the welcomes: what is said again after one is not said on after the next. */
  #welcomes = 0
  #stage: HeldStage | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #retryMs = retryMs
  #pausedBecause: string | undefined
  /** It wants to go and hands over what it holds. */
  #finishing = false
  /** The server has handed over all that it held. */
  #handed = false
  #ended = false

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
    if (this.#ended) return
    const already = this.#pausedBecause !== undefined
    this.#pausedBecause = reason
    if (!already) {
      this.#socket?.send({ t: 'pause', paused: true })
      this.#stage?.api.setPaused(true)
    }
    this.#set({ phase: 'paused', reason })
  }

  resume(): void {
    if (this.#ended || this.#pausedBecause === undefined) return
    this.#pausedBecause = undefined
    this.#socket?.send({ t: 'pause', paused: false })
    this.#stage?.api.setPaused(false)
    this.#settle()
  }

  setPower(power: number): void {
    const held = Math.min(1, Math.max(0.1, power))
    this.#stage?.api.setPower(held)
    this.#set({ power: held })
  }

  async stop(mode: 'now' | 'finish' = 'now'): Promise<void> {
    if (this.#ended) return
    // The server knows better than the counters, which are told once a second.
    if (mode === 'finish' && this.#stage?.serving && (this.#socket?.ready || this.#state.sessions > 0)) {
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
      await this.#stage?.count()
    }
    await this.#end('stopped', 'Stopped. Nothing computes here any more.')
  }

  // ---- Joining -----------------------------------------------------------------------------------------------------

  async #join(): Promise<void> {
    try {
      const { identity } = this.#options
      projectOf(this.#options)
      this.#held ??= await (identity ? visitor(identity) : this.#holdIdentity())
      if (this.#ended) return this.#held.release()
      this.#info = await discover(this.#options.server, this.#options.signal)
      if (this.#ended) return
      const hub = new PeerHub(this.#info, true, {
        connection: (id, channel, terms) => {
          if (this.#stage?.serving) this.#stage.api.addChannel(id, channel, terms)
          else channel.close()
        },
        fingerprints: (id, fingerprints) => this.#stage?.api.bindChannel(id, fingerprints),
        gone: (id) => this.#stage?.api.dropChannel(id),
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
          this.#set({ reachable: false })
          if (this.#stage?.serving) this.#settle()
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
    this.#set({ reachable: true, peer: welcome.peer })
    void this.#hub?.welcomed(welcome)
    this.#stage?.api.setServerKeys(welcome.serverKeys)
    if (this.#stage?.serving) void this.#back(this.#stage, before === welcome.boot)
    else void this.#offer()
  }

  /** Connected again with a stage that serves: to a server that knows it, or to one that hears of it for the first time. */
  async #back(stage: HeldStage, known: boolean): Promise<void> {
    const welcomes = this.#welcomes
    if (known) stage.renew()
    else await this.#offer(stage.holding)
    // It may have been paused or resumed, or have begun to leave, while nobody heard it.
    if (known) this.#socket?.send({ t: 'pause', paused: this.#pausedBecause !== undefined })
    if (this.#finishing) this.#socket?.send({ t: 'leaving' })
    this.#settle()
    await stage.sayAgain(() => this.#welcomes === welcomes)
  }

  async #offer(holding?: HeldStage['holding']): Promise<void> {
    if (this.#ended || (this.#finishing && !holding)) return
    try {
      const models = await wantedModels(this.#options.models, this.#socket)
      this.#socket?.send(offerOf(this.#options, models, this.#state.power, holding))
    } catch (thrown) {
      return this.#again(asError(thrown).message, () => this.#offerAgain())
    }
    if (this.#pausedBecause !== undefined) this.#socket?.send({ t: 'pause', paused: true })
    if (!this.#stage) this.#settle()
  }

  /** After a pause in which an assignment may have come by another way. */
  #offerAgain(): void {
    if (!this.#stage) void this.#offer()
  }

  #message(message: ServerMessage): void {
    switch (message.t) {
      case 'assign':
        return void this.#assigned(message)
      case 'idle':
        if (!this.#stage) this.#set({ phase: 'waiting', reason: message.reason })
        return
      case 'unassign':
        if (message.lease !== this.#stage?.lease) return
        return void this.#letGo(message.reason).then(() => this.#offer())
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
        return this.#stage?.message(message)
    }
  }

  /** Another server has what it holds or wants; or, without a word of what, needs volunteers. */
  #moved({ revision, url }: Extract<ServerMessage, { t: 'moved' }>): void {
    const certain = revision !== undefined
    if (!certain && (this.#stage || this.#finishing)) return
    // Wherever it arrives, also back here, it says anew what it holds.
    if (this.#moves?.moved(url, certain)) this.#welcome = undefined
  }

  // ---- The stage ---------------------------------------------------------------------------------------------------

  async #assigned(assign: Assign): Promise<void> {
    if (this.#stage?.serves(assign)) {
      this.#stage.ready(assign.lease)
      return this.#settle()
    }
    // Another assignment may come while one is let go: no stage is ever replaced without its end.
    while (this.#stage) await this.#letGo('A new assignment came.')
    if (this.#ended) return
    const stage: HeldStage = new HeldStage(assign, this.#makeHost(), {
      send: (message) => this.#socket?.send(message) ?? false,
      sendBinary: (bytes) => this.#socket?.sendBinary(bytes) ?? false,
      dial: (peer) => this.#hub?.dial(peer),
      release: (channel) => this.#hub?.release(channel),
      state: () => this.#state,
      changed: (change) => this.#set(change),
      beat: () => {
        stage.renew()
        this.#socket?.check()
      },
      broke: (error) => void this.#broke(stage, error),
    })
    this.#stage = stage
    try {
      const manifest = await fetchManifest(this.#info as ServerInfo, assign.revision, this.#options.signal)
      if (this.#stage !== stage) return
      // It may have come to another server meanwhile.
      const info = this.#info as ServerInfo
      const identity = this.#held?.identity as Identity
      await stage.load(manifest, loadTerms(this.#options, info, identity, this.#welcome?.serverKeys))
      if (this.#stage !== stage) return
      this.#retryMs = retryMs
      stage.api.setPower(this.#state.power)
      stage.api.setPaused(this.#pausedBecause !== undefined)
      stage.ready()
      this.#settle()
    } catch (thrown) {
      await this.#broke(stage, asError(thrown))
    }
  }

  /** The stage is gone: the server is told, and after a pause there is another offer. */
  async #broke(stage: HeldStage, error: ManyhandsError): Promise<void> {
    if (this.#stage !== stage || this.#ended) return
    this.#socket?.send({ t: 'failed', lease: stage.lease, error: error.toWire() })
    await this.#letGo(error.message)
    this.#again(error.message, () => this.#offerAgain())
  }

  async #letGo(reason: string): Promise<void> {
    const stage = this.#stage
    this.#stage = undefined
    if (!stage) return
    await stage.end()
    if (!this.#ended) this.#set({ phase: 'waiting', reason, ...idle })
  }

  // ---- State -------------------------------------------------------------------------------------------------------

  /** The phase that follows from what is held and whether it is paused. */
  #settle(): void {
    if (this.#pausedBecause !== undefined) this.#set({ phase: 'paused', reason: this.#pausedBecause })
    else if (this.#stage?.serving) this.#set({ phase: 'serving', reason: this.#servingReason() })
    else if (!this.#stage) this.#set({ phase: 'waiting', reason: 'Waiting for the server to hand out work.' })
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
    clearTimeout(this.#retry)
    this.#socket?.send({ t: 'leave' })
    const stage = this.#stage
    this.#stage = undefined
    // The worker first: stop means stop, whatever the network does.
    await stage?.end()
    this.#hub?.close()
    this.#moves?.close()
    this.#socket?.close()
    this.#held?.release()
    this.#set({ phase, reason, ...idle })
  }

  #set(change: Partial<DonationState>): void {
    this.#state = nextState(this.#state, change, this.#pausedBecause !== undefined)
    this.dispatchEvent(new Event('change'))
  }
}
