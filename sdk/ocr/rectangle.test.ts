import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cornersOf, grown, holds, hull, smallestRectangle, type Point } from './rectangle.ts'

const point = fc.record({ x: fc.integer({ min: -50, max: 50 }), y: fc.integer({ min: -50, max: 50 }) })
const at = (x: number, y: number): Point => ({ x, y })
/** Points of a grid inside of a rectangle that is turned. */
const turned = (width: number, height: number, degrees: number): Point[] => {
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)]
  const points: Point[] = []
  for (let u = 0; u <= 20; u++)
    for (let v = 0; v <= 5; v++) {
      const [x, y] = [(u / 20 - 0.5) * width, (v / 5 - 0.5) * height]
      points.push(at(100 + x * cos - y * sin, 60 + x * sin + y * cos))
    }
  return points
}

describe('hull', () => {
  it('goes round all points by some of them, always turning the same way', () => {
    fc.assert(
      fc.property(fc.array(point, { minLength: 3, maxLength: 60 }), (points) => {
        const round = hull(points)
        for (const corner of round) expect(points).toContainEqual(corner)
        if (round.length < 3) return
        for (const [i, a] of round.entries()) {
          const b = round[(i + 1) % round.length] as Point
          for (const p of points) expect((b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x)).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })
})

describe('the smallest rectangle', () => {
  it('holds all points, and is no larger than the one that lies straight', () => {
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 60 }), (points) => {
        const rectangle = smallestRectangle(points)
        for (const p of points) expect(holds(rectangle, p)).toBe(true)
        const span = (of: number[]) => Math.max(...of) - Math.min(...of)
        expect(rectangle.width * rectangle.height).toBeLessThanOrEqual(span(points.map((p) => p.x)) * span(points.map((p) => p.y)) + 1e-6)
      }),
    )
  })

  it.each([0, 7, 15, -12, 44, 90, 137])('finds the one that was turned by %i degrees', (degrees) => {
    const { centre, width, height } = smallestRectangle(turned(80, 20, degrees))
    expect([centre.x, centre.y]).toEqual([expect.closeTo(100), expect.closeTo(60)])
    expect([Math.max(width, height), Math.min(width, height)]).toEqual([expect.closeTo(80), expect.closeTo(20)])
  })

  it('is a point round a point, and a line round a line', () => {
    expect(smallestRectangle([at(3, 4)])).toMatchObject({ centre: at(3, 4), width: 0, height: 0 })
    expect(smallestRectangle([at(0, 0), at(3, 4), at(6, 8)])).toMatchObject({ width: expect.closeTo(10), height: expect.closeTo(0) })
  })
})

describe('corners', () => {
  it('begin top left and go round with the clock', () => {
    const corners = cornersOf(smallestRectangle([at(10, 20), at(50, 20), at(50, 30), at(10, 30)]))
    expect(corners).toEqual([at(10, 20), at(50, 20), at(50, 30), at(10, 30)])
    const [a, b, c, d] = cornersOf(smallestRectangle(turned(80, 20, 10)))
    expect([a.x < b.x, d.x < c.x, a.y < d.y, b.y < c.y]).toEqual([true, true, true, true])
  })

  it('of a rectangle that has grown are further out by as much on each side', () => {
    const corners = cornersOf(grown(smallestRectangle([at(10, 20), at(50, 20), at(50, 30), at(10, 30)]), 5))
    expect(corners).toEqual([at(5, 15), at(55, 15), at(55, 35), at(5, 35)])
  })
})
