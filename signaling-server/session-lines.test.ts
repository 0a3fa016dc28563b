/** Who gets a place when the public and projects ask at once, and what is counted of it: whole sessions, in a time that only the test lets pass. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId, ProjectId } from '../protocol/ids.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { cats, dogs } from '../testing/projects.ts'
import { projects, SessionScene, useSessionScene } from '../testing/session-scene.ts'
import { holder, plainManifest, plainModel, usualReady } from '../testing/swarms.ts'
import { everyLineBound, patienceMs, queueBound } from './admission.ts'
import type { Viewpoint } from './audience.ts'
import type { Asked } from './live-session.ts'
import { nothingCounted } from './projects/tally.ts'
import { keptForOwn, route, sessionsPerStage } from './routing.ts'
import { SessionLines } from './session-lines.ts'
import type { Giving, Volunteer } from './swarm.ts'

useSessionScene()

const first: Giving = { project: cats, audience: 'first' }
const only: Giving = { project: cats, audience: 'only' }
let keys = 0

/** Two volunteers that give for a project, and whoever asks: somebody new each time, so that nobody's own sessions count. */
class Lines extends SessionScene {
  constructor(gives?: Giving) {
    super()
    if (gives) for (const v of this.volunteers) v.gives = gives
  }

  ask(id: number, viewpoint?: ProjectId): void {
    const peer = (++keys).toString(16).padStart(64, '0') as PeerId
    this.open(id, { peer, key: peer, maxPositions: 1, ...(viewpoint ? { viewpoint } : {}) })
  }

  /** Every place is taken by the project's own. */
  async fill(): Promise<void> {
    for (let id = 0; id < sessionsPerStage; id++) this.ask(id, cats)
    await this.until(() => (this.all('route').length === sessionsPerStage ? true : undefined))
  }

  /** The oldest that goes on ends. */
  end(): void {
    this.done(this.all('route')[this.ended++]?.ticket as Ticket)
  }

  ended = 0

  get places(): number {
    return this.volunteers[0].sessions
  }

  get waiting(): number {
    return this.sessions.queued
  }
}

const routed = (b: Lines, id: number) => b.told('route', (r) => r.id === id)

describe('volunteers who give for a project first', () => {
  it('[PJ3] serve the public too, but for some places', () => {
    const b = new Lines(first)
    for (let id = 0; id < sessionsPerStage; id++) b.ask(id)
    expect(b.places).toBe(sessionsPerStage - keptForOwn)
    for (let id = 100; id < 100 + sessionsPerStage; id++) b.ask(id, cats)
    expect(b.places).toBe(sessionsPerStage)
  })

  it('[PJ3] take its requests first, whoever came before', async () => {
    const b = new Lines(first)
    await b.fill()
    b.ask(50)
    b.ask(51, dogs)
    b.ask(60, cats)
    b.end()
    await routed(b, 60)
    b.ask(61, cats)
    for (let i = 0; i < keptForOwn + 3; i++) b.end()
    await routed(b, 61)
    await routed(b, 50)
    await routed(b, 51)
    expect(
      b
        .all('route')
        .map((r) => r.id)
        .slice(sessionsPerStage, sessionsPerStage + 2),
    ).toEqual([60, 61])
  })

  it('[PJ3] serve in the end whoever has waited long enough, however busy the project is', async () => {
    const b = new Lines(first)
    await b.fill()
    b.ask(50)
    b.ask(60, cats)
    b.pass(patienceMs)
    for (let id = 70; id < 80; id++) b.ask(id, cats)
    b.end()
    await routed(b, 50)
    b.end()
    await routed(b, 60)
  })
})

