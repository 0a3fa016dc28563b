import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../protocol/ids.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { holder, plainManifest, plainModel, usualReady } from '../testing/swarms.ts'
import { keptPlaces, missingNow, reroute, route, sessionsPerStage } from './routing.ts'
import { isServing, type Model, type Swarm, type Volunteer } from './swarm.ts'

const decoder = { layers: 4, kvHeads: 1, headDim: 1, vocab: 8, context: 2048, eos: [0] }
const chat: Model = { ...plainModel(0, [1, 1, 1, 1]), manifest: plainManifest([1, 1, 1, 1], decoder) }

const volunteers = fc
  .array(
    fc.record({
      first: fc.nat(3),
      length: fc.integer({ min: 1, max: 4 }),
      sessions: fc.integer({ min: 0, max: sessionsPerStage }),
      positions: fc.nat(1500),
      msPerRow: fc.constantFrom(0, 1, 20, 1e6),
      power: fc.constantFrom(0, 0.1, 1),
      cachePositions: fc.constantFrom(0, 500, 2000),
      state: fc.constantFrom('ready', 'ready', 'ready', 'loading', 'paused', 'away'),
    }),
    { maxLength: 10 },
  )
  .map((all) =>
    all.map(({ first, length, state, msPerRow, cachePositions, ...rest }, n): Volunteer => {
      const blocks = { first, end: Math.min(4, first + length) }
      const ready = state === 'loading' ? undefined : { ...usualReady, msPerRow, cachePositions }
      const v = { ...holder(n, chat.revision, blocks, ready), ...rest, paused: state === 'paused' }
      return state === 'away' ? { ...v, awaySince: 0 } : v
    }),
  )

const swarm = (members: readonly Volunteer[]): Swarm => ({ model: chat, members: new Set(members) })
const half = () => 0.5

describe('a route', () => {
  it('[TK2] joins up from block 0 to the last, over volunteers that serve and have room, no one twice', () => {
    fc.assert(
      fc.property(volunteers, fc.integer({ min: 1, max: 2048 }), (members, positions) => {
        const routing = route(swarm(members), positions, sessionsPerStage, { random: Math.random })
        if (!('stages' in routing)) return
        let at = 0
        for (const v of routing.stages) {
          expect(v.holding.blocks.first).toBe(at)
          at = v.holding.blocks.end
          expect(isServing(v)).toBe(true)
          expect(v.sessions).toBeLessThan(sessionsPerStage)
          expect(v.positions + positions).toBeLessThanOrEqual(v.holding.ready.cachePositions)
        }
        expect(at).toBe(4)
        expect(new Set(routing.stages).size).toBe(routing.stages.length)
      }),
      { numRuns: 1_000 },
    )
  })

  it('is not given for a reason that holds', () => {
    fc.assert(
      fc.property(volunteers, fc.integer({ min: 1, max: 2048 }), (members, positions) => {
        const idle = members.map((v) => ({ ...v, sessions: 0, positions: 0 }))
        const routing = route(swarm(members), positions, sessionsPerStage, { random: half })
        const alone = route(swarm(idle), positions, sessionsPerStage, { random: half })
        if ('missing' in routing) {
          expect(routing.missing).toEqual(missingNow(chat, members))
          const filled = routing.missing.map((range: BlockRange, n) => holder(100 + n, chat.revision, range))
          expect(missingNow(chat, [...members, ...filled])).toEqual([])
        } else if ('tooLong' in routing) {
          expect(alone).toEqual(routing)
          if (routing.most > 0) expect(route(swarm(idle), routing.most, sessionsPerStage, { random: half })).toHaveProperty('stages')
          expect(routing.most).toBeLessThan(positions)
        } else expect(alone).toHaveProperty('stages')
      }),
      { numRuns: 1_000 },
    )
  })

  it('goes to the quicker of two, and to the freer of two as quick', () => {
    const all = { first: 0, end: 4 }
    const slow = holder(1, chat.revision, all, { ...usualReady, msPerRow: 40 })
    const quick = holder(2, chat.revision, all, { ...usualReady, msPerRow: 10 })
    const busy = { ...holder(3, chat.revision, all, { ...usualReady, msPerRow: 10 }), sessions: 3 }
    expect(route(swarm([slow, busy, quick]), 10, sessionsPerStage, { random: half })).toEqual({ stages: [quick] })
  })

  it('leaves the last places to those who have none', () => {
    const v = { ...holder(1, chat.revision, { first: 0, end: 4 }), sessions: sessionsPerStage - keptPlaces }
    expect(route(swarm([v]), 10, sessionsPerStage - keptPlaces, { random: half })).toEqual({ full: true })
    expect(route(swarm([v]), 10, sessionsPerStage, { random: half })).toEqual({ stages: [v] })
  })
})

