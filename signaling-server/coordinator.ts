/**
 * The server's one place of state: models, volunteers (roster.ts), sessions (sessions.ts). Every event of a socket ends here
 * and goes out again as messages. It knows sockets only by peer id.
 */
import { randomBytes } from 'node:crypto'
import type { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, ProjectId, Revision } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Audience } from '../protocol/projects.ts'
import type { ModelInfo, Publication, ServerMessage } from '../protocol/server-messages.ts'
import { seenFrom, type Viewpoint } from './audience.ts'
import { modelInfo, type PublishedModel } from './catalogue.ts'
import { missingSegments } from './chain.ts'
import type { Caller, Said } from './control-sockets.ts'
import { Givers } from './givers.ts'
import type { KeyedProject } from './projects/projects.ts'
import { Roster } from './roster.ts'
import { missingNow } from './routing.ts'
import { Sessions } from './sessions.ts'
import type { Store } from './store.ts'
import { barredReason, TrustKeeper } from './trust-keeper.ts'
import { holds, isCounted, isServing, planOf, type StageCount, type Swarm, type Volunteer } from './swarm.ts'

export interface CoordinatorPorts {
  readonly identity: Identity
  readonly store: Store
  readonly stages: StageCount
  /** Peers that the operator trusts from the start. */
  readonly anchors: ReadonlySet<PeerId>
  /** Keys whose tickets are taken over: one's own, past ones, and those of the other processes. */
  serverKeys(): readonly string[]
  /** The epoch under which we own a swarm. */
  epochOf(revision: Revision): number
  /** A project's; undefined when there is none, or no longer. */
  audience(project: ProjectId): Audience | undefined
  /** Why a key that a connection came with is not good any more. */
  keyRefusal(keyed: KeyedProject): ManyhandsError | undefined
  /** Somebody offers to give for a project. @param network where that counts */
  consented(project: ProjectId, peer: PeerId, network: string | undefined): void
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
  /** Wall time in milliseconds since 1970: for what is signed. */
  now(): number
  /** Milliseconds since some moment, which never step back: for what lasts. */
  uptime(): number
  log(line: string): void
  /** What went wrong on our side, for the log. */
  failed(thrown: unknown): void
}

export class Coordinator {
  readonly sessions: Sessions
  readonly trust: TrustKeeper
  readonly #ports: CoordinatorPorts
  readonly #roster: Roster
  readonly #publications = new Map<Revision, Publication>()
  /** Volunteers that want to go and still serve. */
  readonly #leavers = new Set<PeerId>()
  readonly #givers: Givers

