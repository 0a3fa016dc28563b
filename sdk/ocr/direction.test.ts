import { describe, expect, it } from 'vitest'
import { directionFeed, readDirections } from './direction.ts'

const line = (width: number) => ({ width, height: 24, data: new Uint8ClampedArray(width * 24 * 4) })

describe('which way up lines are', () => {
  it('is asked of strips of 48 x 192, the shorter padded with 0, the longer squeezed', () => {
    const { data, dims } = directionFeed([line(24), line(2000)])
    expect(dims).toEqual([2, 3, 48, 192])
    // Transparent is white; 24 x 24 fills 48 columns.
    expect([data[0], data[47], data[48], data[191]]).toEqual([1, 1, 0, 0])
    expect(data[3 * 48 * 192 + 191]).toBe(1)
  })

  it('is upside down only where that is nearly sure', () => {
    expect(readDirections(Float32Array.of(0.95, 0.05, 0.3, 0.7, 0.02, 0.98), [3, 2])).toEqual([false, false, true])
  })

  it('is not read from anything else', () => {
    for (const dims of [[3], [2, 3], [6, 1], [4, 2]])
      expect(() => readDirections(new Float32Array(6), dims)).toThrow(expect.objectContaining({ code: 'bad-input' }))
  })
})
