/** Volunteers come and go in any order, in a time that stands still but for what the test lets pass. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId, Revision } from '../protocol/ids.ts'
import { leaseMs } from '../protocol/limits.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { peerOf, plainManifest, revisionOf, usualReady } from '../testing/swarms.ts'
import { firstRetryMs, longestRetryMs, Roster } from './roster.ts'
import { missingNow } from './routing.ts'
import { bytesNeeded, planOf, type StageCount, type Swarm } from './swarm.ts'

type Assign = Extract<ServerMessage, { t: 'assign' }>

const tickMs = 500
const stats = { steps: 0, rows: 0, busyMs: 0, sentBytes: 0, receivedBytes: 0 }
const error = { code: 'engine-failed', message: 'No luck.' } as const

/** Volunteers as the SDK makes them: they load what they are given, renew it, and offer again when it is taken back. */
class Simulation {
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
        else this.roster.renew(peer, { t: 'renew', lease: v.assign.lease, stats })
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

const mega = 1_000_000
const people = 10
const blockBytes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }).map((sizes) => sizes.map((s) => s * mega))

type Event =
  | { readonly t: 'join' | 'drop' | 'leave' | 'ready' | 'fail' | 'pause' | 'resume'; readonly who: number; readonly memory: number }
  | 'tick'
  | 'wait'

const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom<Event>('tick', 'wait') },
    {
      weight: 8,
      arbitrary: fc.record({
        t: fc.constantFrom('join', 'join', 'join', 'drop', 'leave', 'ready', 'fail', 'pause', 'resume'),
        who: fc.nat(people - 1),
        memory: fc.integer({ min: 1, max: 8 }),
      }),
    },
  ),
  { maxLength: 40 },
)

function happen(s: Simulation, event: Event): void {
  if (event === 'tick') return s.tick()
  if (event === 'wait') return s.settle(leaseMs)
  const peer = peerOf(event.who)
  switch (event.t) {
    case 'join':
      return s.join(peer, event.memory * mega)
    case 'drop':
      return s.drop(peer)
    case 'leave':
      s.roster.leave(peer)
      return s.drop(peer)
    case 'ready':
      return s.ready(peer)
    case 'fail':
      return s.fail(peer)
    default:
      return s.pause(peer, event.t === 'pause')
  }
}

/** After all that, everybody who is left means well, for as long as any pause after a failure lasts. */
function settled(stages: StageCount, models: readonly (readonly number[])[], happenings: readonly Event[]): Simulation {
  const s = new Simulation(stages, models)
  for (const event of happenings) happen(s, event)
  for (const peer of s.peers) s.pause(peer, false)
  const failures = happenings.filter((event) => typeof event === 'object' && event.t === 'fail').length
  s.settle(3 * leaseMs + (failures > 0 ? Math.min(longestRetryMs, firstRetryMs * 2 ** failures) : 0))
  return s
}

const isWhole = (s: Simulation, model: number) => {
  const swarm = s.roster.swarm(revisionOf(model)) as Swarm
  return missingNow(swarm.model, swarm.members).length === 0
}

/** Whether each segment can have a holder of its own: Kuhn's matching, tried anew from nothing. */
function coverable(needs: readonly number[], memories: readonly number[]): boolean {
  const held = new Map<number, number>()
  const place = (segment: number, tried: Set<number>): boolean =>
    memories.some((memory, v) => {
      if (memory < (needs[segment] as number) || tried.has(v)) return false
      tried.add(v)
      const other = held.get(v)
      if (other !== undefined && !place(other, tried)) return false
      held.set(v, segment)
      return true
    })
  return needs.every((_, segment) => place(segment, new Set()))
}

