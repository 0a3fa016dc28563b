import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { maxShownVolunteers, networkOverviewSchema } from '../protocol/overview.ts'
import type { ModelInfo } from '../protocol/server-messages.ts'
import { holder, peerOf, plainModel, plainVolunteer, usualReady } from '../testing/swarms.ts'
import { coverageOf, networkOverview, type OverviewState } from './overview.ts'
import type { Swarm, Volunteer } from './swarm.ts'

const model = plainModel(
  1,
  Array.from({ length: 12 }, () => 1),
)
const info = (change: Partial<ModelInfo> = {}): ModelInfo => ({
  name: 'plain',
  title: 'Plain',
  task: 'other',
  license: 'Apache-2.0',
  revision: model.revision,
  bytes: 1,
  context: 0,
  availability: 'available',
  volunteers: 0,
  blocks: 12,
  stages: [],
  publication: { v: 1, revision: model.revision, publisher: 'a'.repeat(64), issuedAt: 1, signature: 'b'.repeat(128) },
  ...change,
})
const range = (first: number, end: number) => ({ first, end })
const loading = (n: number, first: number, end: number) =>
  plainVolunteer(n, { holding: { lease: 'c'.repeat(32), revision: model.revision, blocks: range(first, end), expiresAt: Infinity } })

function overview(members: readonly Volunteer[], change: Partial<OverviewState> = {}) {
  const swarm: Swarm = { model, members: new Set(members.filter((v) => v.holding)) }
  return networkOverview({
    models: [info()],
    swarms: new Map([[model.revision, swarm]]),
    volunteers: members,
    trustOf: () => 'new',
    busyness: () => ({ sessions: 0, queued: 0, rowsPerSecond: 0 }),
    audits: { agreed: 0, lost: 0, split: 0, undone: 0 },
    quarantines: [],
    now: 1,
    uptime: 60_000,
    ...change,
  })
}

describe('[OV1] coverage', () => {
  it('is told in runs of blocks that are held alike, from the first block to the last', () => {
    const members = [holder(1, model.revision, range(0, 4)), holder(2, model.revision, range(2, 6)), loading(3, 6, 9)]
    expect(coverageOf(12, members, (peer) => (peer === peerOf(2) ? 'proven' : 'new'))).toEqual([
      { blocks: [0, 2], holders: 1, ready: 1, proven: 0 },
      { blocks: [2, 4], holders: 2, ready: 2, proven: 1 },
      { blocks: [4, 6], holders: 1, ready: 1, proven: 1 },
      { blocks: [6, 9], holders: 1, ready: 0, proven: 0 },
      { blocks: [9, 12], holders: 0, ready: 0, proven: 0 },
    ])
  })

  it('counts nobody who is paused, away or on the way out', () => {
    const gone = [{ paused: true }, { awaySince: 5 }, { leaving: true }].map((change, i) =>
      Object.assign(holder(i, model.revision, range(0, 12)), change),
    )
    expect(coverageOf(12, gone, () => 'proven')).toEqual([{ blocks: [0, 12], holders: 0, ready: 0, proven: 0 }])
  })

  it('is as another server tells it where that one has the swarm', () => {
    const told = info({ volunteers: 7, stages: [{ blocks: [0, 12], ready: 7 }] })
    const [elsewhere] = overview([], { models: [told], swarms: new Map() }).models
    expect(elsewhere).toMatchObject({ here: false, volunteers: 7, coverage: [{ blocks: [0, 12], holders: 7, ready: 7, proven: 0 }] })
  })
})

describe('[OV2] volunteers', () => {
  it('say what they hold and how they are', () => {
    const members = [
      Object.assign(holder(1, model.revision, range(0, 4), { ...usualReady, msPerRow: 8 }), { sessions: 2, since: 10_000 }),
      loading(2, 4, 8),
      plainVolunteer(3),
      Object.assign(plainVolunteer(4), { paused: true }),
      Object.assign(holder(5, model.revision, range(8, 12)), { awaySince: 1 }),
    ]
    const { volunteers, models } = overview(members)
    expect(volunteers).toMatchObject({ online: 4, serving: 1 })
    expect(volunteers.shown[0]).toEqual({
      peer: peerOf(1),
      state: 'serving',
      trust: 'new',
      onlineMs: 50_000,
      sessions: 2,
      revision: model.revision,
      blocks: [0, 4],
      backend: 'wasm',
      rowsPerSecond: 125,
    })
    expect(volunteers.shown.map(({ state }) => state)).toEqual(['serving', 'loading', 'waiting', 'paused', 'away'])
    expect(models[0]).toMatchObject({ here: true, backends: { webgpu: 0, wasm: 1 } })
  })

  it('are a sample of 5,000 that stays the same, while counts and coverage are of all', () => {
    const members = Array.from({ length: 5_000 }, (_, n) => holder(n, model.revision, range(3 * (n % 4), 3 * (n % 4) + 3)))
    const seen = overview(members)
    expect(seen.volunteers).toMatchObject({ online: 5_000, serving: 5_000 })
    expect(seen.volunteers.shown).toHaveLength(maxShownVolunteers)
    expect(overview(members.toReversed()).volunteers.shown).toEqual(seen.volunteers.shown)
    expect(seen.models[0]?.coverage).toEqual([{ blocks: [0, 12], holders: 1_250, ready: 1_250, proven: 0 }])
    expect(v.safeParse(networkOverviewSchema, JSON.parse(JSON.stringify(seen))).success).toBe(true)
  })
})