describe('volunteers who give for a project alone', () => {
  it('[PJ3] never serve anybody else', () => {
    const b = new Lines(only)
    b.ask(1)
    b.ask(2, dogs)
    expect(b.all('error')).toMatchObject([
      { id: 1, error: { code: 'no-volunteers' } },
      { id: 2, error: { code: 'no-volunteers' } },
    ])
    b.ask(3, cats)
    expect(b.places).toBe(1)
  })

  it('[PJ3] take no place over in the middle of somebody else’s answer, but in their own project’s', async () => {
    const b = new Lines()
    for (const v of b.replicas) v.gives = only
    b.join(...b.replicas)
    const [ticket, own] = [await b.routed(1, { maxPositions: 1 }), await b.routed(2, { maxPositions: 1, viewpoint: cats })]
    expect(ticket.stages.map((s) => s.peer)).toEqual(b.volunteers.map((v) => v.peer))
    expect(own.stages.map((s) => s.peer)).toEqual(b.replicas.map((v) => v.peer))
    b.lose(b.volunteers[0])
    expect(b.all('waiting')).toMatchObject([{ id: 1 }])
    b.lose(b.replicas[1])
    expect((await b.rerouted(1)).stages.map((s) => s.peer)).toEqual([b.replicas[0].peer, b.volunteers[1].peer])
  })
})

describe('lines', () => {
  it('[PJ3] of projects and of the public are bounded each for itself, and all together', async () => {
    const b = new Lines(first)
    await b.fill()
    for (let id = 100; id < 101 + queueBound; id++) b.ask(id)
    expect(b.all('error')).toMatchObject([{ id: 100 + queueBound, error: { code: 'busy' } }])
    b.ask(500, cats)
    expect(b.all('queued').at(-1)).toEqual({ t: 'queued', id: 500, ahead: 0 })
    for (let p = 0; p < 26; p++) {
      const project = `p_${String.fromCharCode(97 + p).repeat(16)}` as ProjectId
      for (let id = 0; id < queueBound; id++) b.ask(1_000 + p * queueBound + id, project)
    }
    expect(b.waiting).toBe(everyLineBound)
  })
})

describe('what is counted', () => {
  const answered = async (gives: Giving | undefined, viewpoint: ProjectId | undefined) => {
    const b = new Lines(gives)
    const ticket = await b.routed(1, viewpoint ? { viewpoint } : {})
    await b.prove(ticket)
    b.done(ticket)
    await b.told('receipt')
    return projects.totals(cats)
  }

  it('[PJ6] of a project’s request that its own volunteers answered', async () => {
    expect(await answered(first, cats)).toEqual({ ...nothingCounted, rows: 38, requests: 1, byAudience: 1 })
  })
  it('[PJ6] of one that the public answered', async () => {
    expect(await answered(undefined, cats)).toEqual({ ...nothingCounted, requests: 1 })
  })
  it('[PJ6] of work that its volunteers gave to others', async () => {
    expect(await answered(first, undefined)).toEqual({ ...nothingCounted, rows: 38 })
  })
  it('[PJ6] of an answer that was broken off: the work, and no request', async () => {
    const b = new Lines(first)
    const ticket = await b.routed(1, { viewpoint: cats })
    await b.prove(ticket)
    b.done(ticket, { finish: 'aborted' })
    b.pass(10_000)
    await b.told('receipt')
    expect(await projects.totals(cats)).toMatchObject({ requests: 0, rows: 38 })
  })
})

