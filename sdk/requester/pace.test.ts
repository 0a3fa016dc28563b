import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Pace } from './pace.ts'

describe('pace', () => {
  it('lets one more in for every round that went well, up to the bound', () => {
    const pace = new Pace(2, 4)
    const limits: number[] = []
    for (let i = 0; i < 20; i++) {
      limits.push(pace.limit)
      pace.went()
    }
    expect(limits.slice(0, 4)).toEqual([2, 2, 2, 3])
    expect(pace.limit).toBe(4)
  })

  it('goes back to as many as had places when one waits in line, and to half when one is turned away', () => {
    const pace = new Pace(12, 32)
    pace.queued(9)
    expect(pace.limit).toBe(8)
    pace.turnedAway(8)
    expect(pace.limit).toBe(4)
    // What is still under way from before says nothing new.
    pace.queued(7)
    expect(pace.limit).toBe(4)
  })

  it('stays between one and its bound, whatever happens', () => {
    const event = fc.tuple(fc.constantFrom('went', 'queued', 'turnedAway'), fc.integer({ min: 0, max: 40 }))
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 32 }), fc.array(event), (first, most, events) => {
        const pace = new Pace(first, most)
        for (const [name, underWay] of events) {
          if (name === 'went') pace.went()
          else pace[name as 'queued'](underWay)
          expect(pace.limit).toBeGreaterThanOrEqual(1)
          expect(pace.limit).toBeLessThanOrEqual(most)
        }
      }),
    )
  })
})
