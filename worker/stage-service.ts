/**
 * The compute side behind `StageApi`: makes the engine, then the node that serves with it. The same in a tab's worker
 * (entry.ts) and in Node (node-host.ts); what differs is handed in.
 */
import { rtcChannel } from '../link/channel.ts'
import type { Fingerprints, LinkTerms } from '../link/peer-link.ts'
import { asError, ManyhandsError, outcome, type Outcome } from '../protocol/errors.ts'
import type { SessionId } from '../protocol/ids.ts'
import { leaseMs } from '../protocol/limits.ts'
import type { ShadowTicket } from '../protocol/shadow.ts'
import type { Ticket } from '../protocol/ticket.ts'
import type { StageApi, StageEvent, StageRequest } from './api.ts'
import type { LoadProgress, LoadRequest, StageEngine, StageReport } from './engine/engine.ts'
import type { Reveal } from './ring/shadow-reveal.ts'
import { StageNode, type NodeStats } from './ring/stage-node.ts'

/** Makes an engine with this platform's files and runtime. */
export type LoadStage = (
  request: LoadRequest,
  urls: { readonly blobsUrl: string; readonly engineUrl: string },
  options: { readonly signal: AbortSignal; readonly onProgress: (progress: LoadProgress) => void },
) => Promise<StageEngine>

/** Counters are told at most this often: a page that redraws costs the steps their processor. */
const statsMs = 1000

export class StageService implements StageApi {
  readonly #loadStage: LoadStage
  readonly #stopping = new AbortController()
  #engine: StageEngine | undefined
  #node: StageNode | undefined
  /** One list for all who check tickets, changed in place. */
  readonly #serverKeys: string[] = []
  #power = 1
  #paused = false
  #statsTimer: ReturnType<typeof setTimeout> | undefined
  #beats: ReturnType<typeof setInterval> | undefined

  constructor(loadStage: LoadStage) {
    this.#loadStage = loadStage
  }

  load(request: StageRequest, onEvent: (event: StageEvent) => void): Promise<Outcome<StageReport>> {
    return outcome(async () => {
      if (this.#engine) throw new ManyhandsError('internal', 'A stage loads once; a new assignment takes a new worker.')
      const engine = await this.#loadStage(request, request, {
        signal: this.#stopping.signal,
        onProgress: (progress) => onEvent({ t: 'progress', progress }),
      })
      if (this.#stopping.signal.aborted) {
        await engine.dispose()
        throw new ManyhandsError('aborted', 'Stopped.')
      }
      this.#engine = engine
      void engine.lost.then((reason) => onEvent({ t: 'lost', error: asError(reason, 'engine-failed').toWire() }))
      this.setServerKeys(request.serverKeys)
      const node: StageNode = new StageNode(request.identity, request.revision, this.#serverKeys, engine, {
        dial: (peer) => onEvent({ t: 'dial', peer }),
        released: (channel) => onEvent({ t: 'released', channel }),
        opened: (ticket) => onEvent({ t: 'opened', ticket }),
        proof: (proof) => onEvent({ t: 'proof', proof }),
        tellServer: (message) => onEvent({ t: 'server', message }),
        changed: () => {
          this.#statsTimer ??= setTimeout(() => {
            this.#statsTimer = undefined
            onEvent({ t: 'stats', stats: node.stats() })
          }, statsMs)
        },
      })
      node.scheduler.setPower(this.#power)
      node.scheduler.setPaused(this.#paused)
      this.#node = node
      this.#beats = setInterval(() => onEvent({ t: 'beat' }), leaseMs / 3)
      return engine.report
    })
  }

  addChannel(id: number, channel: RTCDataChannel, terms: LinkTerms): void {
    if (this.#node) this.#node.addChannel(id, rtcChannel(channel), terms)
    else channel.close()
  }

  bindChannel(id: number, fingerprints: Fingerprints): void {
    this.#node?.bindChannel(id, fingerprints)
  }

  dropChannel(id: number): void {
    this.#node?.links.close(id, new ManyhandsError('peer-lost', 'The connection to a peer closed.'))
  }

  openSession(ticket: Ticket): Promise<Outcome<void>> {
    return outcome(async () => {
      if (!this.#node) throw new ManyhandsError('closed', 'This peer serves no stage at the moment.')
      await this.#node.open(ticket)
    })
  }

  closeSession(session: SessionId): void {
    this.#node?.closeSession(session)
  }

  async probe(session: SessionId): Promise<{ held: number; serviceMs: number } | undefined> {
    return this.#node?.probe(session)
  }

  shadow(ticket: ShadowTicket): void {
    void this.#node?.shadows.start(ticket)
  }

  reveal(reveal: Reveal): void {
    this.#node?.shadows.reveal(reveal)
  }

  closeShadow(shadow: SessionId): void {
    this.#node?.shadows.close(shadow)
  }

  setServerKeys(keys: readonly string[]): void {
    this.#serverKeys.splice(0, this.#serverKeys.length, ...keys)
  }

  setPower(power: number): void {
    this.#power = power
    this.#node?.scheduler.setPower(power)
  }

  setPaused(paused: boolean): void {
    this.#paused = paused
    this.#node?.scheduler.setPaused(paused)
    if (paused) this.#node?.leaveSessions(new ManyhandsError('peer-lost', 'A volunteer paused.'))
  }

  async stats(): Promise<NodeStats | undefined> {
    return this.#node?.stats()
  }

  async alive(): Promise<void> {}

  async stop(): Promise<void> {
    clearTimeout(this.#statsTimer)
    clearInterval(this.#beats)
    this.#stopping.abort()
    this.#node?.stop(new ManyhandsError('peer-lost', 'A volunteer left.'))
    await this.#engine?.dispose()
  }
}
