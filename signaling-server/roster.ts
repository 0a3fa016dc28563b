/**
 * The volunteers and what they hold: offers, leases, assignments, and swarms by model. What is assigned is placement.ts's
 * decision; this keeps the state that it decides on, and says it to the volunteers.
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { toHex } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision } from '../protocol/ids.ts'
import { leaseMs } from '../protocol/limits.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import type { Backend } from '../protocol/ticket.ts'
import { move, place, type Placement } from './placement.ts'
import { rangeKey, type Giving, type Model, type StageCount, type Swarm, type Volunteer } from './swarm.ts'

export interface RosterPorts {
  readonly stages: StageCount
  /** The epoch under which we own a swarm. */
  epochOf(revision: Revision): number
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
  /** Milliseconds since some moment, which never step back. */
  now(): number
  /** So many bytes that nobody can guess. */
  randomBytes(count: number): Uint8Array
  log(line: string): void
  /** A stage's sessions can't go on there. */
  stageLost(peer: PeerId, why: string): void
  /** There may be room for those who wait. */
  roomMade(): void
  /** Sessions under way wait for somebody who holds a part of this model. */
  awaited(revision: Revision): boolean
  /** A backend that was found wrong on a model: nobody serves it so. */
  quarantined(revision: Revision, backend: Backend, adapter: string): boolean
}

type Of<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>

/** A slow line may take this long for a stage's weights before the assignment is taken back. */
export const loadMs = 15 * 60_000
/** What failed is tried again after this, doubled each time. */
export const firstRetryMs = 10_000
export const longestRetryMs = 10 * 60_000
/** Volunteers without work that are looked at in one tick. */
const idlePerTick = 200
const leaseBytes = 16

export class Roster {
  readonly #ports: RosterPorts
  readonly #swarms = new Map<Revision, Swarm & { members: Set<Volunteer> }>()
  readonly #volunteers = new Map<PeerId, Volunteer>()
  /** Willing and without work, in the order in which they are looked at, with the reason they heard last. */
  readonly #idle = new Map<Volunteer, string>()

  constructor(ports: RosterPorts) {
    this.#ports = ports
  }

  get size(): number {
    return this.#volunteers.size
  }

  swarm(revision: Revision): Swarm | undefined {
    return this.#swarms.get(revision)
  }

