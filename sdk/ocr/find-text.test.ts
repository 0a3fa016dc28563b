import { describe, expect, it } from 'vitest'
import { findText, type FoundText, type TextMap } from './find-text.ts'

/** A map with `value` wherever `isText` says so. */
function map(width: number, height: number, isText: (x: number, y: number) => boolean, value = 0.9): TextMap {
  return {
    width,
    height,
    values: Float32Array.from({ length: width * height }, (_, at) => (isText(at % width, Math.floor(at / width)) ? value : 0.05)),
  }
}
const block = (left: number, top: number, right: number, bottom: number) => (x: number, y: number) =>
  x >= left && x < right && y >= top && y < bottom

describe('finding text', () => {
  it('gives a box for each line, grown by area times 1.9 over circumference', () => {
    const [found, ...more] = findText(map(200, 60, block(40, 20, 141, 31)))
    expect(more).toEqual([])
    // From pixel to pixel 100 x 10: 1000 x 1.9 / 220 = 8.6 more on each side.
    const by = (1000 * 1.9) / 220
    const [left, top, right, bottom] = [40.5 - by, 20.5 - by, 140.5 + by, 30.5 + by].map((n) => expect.closeTo(n, 4) as number)
    expect(found?.box).toEqual([
      { x: left, y: top },
      { x: right, y: top },
      { x: right, y: bottom },
      { x: left, y: bottom },
    ])
    expect(found?.score).toBeCloseTo(0.9)
  })

  it('finds lines that lie at an angle, by boxes at that angle', () => {
    const [cos, sin] = [Math.cos(0.2), Math.sin(0.2)]
    const tilted = (x: number, y: number) =>
      Math.abs((x - 120) * cos + (y - 70) * sin) <= 80 && Math.abs((y - 70) * cos - (x - 120) * sin) <= 8
    const [found] = findText(map(240, 140, tilted)) as [FoundText]
    const [a, b] = found.box
    expect(Math.atan2(b.y - a.y, b.x - a.x)).toBeCloseTo(0.2, 1)
  })

  it('keeps apart what does not touch, and leaves out specks and what is not likely enough', () => {
    const two = (x: number, y: number) => block(10, 10, 80, 20)(x, y) || block(10, 40, 90, 52)(x, y)
    expect(findText(map(100, 60, two))).toHaveLength(2)
    expect(findText(map(100, 60, block(10, 10, 90, 12)))).toEqual([])
    expect(findText(map(100, 60, block(10, 10, 90, 30), 0.4))).toEqual([])
    expect(findText(map(100, 60, () => false))).toEqual([])
  })

  it('keeps boxes on the map', () => {
    const [found] = findText(map(100, 40, block(0, 0, 100, 40)))
    expect(found?.box).toEqual([
      { x: 0, y: 0 },
      { x: 100, y: 0 },
      { x: 100, y: 40 },
      { x: 0, y: 40 },
    ])
  })

  it('gives a thousand boxes at most', () => {
    const dots = (x: number, y: number) => x % 10 < 5 && y % 10 < 5
    expect(findText(map(400, 400, dots))).toHaveLength(1000)
  })
})
