import { describe, expect, it } from 'vitest'
import { holder, peerOf, revisionOf, usualReady } from '../testing/swarms.ts'
import { agedMs } from './trust/policy.ts'
import { standbyFor, standbyFromRows, standbyPays, type StandbyWanted } from './standby.ts'

const blocks = { first: 2, end: 4 }
const wanted: StandbyWanted = { blocks, taken: new Set([peerOf(1)]), maxPositions: 400, maxRows: 16, decoder: true }
const replica = (n: number, range = blocks, ready = usualReady) => holder(n, revisionOf(0), range, ready)
const none = () => 0

describe('[FO8] a standby', () => {
  it('pays for long sessions of decoders alone', () => {
    expect(standbyPays(standbyFromRows - 1, true, 0)).toBe(false)
    expect(standbyPays(standbyFromRows, true, 0)).toBe(true)
    expect(standbyPays(standbyFromRows, false, 0)).toBe(false)
    // Who has stayed for long stays on.
    expect(standbyPays(standbyFromRows, true, agedMs)).toBe(false)
  })

  it('is a replica of exactly these blocks, with room and long enough runs, which takes no part yet', () => {
    const [good] = [replica(9)]
    const unfit = [
      replica(1),
      replica(2, { first: 0, end: 4 }),
      replica(3, blocks, { ...usualReady, rowLimit: 8 }),
      replica(4, blocks, { ...usualReady, cachePositions: 300 }),
      { ...replica(5), paused: true },
      { ...replica(6), leaving: true },
      { ...replica(7), sessions: 8 },
    ]
    expect(standbyFor([...unfit, good], wanted, none)).toBe(good)
    expect(standbyFor(unfit, wanted, none)).toBeUndefined()
  })

  it('is the least busy one, and nobody stands by for everything', () => {
    const [busy, free] = [{ ...replica(8), sessions: 2 }, replica(9)]
    expect(standbyFor([busy, free], wanted, none)).toBe(free)
    expect(standbyFor([busy, free], wanted, (v) => (v === free ? 2 : 0))).toBe(busy)
    expect(standbyFor([busy, free], wanted, () => 2)).toBeUndefined()
  })
})