  swarms(): Swarm[] {
    return [...this.#swarms.values()]
  }

  volunteer(peer: PeerId): Volunteer | undefined {
    return this.#volunteers.get(peer)
  }

  volunteers(): Volunteer[] {
    return [...this.#volunteers.values()]
  }

  /** The models there are now; the swarm of one that went is let go. */
  setModels(models: readonly Omit<Model, 'demand' | 'demandAt'>[]): void {
    const offered = new Set(models.map((m) => m.revision))
    for (const [revision, { members }] of this.#swarms) {
      if (offered.has(revision)) continue
      // Gone first: those who wait for it hear that it is, not that volunteers are few.
      this.#swarms.delete(revision)
      for (const v of members) this.#unassign(v, 'This model is no longer offered.')
    }
    for (const model of models) {
      if (this.#swarms.has(model.revision)) continue
      this.#swarms.set(model.revision, { model: { ...model, demand: 0, demandAt: this.#ports.now() }, members: new Set() })
    }
    this.#placeIdle()
  }

  /** Another server has that swarm now. Who was in it, and is not known here any more; nothing is taken from them. */
  letGo(revision: Revision): PeerId[] {
    const members = [...(this.#swarms.get(revision)?.members ?? [])]
    this.#swarms.delete(revision)
    for (const v of members) {
      this.#volunteers.delete(v.peer)
      delete v.holding
    }
    return members.map((v) => v.peer)
  }

  /**
   * @param network the prefix of its address, where that counts
   * @param gives for which project, if any
   */
  offer(peer: PeerId, key: string, network: string | undefined, offer: Of<'offer'>, gives?: Giving): void {
    const { memoryBytes, power, backends, models, holding } = offer
    const known = this.#volunteers.get(peer)
    if (known && holding && known.holding?.lease === holding.lease && known.holding.ready) return this.#renewed(peer, holding.lease)
    if (known) this.#forget(known, 'A volunteer began anew.')
    const failures = known?.failures ?? new Map()
    const v: Volunteer = {
      peer,
      key,
      memoryBytes,
      power,
      backends,
      models,
      since: known?.since ?? this.#ports.now(),
      willing: true,
      paused: false,
      sessions: 0,
      positions: 0,
      failures,
      ...(network === undefined ? {} : { network }),
      ...(gives ? { gives } : {}),
    }
    this.#volunteers.set(peer, v)
    if (holding && this.#takeOver(v, holding)) return
    this.#idle.set(v, '')
    this.#assign(v)
  }

  /** @throws ManyhandsError bad-message when it did not offer that backend */
  ready(peer: PeerId, { lease, backend, adapter, rowLimit, msPerRow, cachePositions }: Of<'ready'>): void {
    const v = this.#holder(peer, lease)
    if (!v) return
    if (v.backends.length > 0 && !v.backends.includes(backend))
      throw new ManyhandsError('bad-message', `This volunteer did not offer ${backend}.`)
    if (this.#ports.quarantined(v.holding.revision, backend, adapter)) {
      this.#failedAt(v, v.holding)
      return this.#unassign(
        v,
        `Answers of ${this.#name(v.holding.revision)} computed on ${backend} have been wrong. It is not asked for there.`,
      )
    }
    v.holding = { ...v.holding, ready: { backend, adapter, rowLimit, msPerRow, cachePositions }, expiresAt: this.#ports.now() + leaseMs }
    v.failures.delete(rangeKey(v.holding.revision, v.holding.blocks))
    this.#ports.log(
      `${short(peer)} serves ${this.#name(v.holding.revision)}, blocks ${v.holding.blocks.first + 1}-${v.holding.blocks.end}, on ${backend}`,
    )
    this.#ports.roomMade()
  }

  /** It offers again when it is ready to; nothing is pushed at a peer that just failed. */
  failed(peer: PeerId, { lease, error }: Of<'failed'>): void {
    const v = this.#volunteers.get(peer)
    if (v?.holding?.lease !== lease) return
    const { revision, blocks } = v.holding
    this.#failedAt(v, v.holding)
    this.#ports.log(
      `${short(peer)} could not serve ${this.#name(revision)}, blocks ${blocks.first + 1}-${blocks.end}: ${error.code}: ${error.message}`,
    )
    v.willing = false
    this.#release(v, 'A volunteer could not go on.')
  }

  renew(peer: PeerId, { lease }: Of<'renew'>): void {
    this.#renewed(peer, lease)
  }

  pause(peer: PeerId, { paused }: Of<'pause'>): void {
    const v = this.#volunteers.get(peer)
    if (!v || v.paused === paused) return
    v.paused = paused
    if (!paused) this.#ports.roomMade()
  }

  /** It wants to go: others are given its part now, while it still serves. */
  leaving(peer: PeerId): void {
    const v = this.#volunteers.get(peer)
    if (!v) return
    v.leaving = true
    v.willing = false
    this.#idle.delete(v)
    this.#placeMissing()
  }

  leave(peer: PeerId): void {
    const v = this.#volunteers.get(peer)
    if (v) this.#forget(v, 'A volunteer left.')
  }

  /** Its socket is gone, and perhaps it with it: its sessions are over, but while its lease lasts it may come back to serve. */
  away(peer: PeerId): void {
    const v = this.#volunteers.get(peer)
    if (!v) return
    if (!v.holding?.ready) return this.#forget(v, 'A volunteer went away.')
    v.awaySince = this.#ports.now()
    this.#ports.stageLost(peer, 'A volunteer went away.')
    this.#placeMissing()
  }

  /** What it holds is over, whatever it says; it may offer again. */
  dismiss(peer: PeerId, reason: string): void {
    const v = this.#volunteers.get(peer)
    if (v) this.#unassign(v, reason)
  }

  /** Leases that ran out; parts that nobody holds; volunteers without work. */
  tick(): void {
    const now = this.#ports.now()
    for (const v of this.#volunteers.values()) {
      if (!v.holding || v.holding.expiresAt >= now) continue
      if (v.awaySince === undefined) this.#unassign(v, 'The lease was not renewed in time.')
      else this.#forget(v, 'A volunteer went away.')
    }
    this.#placeMissing()
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** A part that nobody holds any more goes to somebody free, or to a replica that can be spared. */
  #placeMissing(): void {
    this.#placeIdle()
    const moved = move(this.swarms(), this.#ports.stages, this.#ports.now(), (revision) => this.#ports.awaited(revision))
    if (moved) this.#give(moved.volunteer, moved.placement)
  }

  /** What it holds from before this server began is its lease as it is, where it is still of use. */
  #takeOver(v: Volunteer, { lease, revision, blocks: [first, end], ...ready }: NonNullable<Of<'offer'>['holding']>): boolean {
    const swarm = this.#swarms.get(revision)
    if (!swarm || end <= first || end > swarm.model.manifest.blocks.length) return false
    if (v.backends.length > 0 && !v.backends.includes(ready.backend)) return false
    if (this.#ports.quarantined(revision, ready.backend, ready.adapter)) return false
    v.holding = { lease, revision, blocks: { first, end }, ready, expiresAt: this.#ports.now() + leaseMs }
    swarm.members.add(v)
    this.#ports.log(`${short(v.peer)} serves ${this.#name(revision)} still, blocks ${first + 1}-${end}, on ${ready.backend}`)
    this.#ports.send(v.peer, { t: 'renewed', lease })
    this.#ports.roomMade()
    return true
  }

  #renewed(peer: PeerId, lease: string): void {
    const v = this.#holder(peer, lease)
    if (!v) return
    v.holding.expiresAt = this.#ports.now() + leaseMs
    this.#ports.send(peer, { t: 'renewed', lease })
  }

  /** Not tried there again for a while. */
  #failedAt(v: Volunteer, { revision, blocks }: Pick<Placement, 'revision' | 'blocks'>): void {
    const key = rangeKey(revision, blocks)
    const times = (v.failures.get(key)?.times ?? 0) + 1
    v.failures.set(key, { times, until: this.#ports.now() + Math.min(longestRetryMs, firstRetryMs * 2 ** (times - 1)) })
  }

  #placeIdle(): void {
    // A copy: whoever finds nothing is put at the end.
    const idle = [...this.#idle.keys()].filter((v) => !v.paused)
    for (const v of idle.slice(0, idlePerTick)) this.#assign(v)
  }

  #assign(v: Volunteer): void {
    if (!v.willing || v.holding || v.paused) return
    const told = this.#idle.get(v)
    // Whoever finds nothing goes to the end, so that with many idle ones each has its turn.
    this.#idle.delete(v)
    const placement = place(v, this.swarms(), this.#ports.stages, this.#ports.now())
    if (!('idle' in placement)) return this.#give(v, placement)
    this.#idle.set(v, placement.idle)
    if (placement.idle !== told) this.#ports.send(v.peer, { t: 'idle', reason: placement.idle })
  }

  /** An assignment; what it held before is over. */
  #give(v: Volunteer, { revision, blocks }: Placement): void {
    this.#idle.delete(v)
    this.#release(v, 'A volunteer was given other work.')
    const lease = toHex(this.#ports.randomBytes(leaseBytes))
    v.holding = { lease, revision, blocks, expiresAt: this.#ports.now() + loadMs }
    this.#swarms.get(revision)?.members.add(v)
    const sent = this.#ports.send(v.peer, {
      t: 'assign',
      lease,
      revision,
      blocks: [blocks.first, blocks.end],
      epoch: this.#ports.epochOf(revision),
      leaseMs,
    })
    if (!sent) this.away(v.peer)
  }

  /** It has to offer again. */
  #unassign(v: Volunteer, reason: string): void {
    const lease = v.holding?.lease ?? ''
    v.willing = false
    this.#release(v, reason)
    this.#ports.send(v.peer, { t: 'unassign', lease, reason })
  }

  /** The one place where a holding ends. */
  #release(v: Volunteer, why: string): void {
    const { holding } = v
    if (!holding) return
    this.#swarms.get(holding.revision)?.members.delete(v)
    delete v.holding
    this.#ports.stageLost(v.peer, why)
  }

  #forget(v: Volunteer, why: string): void {
    this.#idle.delete(v)
    this.#volunteers.delete(v.peer)
    this.#release(v, why)
  }

  /** The volunteer if that lease is its own, back if it was away; else it hears that it is not. */
  #holder(peer: PeerId, lease: string): (Volunteer & { holding: NonNullable<Volunteer['holding']> }) | undefined {
    const v = this.#volunteers.get(peer)
    if (v?.holding?.lease === lease) {
      if (v.awaySince !== undefined) {
        delete v.awaySince
        this.#ports.roomMade()
      }
      return v as Volunteer & { holding: NonNullable<Volunteer['holding']> }
    }
    this.#ports.send(peer, { t: 'unassign', lease, reason: 'The server does not know this lease any more.' })
    return undefined
  }

  #name(revision: Revision): string {
    return this.#swarms.get(revision)?.model.manifest.name ?? revision.slice(0, 12)
  }
}

const short = (peer: PeerId) => peer.slice(0, 8)