describe('over whatever comes', () => {
  const model = {
    ...plainModel(0, [1]),
    manifest: plainManifest([1], { layers: 1, kvHeads: 1, headDim: 1, vocab: 8, context: 64, eos: [0] }),
  }
  /** Of a volunteer's cache, and what a large request takes of it. */
  const cachePositions = 64
  const large = 40
  const lines = fc.oneof(
    { weight: 6, arbitrary: fc.constant<Viewpoint>(cats) },
    { weight: 1, arbitrary: fc.constantFrom<Viewpoint[]>(undefined, dogs) },
  )
  /** Of every second, who asks then: a project that is busier than its volunteers can bear, and others. */
  const arrivals = fc.array(fc.array(fc.record({ line: lines, positions: fc.constantFrom(1, large) }), { minLength: 2, maxLength: 6 }), {
    minLength: 60,
    maxLength: 120,
  })
  const givers = fc.array(fc.constantFrom<(Giving | undefined)[]>(undefined, first, { project: dogs, audience: 'first' }), {
    minLength: 1,
    maxLength: 3,
  })
  const second = 1_000
  const sessionMs = 5 * second

  /** Volunteers that hold all of a model, and sessions of five seconds. */
  function play(gives: readonly (Giving | undefined)[], asks: readonly (readonly { line: Viewpoint; positions: number }[])[]) {
    const ready = { ...usualReady, cachePositions }
    const volunteers = gives.map((g, i) => ({ ...holder(i, model.revision, { first: 0, end: 1 }, ready), ...(g ? { gives: g } : {}) }))
    const since = new Map<Asked, number>()
    const underWay: { readonly v: Volunteer; readonly positions: number; readonly until: number }[] = []
    const admitted: { readonly asked: Asked; readonly v: Volunteer; readonly waitedMs: number; readonly ownWait: boolean }[] = []
    let now = 0
    const waiting = (line: Viewpoint, but?: Asked) => [...since.keys()].some((a) => a !== but && a.viewpoint === line)
    const all = new SessionLines({
      placesOf: () => 0,
      uptime: () => now,
      admit: (asked, terms) => {
        const choice = { viewpoint: asked.viewpoint, random: () => 0.5, ...terms }
        const routing = route({ model, members: new Set(volunteers) }, asked.maxPositions, sessionsPerStage, choice)
        if (!('stages' in routing)) return false
        const [v] = routing.stages as [Volunteer]
        v.sessions += 1
        v.positions += asked.maxPositions
        underWay.push({ v, positions: asked.maxPositions, until: now + sessionMs })
        const theirs = v.gives?.project !== asked.viewpoint ? v.gives?.project : undefined
        admitted.push({ asked, v, waitedMs: now - (since.get(asked) ?? now), ownWait: theirs !== undefined && waiting(theirs, asked) })
        since.delete(asked)
        return true
      },
    })
    let id = 0
    let late = 0
    const pass = (asked: (typeof asks)[number]) => {
      now += second
      for (const session of underWay.filter((u) => u.until <= now)) {
        underWay.splice(underWay.indexOf(session), 1)
        session.v.sessions -= 1
        session.v.positions -= session.positions
      }
      for (const { asked } of all.expired()) late += since.delete(asked) ? 1 : 0
      all.drain()
      for (const { line: viewpoint, positions: maxPositions } of asked) {
        const peer = (++id).toString(16).padStart(64, '0') as PeerId
        const one = { peer, key: peer, network: undefined, id, revision: model.revision, maxPositions, sampling: null, viewpoint }
        since.set(one, now)
        if ('retryAfterMs' in all.enter(one)) since.delete(one)
      }
    }
    for (const asked of asks) pass(asked)
    for (let quiet = 0; quiet < 60 && since.size > 0; quiet++) pass([])
    return { admitted, late: late + since.size }
  }

  it('[PJ3] everybody who waits gets a place in time, however busy the projects are', () => {
    fc.assert(
      fc.property(givers, arrivals, (gives, asks) => {
        const alike = asks.map((all) => all.map(({ line }) => ({ line, positions: 1 })))
        expect(play(gives, alike).late).toBe(0)
      }),
      { numRuns: 50 },
    )
  })

  it('[PJ3] nobody who is impatient gets a place at a project’s volunteers while one of its own waits', () => {
    fc.assert(
      fc.property(givers, arrivals, (gives, asks) => {
        for (const { waitedMs, ownWait } of play(gives, asks).admitted) expect(ownWait && waitedMs < patienceMs).toBe(false)
      }),
      { numRuns: 50 },
    )
  })
})