describe('[TR] trust in a route', () => {
  const [left, right] = [
    { first: 0, end: 2 },
    { first: 2, end: 4 },
  ]
  const slow = { ...usualReady, msPerRow: 200 }

  it('goes to proven volunteers however slow, and to no more others than need be', () => {
    const proven = holder(1, chat.revision, left, slow)
    const unproven = [holder(2, chat.revision, left), holder(3, chat.revision, right)]
    const choice = { random: half, mayProduce: (peer: PeerId) => peer === proven.peer }
    expect(route(swarm([proven, ...unproven]), 10, sessionsPerStage, choice)).toEqual({ stages: [proven, unproven[1]] })
    // A proven one that is full is waited for.
    expect(route(swarm([{ ...proven, sessions: sessionsPerStage }, ...unproven]), 10, sessionsPerStage, choice)).toEqual({ full: true })
  })

  it('goes without whom it must', () => {
    const [a, b] = [holder(1, chat.revision, { first: 0, end: 4 }), holder(2, chat.revision, { first: 0, end: 4 }, slow)]
    expect(route(swarm([a, b]), 10, sessionsPerStage, { random: half, without: new Set([a.peer]) })).toEqual({ stages: [b] })
    const missing = { missing: [...chat.plan] }
    expect(route(swarm([a, b]), 10, sessionsPerStage, { random: half, without: new Set([a.peer, b.peer]) })).toEqual(missing)
  })
})

describe('[FO1] a reroute', () => {
  const wanted = { maxPositions: 10, maxRows: 16 }
  const random = { random: half }

  it('keeps those who are left, and fills what is missing with one or several', () => {
    const kept = holder(1, chat.revision, { first: 0, end: 2 })
    const whole = holder(2, chat.revision, { first: 0, end: 4 }, { ...usualReady, msPerRow: 1 })
    const parts = [holder(3, chat.revision, { first: 2, end: 3 }), holder(4, chat.revision, { first: 3, end: 4 })]
    expect(reroute(swarm([kept, whole, ...parts]), { kept: [kept], ...wanted }, random)).toEqual({ stages: [kept, ...parts] })
    expect(reroute(swarm([kept, whole]), { kept: [kept], ...wanted }, random)).toEqual({ stages: [whole] })
  })

  it('prefers a standby, then another network prefix, and whoever was not slow a while ago', () => {
    const kept = { ...holder(1, chat.revision, { first: 0, end: 2 }), network: 'here' }
    const near = { ...holder(2, chat.revision, { first: 2, end: 4 }), network: 'here' }
    const far = { ...holder(3, chat.revision, { first: 2, end: 4 }), network: 'there' }
    const both = swarm([kept, near, far])
    expect(reroute(both, { kept: [kept], ...wanted }, random)).toEqual({ stages: [kept, far] })
    expect(reroute(both, { kept: [kept], ...wanted, isStandby: (v) => v === near }, random)).toEqual({ stages: [kept, near] })
    const tired = { ...far, slowUntil: 100 }
    const choice = { random: half, now: 50 }
    expect(reroute(swarm([kept, near, tired]), { kept: [kept], ...wanted }, choice)).toEqual({ stages: [kept, near] })
  })

  it('needs room in the caches and long enough runs, not one of the places that are shared out', () => {
    const kept = holder(1, chat.revision, { first: 0, end: 2 })
    const full = { ...holder(2, chat.revision, { first: 2, end: 4 }), sessions: sessionsPerStage }
    expect(reroute(swarm([kept, full]), { kept: [kept], ...wanted }, random)).toEqual({ stages: [kept, full] })
    expect(reroute(swarm([kept, full]), { kept: [kept], ...wanted, maxPositions: 5000 }, random)).toEqual({ full: true })
    expect(reroute(swarm([kept, full]), { kept: [kept], ...wanted, maxRows: 32 }, random)).toEqual({ full: true })
    const missing = reroute(swarm([kept]), { kept: [kept], ...wanted }, random)
    expect(missing).toEqual({ missing: chat.plan.filter((range) => range.first >= 2) })
  })
})
