import fc from 'fast-check'
import { expect, it } from 'vitest'
import { evenRuns } from './token-pipeline.ts'

it('a prompt is cut into runs that join up, fit, and leave no row alone unless it is the only one', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 2, max: 32 }), (length, most) => {
      const runs = evenRuns(length, most)
      let at = 0
      for (const { from, to } of runs) {
        expect(from).toBe(at)
        expect(to - from).toBeLessThanOrEqual(most)
        if (length > 2) expect(to - from).toBeGreaterThan(most === 2 && length % 2 === 1 ? 0 : 1)
        at = to
      }
      expect(at).toBe(length)
    }),
  )
})
