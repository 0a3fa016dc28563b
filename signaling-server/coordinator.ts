/**
 * The server's one place of state: models, volunteers, sessions, queues. Every event of a socket ends here, is decided by the
 * pure parts (placement, routing, admission, custody), and goes out again as messages. It knows sockets only by peer id.
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { toHex } from '../protocol/bytes.ts'
import type { PeerId, Revision } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { leaseMs } from '../protocol/limits.ts'
import type { Manifest } from '../protocol/manifest.ts'
import type { ModelInfo, Publication, ServerMessage } from '../protocol/server-messages.ts'
import { place } from './placement.ts'
import { Sessions, type Asked } from './sessions.ts'
import type { Store } from './store.ts'
import { holders, planOf, rangeKey, type Model, type StageCount, type Volunteer } from './swarm.ts'

export interface PublishedModel {
  readonly revision: Revision
  readonly manifest: Manifest
  readonly publication: Publication
}

export interface CoordinatorPorts {
  readonly identity: Identity
  readonly store: Store
  readonly stages: StageCount
  /** The epoch under which we own a swarm. */
  epochOf(revision: Revision): number
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
  now(): number
  log(line: string): void
}

type Of<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>

/** A range that failed at a volunteer is not tried there again for this long. */
const avoidMs = 60_000

export class Coordinator {
  readonly sessions: Sessions
  readonly #ports: CoordinatorPorts
  readonly #models = new Map<Revision, Model & { publication: Publication }>()
  readonly #volunteers = new Map<PeerId, Volunteer>()