  constructor(ports: CoordinatorPorts) {
    this.#ports = ports
    const roster: Roster = new Roster({
      ...ports,
      now: ports.uptime,
      randomBytes,
      stageLost: (peer, why) => this.sessions.stageLost(peer, why),
      roomMade: () => this.sessions.roomMade(),
      awaited: (revision) => this.sessions.failover.awaits(revision),
      quarantined: (revision, backend, adapter) => this.trust.quarantined(revision, backend, adapter),
    })
    this.#roster = roster
    this.#givers = new Givers({
      ...ports,
      roster,
      handOver: (peer) => this.sessions.failover.handOver(peer),
      roomMade: () => this.sessions.roomMade(),
    })
    const gaveFor = (peer: PeerId) => this.#givers.gaveFor(peer)
    this.trust = new TrustKeeper({
      ...ports,
      gaveFor,
      members: (revision) => roster.swarm(revision)?.members ?? [],
      volunteer: (peer) => roster.volunteer(peer),
      dismiss: (peer, reason) => roster.dismiss(peer, reason),
      wrong: (session, reason, without) => this.sessions.wrong(session, reason, without),
    })
    this.sessions = new Sessions({
      ...ports,
      trust: this.trust,
      gaveFor,
      swarm: (revision) => roster.swarm(revision),
      random: Math.random,
    })
  }

  get volunteers(): number {
    return this.#roster.size
  }

  /** The models there are now. */
  setModels(models: readonly PublishedModel[]): void {
    this.#publications.clear()
    for (const { revision, publication } of models) this.#publications.set(revision, publication)
    const before = new Set(this.#roster.swarms().map(({ model }) => model.revision))
    this.#roster.setModels(models.map(({ revision, manifest }) => ({ revision, manifest, plan: planOf(manifest, this.#ports.stages) })))
    for (const { revision } of models) if (!before.has(revision)) this.trust.owned(revision)
  }

  /** The swarms as the public sees them, for whoever tells how things are: whom a project has to itself serves nobody else. */
  get swarms(): ReadonlyMap<Revision, Swarm> {
    return new Map(this.#roster.swarms().map((swarm) => [swarm.model.revision, { ...swarm, members: seenFrom(undefined, swarm.members) }]))
  }

  everybody(): Volunteer[] {
    return this.#roster.volunteers()
  }

  /** As they are for whoever asks from there. */
  models(viewpoint?: Viewpoint): ModelInfo[] {
    return this.#roster.swarms().map(({ model, members }) => this.#info({ model, members: seenFrom(viewpoint, members) }))
  }

  /** A project has changed, or ended. */
  projectChanged(project: ProjectId): void {
    this.#givers.changed(project)
  }

  /** Whether nothing lives in a swarm: without volunteers there are no sessions either. */
  idle(revision: Revision): boolean {
    return !this.#roster.swarm(revision)?.members.size
  }

  /** A swarm is another server's now: its volunteers go on there with what they hold, and its sessions with them. */
  moved(revision: Revision, url: string): void {
    const members = this.#roster.letGo(revision)
    this.sessions.moved(revision, url)
    for (const peer of members) this.#ports.send(peer, { t: 'moved', revision, url })
  }

  receive({ peer, key, network, project }: Caller, message: Said): void {
    switch (message.t) {
      case 'models':
        return void this.#ports.send(peer, { t: 'models', id: message.id, models: this.models(project?.id) })
      case 'offer':
        this.trust.joined(peer, network)
        if (this.trust.barred(peer)) return this.#refuse(peer)
        return this.#givers.offer(peer, key, network, message)
      case 'ready':
        this.#roster.ready(peer, message)
        return this.trust.serves(peer)
      case 'failed':
        return this.#roster.failed(peer, message)
      case 'renew':
        return this.#roster.renew(peer, message)
      case 'pause':
        return this.#roster.pause(peer, message)
      case 'leaving':
        return this.#leaving(peer)
      case 'leave':
        this.#leavers.delete(peer)
        return this.#roster.leave(peer)
      case 'adopt':
        return this.sessions.adopt(peer, message.ticket)
      case 'done':
        return this.sessions.done(peer, message)
      case 'fault':
        return this.sessions.failover.fault(peer, message)
      case 'stalled':
        return this.sessions.failover.stalled(peer, message)
      case 'pace':
        if (!this.sessions.standbys.pace(peer, message.session, message.held)) this.sessions.failover.pace(peer, message)
        return
      case 'audited':
      case 'sketched':
      case 'dispute':
        return this.trust.receive(peer, message)
      case 'unaudited':
        if (!this.sessions.standbys.failed(peer, message.shadow)) this.trust.receive(peer, message)
        return
      case 'reopen':
        return this.sessions.reopen(peer, message, project?.id)
      case 'open': {
        const refusal = project && this.#ports.keyRefusal(project)
        if (refusal) return void this.#ports.send(peer, { t: 'error', id: message.id, error: refusal.toWire() })
        return this.sessions.open({
          peer,
          key,
          network,
          viewpoint: project?.id,
          id: message.id,
          revision: message.revision,
          maxPositions: message.maxPositions,
          sampling: message.sampling,
          ...(message.apart ? { apart: message.apart } : {}),
          ...(message.corrects ? { corrects: message.corrects } : {}),
        })
      }
      case 'close':
        return this.sessions.close(peer, message.id)
    }
  }

  /** A peer said hello, perhaps again by another socket: what the one before asked for, nobody there waits for. */
  joined(peer: PeerId): void {
    this.sessions.requesterGone(peer)
  }

  /** Whether sessions may depend on this peer. */
  serves(peer: PeerId): boolean {
    return this.#roster.volunteer(peer)?.holding?.ready !== undefined
  }

  /** The socket of a peer closed: as a volunteer it may come back, as a requester its waiting requests are gone. */
  gone(peer: PeerId): void {
    this.#leavers.delete(peer)
    this.#roster.away(peer)
    this.trust.gone(peer)
    this.sessions.requesterGone(peer)
  }

  /** Leases, queues, waiting proofs, those who want to go. */
  tick(): void {
    this.#roster.tick()
    this.#givers.tick()
    this.sessions.tick()
    this.trust.tick()
    for (const peer of this.#leavers) this.#handedWhenFree(peer)
  }

  /** Found wrong more than once: it is given nothing. */
  #refuse(peer: PeerId): void {
    this.#roster.leave(peer)
    this.#ports.send(peer, { t: 'idle', reason: barredReason })
  }

  #leaving(peer: PeerId): void {
    if (!this.#roster.volunteer(peer)) return void this.#ports.send(peer, { t: 'handed' })
    this.#leavers.add(peer)
    this.#roster.leaving(peer)
    this.sessions.failover.handOver(peer)
    this.#handedWhenFree(peer)
  }

  #handedWhenFree(peer: PeerId): void {
    const v = this.#roster.volunteer(peer)
    if (v && v.sessions > 0) return
    this.#leavers.delete(peer)
    this.#ports.send(peer, { t: 'handed' })
  }

  #info({ model, members }: Swarm): ModelInfo {
    const { revision, manifest, plan } = model
    const serving = [...members].filter(isServing)
    const whole = missingNow(model, members).length === 0
    const coming = missingSegments(model, [...members].filter(isCounted)).length === 0
    return modelInfo(
      { revision, manifest, publication: this.#publications.get(revision) as Publication },
      {
        availability: whole ? 'available' : coming ? 'downloadable' : 'unavailable',
        volunteers: [...members].filter(isCounted).length,
        stages: plan.map((range) => ({ blocks: [range.first, range.end], ready: serving.filter((v) => holds(v, range)).length })),
      },
    )
  }
}
