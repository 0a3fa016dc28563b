/** Who is given which part of which model, how long it is theirs, and what becomes of it when they fail, go, or come again. */
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../protocol/ids.ts'
import { leaseMs } from '../protocol/limits.ts'
import { idleStats, isWhole, mega, RosterScene } from '../testing/roster-scene.ts'
import { peerOf, revisionOf, usualReady } from '../testing/swarms.ts'
import { firstRetryMs } from './roster.ts'

describe('a lease', () => {
  const whole = [mega]
  const joined = () => {
    const s = new RosterScene(1, [whole])
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
    s.roster.renew(peer, { t: 'renew', lease: 'f'.repeat(32), stats: idleStats })
    expect(s.told.get(peer)?.at(-1)).toMatchObject({ t: 'unassign', lease: 'f'.repeat(32) })
  })

  it('outlives a lost socket: its sessions are over, and with a renewal the volunteer serves on', () => {
    const { s, lease, peer } = joined()
    s.roster.away(peer)
    expect(s.lost).toEqual([peer])
    expect(isWhole(s, 0)).toBe(false)
    s.now += leaseMs - 1
    s.roster.tick()
    s.roster.renew(peer, { t: 'renew', lease, stats: idleStats })
    expect(isWhole(s, 0)).toBe(true)
  })

  it('of one who went away does not send on whoever took its place, as a person does who comes again with a new key', () => {
    const s = new RosterScene(2, [[1, 1]])
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
  const s = new RosterScene(1, [[mega]])
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
  const s = new RosterScene('auto', [Array.from({ length: 4 }, () => 150 * mega)])
  const peer = peerOf(1)
  s.join(peer, 2 ** 30)
  expect(s.assigned(peer)?.blocks).toEqual([0, 4])
  s.fail(peer)
  s.offer(peer)
  expect(s.assigned(peer)?.blocks).toEqual([0, 1])
})

it('paused volunteers without work keep nobody else from theirs', () => {
  const s = new RosterScene(1, [])
  for (let n = 0; n < 300; n++) {
    s.join(peerOf(n), mega)
    s.pause(peerOf(n), true)
  }
  s.join(peerOf(300), mega)
  s.setModels(1, [[mega]])
  expect(s.assigned(peerOf(300))).toBeDefined()
})

it('a model that nobody holds comes before one more replica of another, however slow that one computes', () => {
  const s = new RosterScene(1, [[1], [1]])
  for (const i of [1, 2]) {
    s.join(peerOf(i), mega)
    s.ready(peerOf(i))
  }
  expect([1, 2].map((i) => s.assigned(peerOf(i))?.revision)).toEqual([revisionOf(0), revisionOf(1)])
})

describe('[PL5] every part has a second holder before another has a third', () => {
  const [ada, bob, cyd, dan, eve] = [1, 2, 3, 4, 5].map(peerOf) as [PeerId, PeerId, PeerId, PeerId, PeerId]
  const firstOf = (s: RosterScene, peer: PeerId) => s.assigned(peer)?.blocks[0]

  it('when somebody joins, however slow the two holders of the other are', () => {
    const s = new RosterScene(2, [[mega, mega]])
    for (const peer of [ada, bob, cyd]) s.join(peer, 10 * mega)
    s.settle(leaseMs)
    const alone = [ada, bob, cyd].find((peer, _, all) => all.filter((p) => firstOf(s, p) === firstOf(s, peer)).length === 1) as PeerId
    s.join(dan, 10 * mega)
    expect(firstOf(s, dan)).toBe(firstOf(s, alone))
  })

  it('and when holders leave: one that can be spared goes over', () => {
    const s = new RosterScene(2, [[mega, mega]])
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
  const offer = (s: RosterScene, change: object = {}) =>
    s.roster.offer(peer, peer, undefined, {
      t: 'offer',
      memoryBytes: 10 * mega,
      models: [],
      power: 1,
      backends: ['wasm'],
      holding: { lease, revision: revisionOf(0), blocks: [0, 1], ...usualReady, ...change },
    })

  it('goes on as it is, under the same lease', () => {
    const s = new RosterScene(2, [[mega, mega]])
    s.join(peer, 10 * mega)
    offer(s)
    expect(s.told.get(peer)?.at(-1)).toEqual({ t: 'renewed', lease })
    expect(s.roster.volunteer(peer)?.holding).toMatchObject({ lease, blocks: { first: 0, end: 1 }, ready: { rowLimit: 16 } })
    s.roster.renew(peer, { t: 'renew', lease, stats: idleStats })
    expect(s.told.get(peer)?.at(-1)).toEqual({ t: 'renewed', lease })
    // Said again, as after another blip, it costs nothing.
    const before = s.lost.length
    offer(s)
    expect(s.lost).toHaveLength(before)
  })

  it('is given anew where it is of no use: another model, blocks that are none, a backend not offered', () => {
    for (const change of [{ revision: revisionOf(7) }, { blocks: [1, 1] }, { blocks: [1, 3] }, { backend: 'webgpu' }]) {
      const s = new RosterScene(2, [[mega, mega]])
      s.join(peer, 10 * mega)
      offer(s, change)
      expect(s.told.get(peer)?.at(-1)).toMatchObject({ t: 'assign', revision: revisionOf(0) })
    }
  })
})

it('[PL7] the part of one that is leaving goes to others while it still serves', () => {
  const [ada, bob] = [peerOf(1), peerOf(2)]
  const s = new RosterScene(1, [[mega]])
  s.join(ada, 10 * mega)
  s.ready(ada)
  s.roster.leaving(ada)
  s.join(bob, 10 * mega)
  expect(s.assigned(bob)?.blocks).toEqual([0, 1])
  expect(s.roster.volunteer(ada)?.holding).toBeDefined()
})