describe('whatever order volunteers join, leave, fail and pause in', () => {
  it('what each is given fits its memory, begins and ends where segments do, and is of a model it chose', () => {
    fc.assert(
      fc.property(blockBytes, fc.constantFrom<StageCount>('auto', 1, 2, 3), events, (bytes, stages, happenings) => {
        const s = new Simulation(stages, [bytes])
        for (const event of happenings) {
          happen(s, event)
          const { model, members } = s.roster.swarm(revisionOf(0)) as Swarm
          for (const { holding, memoryBytes } of members) {
            const blocks = holding?.blocks as BlockRange
            expect(bytesNeeded(model.manifest, blocks)).toBeLessThanOrEqual(memoryBytes)
            expect(model.plan.map((range) => range.first)).toContain(blocks.first)
            expect(model.plan.map((range) => range.end)).toContain(blocks.end)
          }
        }
      }),
    )
  })

  it('in so many stages the model is whole in the end exactly if those who are left can hold it', () => {
    fc.assert(
      fc.property(blockBytes, fc.integer({ min: 1, max: 5 }), events, (bytes, stages, happenings) => {
        const s = settled(stages, [bytes], happenings)
        const { plan, manifest } = (s.roster.swarm(revisionOf(0)) as Swarm).model
        const needs = plan.map((range) => bytesNeeded(manifest, range))
        expect(isWhole(s, 0)).toBe(coverable(needs, s.memories))
      }),
      {
        numRuns: 500,
        // The only one with room for the largest part had taken another, which had to be handed on first.
        examples: [[[1 * mega, 1 * mega, 2 * mega], 3, [1, 2, 1].map((memory, who) => ({ t: 'join' as const, who, memory }))]],
      },
    )
  })

  it('by size the model is whole in the end if one of those who are left can hold all of it', () => {
    fc.assert(
      fc.property(blockBytes, events, (bytes, happenings) => {
        const s = settled('auto', [bytes], happenings)
        const all = bytes.reduce((sum, b) => sum + b, 0)
        if (s.memories.some((memory) => memory >= all)) expect(isWhole(s, 0)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('every model is whole in the end if there are as many left as all of them have parts, and each can hold any', () => {
    const models = fc.array(blockBytes, { minLength: 1, maxLength: 2 })
    fc.assert(
      fc.property(models, fc.constantFrom<StageCount>('auto', 2, 3), events, (bytes, stages, happenings) => {
        const roomy = happenings.map((event) => (typeof event === 'object' ? { ...event, memory: 20 } : event))
        const s = settled(stages, bytes, roomy)
        const parts = s.roster.swarms().reduce((sum, { model }) => sum + model.plan.length, 0)
        if (s.peers.length >= parts) expect(bytes.map((_, i) => isWhole(s, i))).not.toContain(false)
      }),
      { numRuns: 200 },
    )
  })

  it('when nothing changes any more, nobody is given other work', () => {
    fc.assert(
      fc.property(blockBytes, fc.constantFrom<StageCount>('auto', 1, 2, 3), events, (bytes, stages, happenings) => {
        const s = settled(stages, [bytes, [mega, mega]], happenings)
        const before = s.peers.map((peer) => s.assigned(peer)?.lease)
        s.settle(3 * leaseMs)
        expect(s.peers.map((peer) => s.assigned(peer)?.lease)).toEqual(before)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a lease', () => {
  const whole = [mega]
  const joined = () => {
    const s = new Simulation(1, [whole])
    s.join(peerOf(1), mega)
    s.ready(peerOf(1))
    return { s, lease: s.assigned(peerOf(1))?.lease ?? '', peer: peerOf(1) }
  }

  it('[PL3] ends when it is not renewed, and the volunteer hears it', () => {
    const { s, lease, peer } = joined()
    s.now += leaseMs + 1
    s.roster.tick()
    expect(s.told.get(peer)?.at(-1)).toMatchObject({ t: 'unassign', lease })
    expect(isWhole(s, 0)).toBe(false)
  })

  it('[PL3] that the server does not know is answered with unassign', () => {
    const { s, peer } = joined()
    s.roster.renew(peer, { t: 'renew', lease: 'f'.repeat(32), stats })
    expect(s.told.get(peer)?.at(-1)).toMatchObject({ t: 'unassign', lease: 'f'.repeat(32) })
  })

  it('outlives a lost socket: its sessions are over, and with a renewal the volunteer serves on', () => {
    const { s, lease, peer } = joined()
    s.roster.away(peer)
    expect(s.lost).toEqual([peer])
    expect(isWhole(s, 0)).toBe(false)
    s.now += leaseMs - 1
    s.roster.tick()
    s.roster.renew(peer, { t: 'renew', lease, stats })
    expect(isWhole(s, 0)).toBe(true)
  })

  it('of one who went away does not send on whoever took its place, as a person does who comes again with a new key', () => {
    const s = new Simulation(2, [[1, 1]])
    s.join(peerOf(1), mega)
    s.ready(peerOf(1))
    s.drop(peerOf(1))
    s.join(peerOf(2), mega)
    const taken = s.assigned(peerOf(2))
    expect(taken?.blocks).toEqual([0, 1])
    s.tick()
    expect(s.assigned(peerOf(2))).toBe(taken)
  })

  it('of one who stays away ends without a word, and is forgotten', () => {
    const { s, peer } = joined()
    s.roster.away(peer)
    s.now += leaseMs + 1
    s.roster.tick()
    expect(s.roster.size).toBe(0)
    expect(s.told.get(peer)?.at(-1)).not.toMatchObject({ t: 'unassign' })
  })

  it('ends with its model: a volunteer that offers again hears that there is none', () => {
    const { s, lease, peer } = joined()
    s.setModels(1, [])
    expect(s.told.get(peer)?.at(-1)).toMatchObject({ t: 'unassign', lease })
    s.offer(peer)
    expect(s.told.get(peer)?.at(-1)).toMatchObject({ t: 'idle' })
  })
})

it('what failed is not given again before its time, and later each time', () => {
  const s = new Simulation(1, [[mega]])
  const peer = peerOf(1)
  s.join(peer, mega)
  for (const pauseMs of [firstRetryMs, 2 * firstRetryMs, 4 * firstRetryMs]) {
    s.fail(peer)
    s.offer(peer)
    expect(s.assigned(peer)).toBeUndefined()
    s.now += pauseMs - 1
    s.roster.tick()
    expect(s.assigned(peer)).toBeUndefined()
    s.now += 1
    s.roster.tick()
    expect(s.assigned(peer)).toBeDefined()
  }
})

it('by size, what failed as a whole is tried in part', () => {
  const s = new Simulation('auto', [Array.from({ length: 4 }, () => 150 * mega)])
  const peer = peerOf(1)
  s.join(peer, 2 ** 30)
  expect(s.assigned(peer)?.blocks).toEqual([0, 4])
  s.fail(peer)
  s.offer(peer)
  expect(s.assigned(peer)?.blocks).toEqual([0, 1])
})

it('paused volunteers without work keep nobody else from theirs', () => {
  const s = new Simulation(1, [])
  for (let n = 0; n < 300; n++) {
    s.join(peerOf(n), mega)
    s.pause(peerOf(n), true)
  }
  s.join(peerOf(300), mega)
  s.setModels(1, [[mega]])
  expect(s.assigned(peerOf(300))).toBeDefined()
})

it('a model that nobody holds comes before one more replica of another, however slow that one computes', () => {
  const s = new Simulation(1, [[1], [1]])
  for (const i of [1, 2]) {
    s.join(peerOf(i), mega)
    s.ready(peerOf(i))
  }
  expect([1, 2].map((i) => s.assigned(peerOf(i))?.revision)).toEqual([revisionOf(0), revisionOf(1)])
})

describe('[PL5] every part has a second holder before another has a third', () => {
  const [ada, bob, cyd, dan, eve] = [1, 2, 3, 4, 5].map(peerOf) as [PeerId, PeerId, PeerId, PeerId, PeerId]
  const firstOf = (s: Simulation, peer: PeerId) => s.assigned(peer)?.blocks[0]

  it('when somebody joins, however slow the two holders of the other are', () => {
    const s = new Simulation(2, [[mega, mega]])
    for (const peer of [ada, bob, cyd]) s.join(peer, 10 * mega)
    s.settle(leaseMs)
    const alone = [ada, bob, cyd].find((peer, _, all) => all.filter((p) => firstOf(s, p) === firstOf(s, peer)).length === 1) as PeerId
    s.join(dan, 10 * mega)
    expect(firstOf(s, dan)).toBe(firstOf(s, alone))
  })

  it('and when holders leave: one that can be spared goes over', () => {
    const s = new Simulation(2, [[mega, mega]])
    for (const peer of [ada, bob, cyd, dan, eve]) s.join(peer, 10 * mega)
    s.settle(leaseMs)
    const holders = (first: number) => s.peers.filter((peer) => firstOf(s, peer) === first)
    const few = holders(0).length === 2 ? 0 : 1
    s.drop(holders(few)[0] as PeerId)
    s.settle(leaseMs)
    expect([holders(0).length, holders(1).length]).toEqual([2, 2])
  })
})

describe('[AD1] what is held from before the server began', () => {
  const peer = peerOf(1)
  const lease = 'e'.repeat(32)
  const offer = (s: Simulation, change: object = {}) =>
    s.roster.offer(peer, peer, undefined, {
      t: 'offer',
      memoryBytes: 10 * mega,
      models: [],
      power: 1,
      backends: ['wasm'],
      holding: { lease, revision: revisionOf(0), blocks: [0, 1], ...usualReady, ...change },
    })

  it('goes on as it is, under the same lease', () => {
    const s = new Simulation(2, [[mega, mega]])
    s.join(peer, 10 * mega)
    offer(s)
    expect(s.told.get(peer)?.at(-1)).toEqual({ t: 'renewed', lease })
    expect(s.roster.volunteer(peer)?.holding).toMatchObject({ lease, blocks: { first: 0, end: 1 }, ready: { rowLimit: 16 } })
    s.roster.renew(peer, { t: 'renew', lease, stats })
    expect(s.told.get(peer)?.at(-1)).toEqual({ t: 'renewed', lease })
    // Said again, as after another blip, it costs nothing.
    const before = s.lost.length
    offer(s)
    expect(s.lost).toHaveLength(before)
  })

  it('is given anew where it is of no use: another model, blocks that are none, a backend not offered', () => {
    for (const change of [{ revision: revisionOf(7) }, { blocks: [1, 1] }, { blocks: [1, 3] }, { backend: 'webgpu' }]) {
      const s = new Simulation(2, [[mega, mega]])
      s.join(peer, 10 * mega)
      offer(s, change)
      expect(s.told.get(peer)?.at(-1)).toMatchObject({ t: 'assign', revision: revisionOf(0) })
    }
  })
})

it('[PL7] the part of one that is leaving goes to others while it still serves', () => {
  const [ada, bob] = [peerOf(1), peerOf(2)]
  const s = new Simulation(1, [[mega]])
  s.join(ada, 10 * mega)
  s.ready(ada)
  s.roster.leaving(ada)
  s.join(bob, 10 * mega)
  expect(s.assigned(bob)?.blocks).toEqual([0, 1])
  expect(s.roster.volunteer(ada)?.holding).toBeDefined()
})
