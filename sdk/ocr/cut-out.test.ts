import { describe, expect, it } from 'vitest'
import { cutOut, halfTurned, quarterTurned } from './cut-out.ts'
import type { Quad } from './rectangle.ts'
import type { Pixels } from './resample.ts'

/** Each pixel's red says its column and its green its row, so that what was cut says where it came from. */
const coordinates = (width: number, height: number): Pixels => ({
  width,
  height,
  data: Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => {
    const pixel = i >> 2
    return [pixel % width, Math.floor(pixel / width), 0, 255][i % 4] as number
  }),
})
const pixel = ({ width, data }: Pixels, x: number, y: number) => [data[(y * width + x) * 4], data[(y * width + x) * 4 + 1]]
const quad = (...corners: [number, number][]) => corners.map(([x, y]) => ({ x, y })) as unknown as Quad

describe('cutting out', () => {
  it('gives the very pixels of a box that lies straight', () => {
    const piece = cutOut(coordinates(100, 80), quad([10, 20], [40, 20], [40, 30], [10, 30]))
    expect([piece.width, piece.height]).toEqual([30, 10])
    for (const [x, y] of [
      [0, 0],
      [29, 0],
      [13, 7],
      [29, 9],
    ] as const)
      expect(pixel(piece, x, y)).toEqual([10 + x, 20 + y])
  })

  it('straightens a box that lies at an angle, and begins where its first corner is', () => {
    // A quarter turn: what begins at the bottom left runs up.
    const piece = cutOut(coordinates(100, 80), quad([10, 60], [10, 20], [30, 20], [30, 60]))
    expect([piece.width, piece.height]).toEqual([40, 20])
    expect(pixel(piece, 0, 0)).toEqual([10, 59])
    expect(pixel(piece, 39, 0)).toEqual([10, 20])
    expect(pixel(piece, 0, 19)).toEqual([29, 59])
  })

  it('undoes perspective: what lies in the middle of the corners’ cross is in the middle', () => {
    const corners = quad([20, 10], [60, 20], [70, 70], [10, 50])
    const piece = cutOut(coordinates(100, 80), corners)
    const [a, b, c, d] = corners
    // Where the diagonals cross.
    const t = ((b.x - a.x) * (d.y - b.y) - (b.y - a.y) * (d.x - b.x)) / ((c.x - a.x) * (d.y - b.y) - (c.y - a.y) * (d.x - b.x))
    const cross = [a.x + t * (c.x - a.x), a.y + t * (c.y - a.y)]
    const [x, y] = pixel(piece, piece.width >> 1, piece.height >> 1) as [number, number]
    expect(Math.abs(x + 0.5 - (cross[0] as number))).toBeLessThan(1.5)
    expect(Math.abs(y + 0.5 - (cross[1] as number))).toBeLessThan(1.5)
  })

  it('goes on as the edge where a box is beyond it, and takes boxes that are none', () => {
    expect(pixel(cutOut(coordinates(100, 80), quad([-10, 20], [20, 20], [20, 30], [-10, 30])), 0, 0)).toEqual([0, 20])
    expect(cutOut(coordinates(100, 80), quad([5, 5], [5, 5], [5, 5], [5, 5]))).toMatchObject({ width: 1, height: 1 })
  })
})

describe('turning', () => {
  const picture = coordinates(3, 2)

  it('by a quarter brings the right side to the top', () => {
    const turned = quarterTurned(picture)
    expect([turned.width, turned.height]).toEqual([2, 3])
    expect(pixel(turned, 0, 0)).toEqual([2, 0])
    expect(pixel(turned, 1, 0)).toEqual([2, 1])
    expect(pixel(turned, 0, 2)).toEqual([0, 0])
  })

  it('by two quarters is upside down, by four nothing', () => {
    const half = quarterTurned(quarterTurned(picture))
    expect(half).toEqual(halfTurned(picture))
    expect(pixel(half, 0, 0)).toEqual([2, 1])
    expect(halfTurned(half)).toEqual(picture)
  })
})
