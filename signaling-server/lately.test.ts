import { describe, expect, it } from 'vitest'
import { Lately } from './lately.ts'

describe('what grew lately', () => {
  it('is counted from the oldest sample of the window, or since it began', () => {
    const lately = new Lately<'rows'>(60, 10)
    expect(lately.of('rows', 5, 0)).toEqual({ growth: 0, ms: 0 })
    // The total is ten times the time.
    for (let now = 0; now <= 40; now += 5) lately.note(now, () => new Map([['rows', now * 10]]))
    expect(lately.of('rows', 450, 45)).toEqual({ growth: 450, ms: 45 })
    for (let now = 45; now <= 200; now += 5) lately.note(now, () => new Map([['rows', now * 10]]))
    expect(lately.of('rows', 2000, 200)).toEqual({ growth: 600, ms: 60 })
  })

  it('asks for totals only when a sample is due, and counts one that is new from nothing', () => {
    const lately = new Lately<'rows' | 'audits'>(60, 10)
    let asked = 0
    const totals = () => {
      asked += 1
      return new Map([['rows', 1] as const])
    }
    for (const now of [0, 3, 9, 10, 11]) lately.note(now, totals)
    expect(asked).toBe(2)
    expect(lately.of('audits', 3, 12)).toEqual({ growth: 3, ms: 12 })
  })
})
