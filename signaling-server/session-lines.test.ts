/** Who gets a place when the public and projects ask at once, and what is counted of it: whole sessions, in a time that only the test lets pass. */
import { describe, expect, it } from 'vitest'
import type { PeerId, ProjectId } from '../protocol/ids.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { cats, dogs } from '../testing/projects.ts'
import { projects, SessionScene, useSessionScene } from '../testing/session-scene.ts'
import { everyLineBound, patienceMs, queueBound } from './admission.ts'
import { nothingCounted } from './projects/tally.ts'
import { keptForOwn, sessionsPerStage } from './routing.ts'
import type { Giving } from './swarm.ts'

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
