import { describe, expect, it } from 'vitest'
import { barsOf, bestOf, dayBefore, everyDay, niceTop } from './day-bars.ts'

describe('a chart by days', () => {
  it('has every day, those without anything too, over the ends of months', () => {
    const days = everyDay([{ day: '2026-03-01', values: [3, 4] }], '2026-02-27', '2026-03-01')
    expect(days).toEqual([
      { day: '2026-02-27', values: [0, 0] },
      { day: '2026-02-28', values: [0, 0] },
      { day: '2026-03-01', values: [3, 4] },
    ])
    expect(bestOf(days)?.day).toBe('2026-03-01')
  })

  it('stacks the series up to a top that can be read', () => {
    const { bars, top } = barsOf([
      { day: '2026-01-01', values: [100, 60] },
      { day: '2026-01-02', values: [0, 0] },
    ])
    expect(top).toBe(200)
    expect(bars[0]?.parts).toEqual([
      { y: 0, height: 0.5 },
      { y: 0.5, height: 0.3 },
    ])
    expect(bars.map(({ x, width }) => x + width)).toEqual([expect.closeTo(0.45), expect.closeTo(0.95)])
    expect([0, 1, 3, 20, 21, 999, 5_000_001].map(niceTop)).toEqual([1, 1, 5, 20, 50, 1000, 10_000_000])
  })

  it('ends today, wherever one is', () => {
    const now = Date.UTC(2026, 2, 1, 0, 5)
    expect([dayBefore(now, 0), dayBefore(now, 1)]).toEqual(['2026-03-01', '2026-02-28'])
  })
})
