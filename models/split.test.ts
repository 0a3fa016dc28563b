import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../protocol/errors.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { splitStages } from './split.ts'

const blocks = (...costs: number[]) => costs.map((cost) => ({ cost, residentBytes: 4 * cost }))
const total = (all: readonly { cost: number }[], { first, end }: BlockRange) => all.slice(first, end).reduce((sum, b) => sum + b.cost, 0)

/** Every way to cut `n` blocks into `stages` runs. */
function* splits(n: number, stages: number, first = 0): Generator<BlockRange[]> {
  if (stages === 1) yield [{ first, end: n }]
  else
    for (let end = first + 1; end <= n - stages + 1; end++) for (const rest of splits(n, stages - 1, end)) yield [{ first, end }, ...rest]
}

describe('sharing blocks out among stages', () => {
  it('halves even blocks in the middle', () => {
    expect(splitStages(blocks(1, 1, 1, 1), 2)).toEqual([
      { first: 0, end: 2 },
      { first: 2, end: 4 },
    ])
  })

  it('gives a heavy head a stage of its own and evens out the rest', () => {
    expect(splitStages(blocks(2, 2, 2, 2, 9), 3)).toEqual([
      { first: 0, end: 2 },
      { first: 2, end: 4 },
      { first: 4, end: 5 },
    ])
  })

  it('shares memory evenly where compute does not decide', () => {
    const free = [10, 10, 30, 10].map((residentBytes) => ({ cost: 0, residentBytes }))
    expect(splitStages(free, 2)[0]).toEqual({ first: 0, end: 2 })
  })

  it('makes no more stages than there are blocks', () => {
    expect(splitStages(blocks(3, 4), 8)).toHaveLength(2)
  })

  it('finds the cheapest most expensive stage, whatever the blocks', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 5 }), (costs, stages) => {
        const all = blocks(...costs)
        const found = splitStages(all, stages)
        const count = Math.min(stages, costs.length)
        expect(found).toHaveLength(count)
        expect(found[0]?.first).toBe(0)
        expect(found.at(-1)?.end).toBe(costs.length)
        for (const [i, range] of found.entries()) {
          expect(range.end).toBeGreaterThan(range.first)
          if (i > 0) expect(range.first).toBe(found[i - 1]?.end)
        }
        const most = (ranges: readonly BlockRange[]) => Math.max(...ranges.map((r) => total(all, r)))
        expect(most(found)).toBe(Math.min(...[...splits(costs.length, count)].map(most)))
      }),
    )
  })

  it.each([
    [[], 1],
    [blocks(1), 0],
    [blocks(1), 1.5],
  ])('refuses what can not be shared out: %j', (all, stages) => {
    expect(() => splitStages(all, stages)).toThrow(ManyhandsError)
  })
})
