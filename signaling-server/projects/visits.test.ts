/** [PJ7] Visitors and consents: what one network can make of them. */
import { describe, expect, it } from 'vitest'
import { cats, dogs } from '../../testing/projects.ts'
import { peerOf } from '../../testing/swarms.ts'
import type { Tally } from '../store.ts'
import { perNetworkAndDay, Visits } from './visits.ts'

const dayMs = 24 * 3600_000

function scene() {
  const counted: Tally[] = []
  const clock = { now: 1_700_000_000_000, fails: false }
  const visits = new Visits({
    store: {
      count: async (tallies) => {
        if (clock.fails) throw new Error('the disk is full')
        counted.push(...tallies)
      },
      forget: async () => undefined,
    },
    boot: 'boot',
    now: () => clock.now,
    log: () => undefined,
  })
  const sum = async (counter: Tally['counter'], project = cats) => {
    await visits.written()
    return counted.filter((t) => t.counter === counter && t.project === project).reduce((all, t) => all + t.amount, 0)
  }
  return { visits, counted, clock, sum }
}

describe('visitors', () => {
  it('count, a few a day from one network and project', async () => {
    const { visits, clock, sum } = scene()
    for (let i = 0; i < 3 * perNetworkAndDay; i++) visits.shown(cats, `93.184.216.${i % 250}`)
    for (let i = 0; i < 7; i++) visits.shown(cats, '2001:db8:1::1')
    visits.shown(dogs, '93.184.216.1')
    expect(await sum('visitors')).toBe(perNetworkAndDay + 7)
    expect(await sum('visitors', dogs)).toBe(1)
    clock.now += dayMs
    for (let i = 0; i < 3 * perNetworkAndDay; i++) visits.shown(cats, '93.184.216.9')
    expect(await sum('visitors')).toBe(2 * perNetworkAndDay + 7)
    await visits.close()
  })

  it('of a machine without a network’s prefix count by its address', async () => {
    const { visits, sum } = scene()
    for (let i = 0; i < 2 * perNetworkAndDay; i++) visits.shown(cats, '127.0.0.1')
    expect(await sum('visitors')).toBe(perNetworkAndDay)
    await visits.close()
  })

  it('are written under another name each time, so that none takes another’s place', async () => {
    const { visits, counted } = scene()
    for (let i = 0; i < 3; i++) {
      visits.shown(cats, '93.184.216.1')
      await visits.written()
    }
    expect(new Set(counted.map((t) => t.id)).size).toBe(3)
    await visits.close()
  })
})

describe('consents', () => {
  it('count once for a key and day, and new keys of one network only so often', async () => {
    const { visits, counted, sum } = scene()
    for (let i = 0; i < 5; i++) visits.consented(cats, peerOf(1), 'n')
    await visits.written()
    visits.consented(cats, peerOf(1), 'n')
    for (let i = 0; i < 3 * perNetworkAndDay; i++) visits.consented(cats, peerOf(100 + i), 'n')
    await sum('consents')
    // The store takes one of an id.
    expect(new Set(counted.map((t) => t.id)).size).toBeLessThanOrEqual(perNetworkAndDay)
    expect(counted.filter((t) => t.id.startsWith(peerOf(1))).every((t) => t.id === counted[0]?.id)).toBe(true)
    await visits.close()
  })
})

it('a store that fails is tried again with what comes next', async () => {
  const { visits, clock, sum } = scene()
  clock.fails = true
  visits.shown(cats, '93.184.216.1')
  await visits.written()
  clock.fails = false
  visits.shown(cats, '93.184.216.1')
  expect(await sum('visitors')).toBeGreaterThan(0)
  await visits.close()
})
