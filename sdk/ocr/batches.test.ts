import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { batchesOf, chunksOf } from './batches.ts'

const places = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('batches of lines', () => {
  it('have every line once, few enough, and little padding', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 10, max: 90 }).map((n) => n * 32)), (widths) => {
        const batches = batchesOf(widths)
        expect(batches.flat().toSorted((a, b) => a - b)).toEqual(places(widths.length))
        for (const batch of batches) {
          const columns = batch.map((place) => widths[place] as number)
          const widest = Math.max(...columns)
          if (batch.length > 1) expect(batch.length * widest).toBeLessThanOrEqual(1280)
          expect(batch.length).toBeLessThanOrEqual(8)
          for (const width of columns) expect(width).toBeGreaterThanOrEqual(0.75 * widest)
        }
      }),
    )
  })

  it('are the same for the same lines', () => {
    expect(batchesOf([320, 640, 320, 320])).toEqual([[1], [0, 2, 3]])
  })

  it('of what is all of one width are in order', () => {
    expect(chunksOf(0)).toEqual([])
    expect(chunksOf(10)).toEqual([
      [0, 1, 2, 3, 4, 5, 6, 7],
      [8, 9],
    ])
  })
})
