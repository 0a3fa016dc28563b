import { describe, expect, it } from 'vitest'
import { barsOf, coverageSentence, heightsOf, mostBars } from './coverage.ts'

const run = (first: number, end: number, ready: number, holders = ready) => ({
  blocks: [first, end] as [number, number],
  holders,
  ready,
  proven: 0,
})

describe('coverage', () => {
  it('is drawn as it is told while the bars can be told apart, else by the weakest of each', () => {
    const few = [run(0, 3, 1), run(3, 9, 2)]
    expect(barsOf(few)).toEqual(few)
    const many = Array.from({ length: 1000 }, (_, i) => run(i, i + 1, i === 500 ? 0 : 5_000))
    const bars = barsOf(many)
    expect(bars).toHaveLength(mostBars)
    expect(bars.filter(({ ready }) => ready === 0)).toHaveLength(1)
    expect([bars[0]?.blocks[0], bars.at(-1)?.blocks[1]]).toEqual([0, 1000])
  })

  it('shows one volunteer beside five thousand', () => {
    expect(heightsOf(run(0, 1, 1), 5_000).ready).toBeGreaterThan(0.05)
    expect(heightsOf(run(0, 1, 5_000), 5_000).ready).toBe(1)
    expect(heightsOf({ ...run(0, 1, 2, 4), proven: 1 }, 4)).toEqual({ proven: 0.25, ready: 0.25, loading: 0.5 })
  })

  it('is said in a sentence: what is missing, or how many there are at least', () => {
    expect(coverageSentence('M', [run(0, 9, 1), run(9, 12, 3)])).toBe(
      'M: every block has at least 1 volunteer that serves it now, 3 at most.',
    )
    expect(coverageSentence('M', [run(0, 9, 0), run(9, 10, 0, 1), run(10, 12, 3)])).toContain('nobody serves blocks 1–10 now')
    expect(coverageSentence('M', [run(0, 12, 0)])).toContain('nobody serves any of its blocks')
  })
})
