/** A roster and its volunteers, in a time that stands still but for what the test lets pass. */
import type { PeerId, Revision } from '../protocol/ids.ts'
import { leaseMs } from '../protocol/limits.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { Roster } from '../signaling-server/roster.ts'
import { missingNow } from '../signaling-server/routing.ts'
import { planOf, type StageCount, type Swarm } from '../signaling-server/swarm.ts'
import { plainManifest, revisionOf, usualReady } from './swarms.ts'

type Assign = Extract<ServerMessage, { t: 'assign' }>

/** One megabyte, as blocks and memories are counted here. */
export const mega = 1_000_000
const tickMs = 500
/** What a renewal says of a volunteer that has done nothing yet. */
export const idleStats = { steps: 0, rows: 0, busyMs: 0, sentBytes: 0, receivedBytes: 0 }
const error = { code: 'engine-failed', message: 'No luck.' } as const

/** Volunteers as the SDK makes them: they load what they are given, renew it, and offer again when it is taken back. */
export class RosterScene {
  now = 1_000_000
  readonly roster: Roster
  readonly lost: PeerId[] = []
  readonly told = new Map<PeerId, ServerMessage[]>()
  readonly #online = new Map<PeerId, { memoryBytes: number; models: Revision[]; assign?: Assign; ready: boolean }>()
  #leases = 0

  constructor(stages: StageCount, models: readonly (readonly number[])[]) {
    this.roster = new Roster({
      stages,
      epochOf: () => 1,
      send: (peer, message) => this.#hear(peer, message),
      now: () => this.now,
      randomBytes: (count) => Uint8Array.from({ length: count }, (_, i) => (this.#leases++ >> (8 * i)) & 255),
      log: () => undefined,
      stageLost: (peer) => this.lost.push(peer),
      roomMade: () => undefined,
      awaited: () => false,
      quarantined: () => false,
    })
    this.setModels(stages, models)
  }

  setModels(stages: StageCount, models: readonly (readonly number[])[]): void {
    this.roster.setModels(
      models.map((bytes, i) => {
        const manifest = plainManifest(bytes)
        return { revision: revisionOf(i), manifest, plan: planOf(manifest, stages) }
      }),
    )
  }

  get peers(): PeerId[] {
    return [...this.#online.keys()]
  }

  get memories(): number[] {
    return [...this.#online.values()].map((v) => v.memoryBytes)
  }

  assigned(peer: PeerId): Assign | undefined {
    return this.#online.get(peer)?.assign
  }

  join(peer: PeerId, memoryBytes: number, models: Revision[] = []): void {
    this.#online.set(peer, { memoryBytes, models, ready: false })
    this.offer(peer)
  }

  offer(peer: PeerId): void {
    const v = this.#online.get(peer)
    if (v)
      this.roster.offer(peer, peer, undefined, { t: 'offer', memoryBytes: v.memoryBytes, models: v.models, power: 1, backends: ['wasm'] })
  }

  ready(peer: PeerId): void {
    const v = this.#online.get(peer)
    if (!v?.assign) return
    v.ready = true
    this.roster.ready(peer, { t: 'ready', lease: v.assign.lease, ...usualReady })
  }

  /** The stage breaks; with the next `settle` the volunteer offers again. */
  fail(peer: PeerId): void {
    const v = this.#online.get(peer)
    if (!v?.assign) return
    const { lease } = v.assign
    delete v.assign
    this.roster.failed(peer, { t: 'failed', lease, error })
  }

  /** Its tab is closed. */
  drop(peer: PeerId): void {
    this.#online.delete(peer)
    this.roster.away(peer)
  }

  pause(peer: PeerId, paused: boolean): void {
    this.roster.pause(peer, { t: 'pause', paused })
  }

  /** Time passes as it does: everybody loads, renews, and offers again what broke. */
  settle(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      for (const [peer, v] of this.#online) {
        if (!v.assign) this.offer(peer)
        else if (!v.ready) this.ready(peer)
        else this.roster.renew(peer, { t: 'renew', lease: v.assign.lease, stats: idleStats })
      }
      this.now += leaseMs / 3
      for (let i = 0; i < 4; i++) this.tick()
    }
  }

  tick(): void {
    this.now += tickMs
    this.roster.tick()
  }

  #hear(peer: PeerId, message: ServerMessage): boolean {
    const v = this.#online.get(peer)
    if (!v) return false
    this.told.set(peer, [...(this.told.get(peer) ?? []), message])
    if (message.t === 'assign') {
      v.assign = message
      v.ready = false
    } else if (message.t === 'unassign' && v.assign?.lease === message.lease) delete v.assign
    return true
  }
}

/** Whether every part of a model has somebody who serves it. */
export const isWhole = (s: RosterScene, model: number) => {
  const swarm = s.roster.swarm(revisionOf(model)) as Swarm
  return missingNow(swarm.model, swarm.members).length === 0
}