  constructor(ports: CoordinatorPorts) {
    this.#ports = ports
    this.sessions = new Sessions({ ...ports, models: this.#models, volunteers: this.#volunteers })
  }

  get volunteers(): number {
    return this.#volunteers.size
  }

  /** The models there are now; a swarm whose model went is let go. */
  setModels(models: readonly PublishedModel[]): void {
    const wanted = new Set(models.map((m) => m.revision))
    for (const revision of this.#models.keys()) if (!wanted.has(revision)) this.#models.delete(revision)
    for (const { revision, manifest, publication } of models) {
      if (this.#models.has(revision)) continue
      this.#models.set(revision, { revision, manifest, publication, plan: planOf(manifest, this.#ports.stages), demand: 0, demandAt: this.#ports.now() })
    }
    for (const v of this.#volunteers.values()) {
      if (v.holding && !wanted.has(v.holding.revision)) this.#unassign(v, 'This model is no longer offered.')
    }
    this.#placeIdle()
  }

  models(): ModelInfo[] {
    return [...this.#models.values()].map((model) => this.#info(model))
  }

  receive(peer: PeerId, key: string, message: Exclude<ClientMessage, { t: 'hello' }>): void {
    switch (message.t) {
      case 'models':
        return void this.#ports.send(peer, { t: 'models', id: message.id, models: this.models() })
      case 'offer':
        return this.offer(peer, key, message)
      case 'ready':
        return this.ready(peer, message)
      case 'failed':
        return this.failed(peer, message)
      case 'renew':
        return this.renew(peer, message)
      case 'pause':
        return this.pause(peer, message)
      case 'leave':
        return this.leave(peer)
      case 'done':
        return this.sessions.done(peer, message)
      case 'fault':
        return this.sessions.fault(peer, message.session, message.error)
      case 'open':
        return this.sessions.open({ peer, key, id: message.id, revision: message.revision, maxPositions: message.maxPositions })
      case 'close':
        return this.sessions.close(peer, message.id)
    }
  }

  serves(peer: PeerId): boolean {
    return this.#volunteers.get(peer)?.holding?.ready !== undefined
  }

  // ---- Volunteers --------------------------------------------------------------------------------------------------

  offer(peer: PeerId, key: string, message: Of<'offer'>): void {
    const { memoryBytes, power, backends, models } = message
    const known = this.#volunteers.get(peer)
    if (known?.holding) this.sessions.stageLost(peer, 'A volunteer began anew.')
    const avoid = known?.avoid ?? new Map<string, number>()
    this.#volunteers.set(peer, { peer, key, memoryBytes, power, backends, models, joinedAt: this.#ports.now(), paused: false, sessions: 0, positions: 0, avoid })
    this.#assign(peer)
  }

  ready(peer: PeerId, { lease, backend, rowLimit, msPerRow, cachePositions }: Of<'ready'>): void {
    const v = this.#volunteers.get(peer)
    if (!v?.holding || v.holding.lease !== lease) return this.#unknownLease(peer, lease)
    v.holding = { ...v.holding, expiresAt: this.#ports.now() + leaseMs, ready: { backend, rowLimit, msPerRow, cachePositions } }
    this.#ports.log(`${short(peer)} serves blocks ${v.holding.blocks.first}-${v.holding.blocks.end} on ${backend}`)
    this.sessions.drainQueues()
  }

  failed(peer: PeerId, { lease, error }: Of<'failed'>): void {
    const v = this.#volunteers.get(peer)
    if (!v?.holding || v.holding.lease !== lease) return
    v.avoid.set(rangeKey(v.holding.revision, v.holding.blocks), this.#ports.now() + avoidMs)
    this.#ports.log(`${short(peer)} could not serve: ${error.code} ${error.message}`)
    this.sessions.stageLost(peer, 'A volunteer could not go on.')
    delete v.holding
    // It offers again when it is ready to; nothing is pushed at a peer that just failed.
    this.#volunteers.delete(peer)
    this.#placeIdle()
  }

  renew(peer: PeerId, { lease }: Of<'renew'>): void {
    const v = this.#volunteers.get(peer)
    if (!v?.holding || v.holding.lease !== lease) return this.#unknownLease(peer, lease)
    v.holding.expiresAt = this.#ports.now() + leaseMs
    this.#ports.send(peer, { t: 'renewed', lease })
  }

  pause(peer: PeerId, { paused }: Of<'pause'>): void {
    const v = this.#volunteers.get(peer)
    if (!v || v.paused === paused) return
    v.paused = paused
    if (!paused) this.sessions.drainQueues()
    this.#placeIdle()
  }

  leave(peer: PeerId): void {
    if (!this.#volunteers.has(peer)) return
    this.sessions.stageLost(peer, 'A volunteer left.')
    this.#volunteers.delete(peer)
    this.#placeIdle()
  }

  // ---- Requesters --------------------------------------------------------------------------------------------------

  open(asked: Asked): void {
    this.sessions.open(asked)
  }

  /** The socket of a peer closed: as a volunteer it is gone, as a requester its waiting requests are. */
  gone(peer: PeerId): void {
    this.leave(peer)
    this.sessions.requesterGone(peer)
  }

  /** Once a second: leases, queues, waiting proofs. */
  tick(): void {
    const now = this.#ports.now()
    for (const v of this.#volunteers.values()) {
      if (v.holding && v.holding.expiresAt < now) this.#unassign(v, 'The lease was not renewed in time.')
    }
    this.sessions.tick()
    this.#placeIdle()
  }

  // ------------------------------------------------------------------------------------------------------------------

  #assign(peer: PeerId): void {
    const v = this.#volunteers.get(peer)
    if (!v || v.holding) return
    const now = this.#ports.now()
    const others = [...this.#volunteers.values()].filter((o) => o !== v)
    const placement = place(v, others, [...this.#models.values()], this.#ports.stages, now)
    if ('idle' in placement) {
      this.#ports.send(peer, { t: 'idle', reason: placement.idle })
      return
    }
    const { revision, blocks } = placement
    const lease = toHex(crypto.getRandomValues(new Uint8Array(16)))
    v.holding = { lease, revision, blocks, expiresAt: now + loadMs }
    const sent = this.#ports.send(peer, { t: 'assign', lease, revision, blocks: [blocks.first, blocks.end], epoch: this.#ports.epochOf(revision), leaseMs })
    if (!sent) this.leave(peer)
  }

  /** Volunteers without work are looked at again whenever something changed. */
  #placeIdle(): void {
    for (const v of this.#volunteers.values()) if (!v.holding && !v.paused) this.#assign(v.peer)
  }

  #unassign(v: Volunteer, reason: string): void {
    const lease = v.holding?.lease ?? ''
    this.sessions.stageLost(v.peer, reason)
    delete v.holding
    this.#volunteers.delete(v.peer)
    this.#ports.send(v.peer, { t: 'unassign', lease, reason })
  }

  #unknownLease(peer: PeerId, lease: string): void {
    this.#ports.send(peer, { t: 'unassign', lease, reason: 'The server does not know this lease any more.' })
  }

  #info({ revision, manifest, plan, publication }: Model & { publication: Publication }): ModelInfo {
    const all = [...this.#volunteers.values()]
    const ready = plan.map((range) => holders(all, revision, range, 'ready').length)
    const coming = plan.map((range) => holders(all, revision, range, 'any').length)
    const bytes = manifest.graph.bytes + manifest.shards.reduce((sum, s) => sum + s.bytes, 0)
    return {
      name: manifest.name,
      title: manifest.title,
      task: manifest.task,
      license: manifest.license,
      revision,
      bytes,
      context: manifest.decoder?.context ?? 0,
      availability: Math.min(...ready) > 0 ? 'available' : Math.min(...coming) > 0 ? 'downloadable' : 'unavailable',
      volunteers: all.filter((v) => v.holding?.revision === revision).length,
      blocks: manifest.blocks.length,
      stages: plan.map(({ first, end }, i) => ({ blocks: [first, end], ready: ready[i] as number })),
      publication,
    }
  }
}

/** A slow line may take this long for a stage's weights before the assignment is taken back. */
const loadMs = 15 * 60_000

const short = (peer: PeerId) => peer.slice(0, 8)
