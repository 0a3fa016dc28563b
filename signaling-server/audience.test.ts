/** [PJ3] [PJ4] Whom volunteers serve, over random swarms: what routing and placement make of who gives for whom. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ProjectId } from '../protocol/ids.ts'
import { cats, dogs } from '../testing/projects.ts'
import { holder, plainModel, plainVolunteer, usualReady } from '../testing/swarms.ts'
import { distance, mayServe, seenFrom, viewpointsOf, type Viewpoint } from './audience.ts'
import { move, place } from './placement.ts'
import { keptForOwn, reroute, route, sessionsPerStage, type Serving } from './routing.ts'
import type { Giving, Volunteer } from './swarm.ts'

const blocks = 3
const model = plainModel(0, [1, 1, 1])

const giving = fc.option(
  fc.record({ project: fc.constantFrom(cats, dogs), audience: fc.constantFrom<Giving['audience'][]>('first', 'only') }),
  { nil: undefined },
)
const viewpoint = fc.constantFrom<Viewpoint[]>(undefined, cats, dogs)
const range = fc.constantFrom([0, 1], [1, 2], [2, 3], [0, 2], [1, 3], [0, 3])
const members = fc
  .array(fc.record({ gives: giving, range, sessions: fc.nat(9), msPerRow: fc.integer({ min: 1, max: 500 }), ready: fc.boolean() }), {
    maxLength: 14,
  })
  .map(
    (all) =>
      new Set(
        all.map(({ gives, range: [first = 0, end = 0], sessions, msPerRow, ready }, i): Volunteer => ({
          ...holder(i, model.revision, { first, end }, ready ? { ...usualReady, msPerRow } : undefined),
          sessions,
          ...(gives ? { gives } : {}),
        })),
      ),
  )
const random = () => 0.5
const idle = (all: ReadonlySet<Volunteer>) => new Set([...all].map((v) => ({ ...v, sessions: 0 })))

describe('a route', () => {
  it('never goes over somebody who gives to another project alone', () => {
    fc.assert(
      fc.property(members, viewpoint, (all, from) => {
        const routing = route({ model, members: all }, 1, sessionsPerStage, { viewpoint: from, random })
        for (const v of 'stages' in routing ? routing.stages : [])
          expect(v.gives?.audience === 'only' && v.gives.project !== from).toBe(false)
      }),
    )
  })

  it('nor does one in whose middle somebody was lost', () => {
    fc.assert(
      fc.property(members, viewpoint, fc.nat(13), (all, from, n) => {
        const kept = [...all].filter((v): v is Serving => v.holding?.ready !== undefined && mayServe(v, from)).slice(n, n + 1)
        const routing = reroute({ model, members: all }, { kept, maxPositions: 1, maxRows: 1 }, { viewpoint: from, random })
        for (const v of 'stages' in routing ? routing.stages : []) expect(mayServe(v, from)).toBe(true)
      }),
    )
  })

  it('goes over the project’s own where they can do it without anybody else', () => {
    fc.assert(
      fc.property(members, (all) => {
        const swarm = { model, members: idle(all) }
        const own = { model, members: new Set([...swarm.members].filter((v) => v.gives?.project === cats)) }
        const alone = route(own, 1, sessionsPerStage, { viewpoint: cats, random })
        fc.pre('stages' in alone)
        const routing = route(swarm, 1, sessionsPerStage, { viewpoint: cats, random })
        expect('stages' in routing && routing.stages.every((v) => distance(v, cats) === 0)).toBe(true)
      }),
    )
  })

  it('of the public goes over who gives to the public where they can do it', () => {
    fc.assert(
      fc.property(members, (all) => {
        const swarm = { model, members: idle(all) }
        const alone = route({ model, members: new Set([...swarm.members].filter((v) => !v.gives)) }, 1, sessionsPerStage, { random })
        fc.pre('stages' in alone)
        const routing = route(swarm, 1, sessionsPerStage, { random })
        expect('stages' in routing && routing.stages.every((v) => !v.gives)).toBe(true)
      }),
    )
  })

  it('leaves places at a project’s volunteers to the project', () => {
    const one = (sessions: number, gives: Giving): Volunteer => ({
      ...holder(1, model.revision, { first: 0, end: blocks }),
      sessions,
      gives,
    })
    const full = (v: Volunteer, from: Viewpoint) =>
      'full' in route({ model, members: new Set([v]) }, 1, sessionsPerStage, { viewpoint: from, random })
    const gives: Giving = { project: cats, audience: 'first' }
    expect(full(one(sessionsPerStage - keptForOwn, gives), undefined)).toBe(true)
    expect(full(one(sessionsPerStage - keptForOwn, gives), dogs)).toBe(true)
    expect(full(one(sessionsPerStage - keptForOwn - 1, gives), undefined)).toBe(false)
    expect(full(one(sessionsPerStage - 1, gives), cats)).toBe(false)
  })

  it('waits where all that is missing is reserved, and is refused where nobody who may serve holds a part', () => {
    const swarm = (gives: Giving) => ({ model, members: new Set([{ ...holder(1, model.revision, { first: 0, end: blocks }), gives }]) })
    const reserved = () => true
    expect(route(swarm({ project: cats, audience: 'first' }), 1, sessionsPerStage, { reserved, random })).toEqual({ full: true })
    expect(route(swarm({ project: cats, audience: 'only' }), 1, sessionsPerStage, { random })).toEqual({ missing: [...model.plan] })
  })
})

describe('coverage', () => {
  it('is what those hold who may serve: the very swarm for who sees all of it', () => {
    fc.assert(
      fc.property(members, viewpoint, (all, from) => {
        const seen = seenFrom(from, all)
        expect([...seen]).toEqual([...all].filter((v) => mayServe(v, from)))
        if ([...all].every((v) => mayServe(v, from))) expect(seen).toBe(all)
      }),
    )
  })

  it('of a newcomer to the public has a gap where only a project’s own hold a part', () => {
    const only: Giving = { project: cats, audience: 'only' }
    const all = new Set<Volunteer>([
      { ...holder(1, model.revision, { first: 0, end: 2 }), gives: only },
      holder(2, model.revision, { first: 2, end: 3 }),
    ])
    const swarms = [{ model, members: all }]
    expect(place(plainVolunteer(9), swarms, 3, 0)).toMatchObject({ blocks: { first: 0, end: 1 } })
    // For the project nothing is missing; what one alone holds comes next.
    const own = place(plainVolunteer(9, { gives: only }), swarms, 'auto', 0)
    expect(own).toMatchObject({ revision: model.revision })
    expect('blocks' in own && own.blocks.end - own.blocks.first).toBe(1)
  })

  it('is mended from each viewpoint by those whose viewpoint it is, and no move takes from the public what it has', () => {
    fc.assert(
      fc.property(members, (all) => {
        const everybody = idle(all)
        const swarms = [{ model, members: everybody }]
        const lacks = (from: Viewpoint, m: ReadonlySet<Volunteer>) =>
          model.plan.filter(
            (s) => ![...seenFrom(from, m)].some((v) => v.holding && v.holding.blocks.first <= s.first && v.holding.blocks.end >= s.end),
          ).length
        const moved = move(swarms, 3, 0)
        fc.pre(moved !== undefined)
        if (!moved) return
        const after = new Set(
          [...everybody].map((v) =>
            v === moved.volunteer && v.holding ? { ...v, holding: { ...v.holding, blocks: moved.placement.blocks } } : v,
          ),
        )
        for (const from of viewpointsOf(everybody)) expect(lacks(from, after)).toBeLessThanOrEqual(lacks(from, everybody))
      }),
    )
  })

  it('is mended for each of many projects, in turn', () => {
    const projects = Array.from({ length: 30 }, (_, i) => `p_${String(i).padStart(16, 'a')}` as ProjectId)
    // Each holds the first block twice, and the second not at all.
    const all = projects.flatMap((project, i) =>
      [0, 1].map((twin) => ({
        ...holder(2 * i + twin, model.revision, { first: 0, end: 2 }),
        gives: { project, audience: 'only' as const },
      })),
    )
    const helped = new Set<ProjectId | undefined>()
    for (let now = 0; now < 10_000; now += 500) {
      const left = all.filter((v) => !helped.has(v.gives.project))
      const moved = move([{ model, members: new Set(left) }], 3, now)
      if (moved) helped.add(moved.volunteer.gives?.project)
    }
    expect(helped.size).toBeGreaterThan(10)
  })
})
