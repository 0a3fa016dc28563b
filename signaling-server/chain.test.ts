/** Chains against all chains there are, tried one by one. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { BlockRange } from '../protocol/manifest.ts'
import { holder, plainModel } from '../testing/swarms.ts'
import { cheapestChain, missingSegments, nearestChain, widestChain } from './chain.ts'

const end = 6
const range = fc
  .tuple(fc.nat(end - 1), fc.integer({ min: 1, max: end }))
  .map(([first, length]): BlockRange => ({ first, end: Math.min(end, first + length) }))
const pieces = fc.array(
  fc.record({ range, cost: fc.nat(9) }).map((piece) => ({ ...piece, of: piece })),
  { maxLength: 8 },
)

/** Every chain from block `at` to the end. */
function chains<T extends { readonly range: BlockRange }>(all: readonly T[], at = 0): T[][] {
  if (at === end) return [[]]
  return all.filter((p) => p.range.first === at).flatMap((p) => chains(all, p.range.end).map((rest) => [p, ...rest]))
}

it('the cheapest chain joins up, and none is cheaper', () => {
  fc.assert(
    fc.property(pieces, (all) => {
      const chain = cheapestChain(all, end)
      const costs = chains(all).map((c) => c.reduce((sum, p) => sum + p.cost, 0))
      expect(chain?.reduce((sum, p) => sum + p.cost, 0)).toBe(costs.length === 0 ? undefined : Math.min(...costs))
      let at = 0
      for (const p of chain ?? []) {
        expect(p.range.first).toBe(at)
        at = p.range.end
      }
      if (chain) expect(at).toBe(end)
    }),
    { numRuns: 1_000 },
  )
})

it('the widest chain is as wide as the narrowest piece of the best of all', () => {
  fc.assert(
    fc.property(pieces, (all) => {
      const rooms = all.map((p) => ({ range: p.range, room: p.cost }))
      const widths = chains(rooms).map((c) => Math.min(...c.map((p) => p.room)))
      expect(widestChain(rooms, end)).toBe(Math.max(-1, ...widths))
    }),
    { numRuns: 1_000 },
  )
})

it('what is held and what is missing make a chain, with as little missing as can be', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 4 })), { maxLength: 6 }),
      (count, held) => {
        const model = plainModel(0, [1, 1, 1, 1, 1, 1], count)
        const segments = model.plan.length
        const holders = held.map(([from, length], n) => {
          const first = model.plan[Math.min(from, segments - 1)] as BlockRange
          const last = model.plan[Math.min(from + length - 1, segments - 1)] as BlockRange
          return holder(n, model.revision, { first: first.first, end: last.end })
        })
        const chain = nearestChain(model, holders)
        expect(chain.map((link) => link.range.first)).toEqual([0, ...chain.slice(0, -1).map((link) => link.range.end)])
        expect(chain.at(-1)?.range.end).toBe(end)
        for (const { range, holder } of chain) {
          if (holder) expect(holder.holding?.blocks).toEqual(range)
          else expect(model.plan).toContain(range)
        }
        const all = [
          ...holders.map((v) => ({ range: v.holding?.blocks as BlockRange, cost: 0 })),
          ...model.plan.map((r) => ({ range: r, cost: 1 })),
        ]
        const fewest = Math.min(...chains(all).map((c) => c.reduce((sum, p) => sum + p.cost, 0)))
        expect(missingSegments(model, holders)).toHaveLength(fewest)
      },
    ),
  )
})
