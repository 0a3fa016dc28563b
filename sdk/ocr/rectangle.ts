/**
 * The little plane geometry that finding text needs: the smallest rectangle, at whatever angle, around some points. Used by
 * find-text.ts.
 */

export interface Point {
  readonly x: number
  readonly y: number
}

/** Corners, clockwise as one sees them (y grows downwards). */
export type Quad = readonly [Point, Point, Point, Point]

export interface Rectangle {
  readonly centre: Point
  /** Of length 1, along `width`. */
  readonly along: Point
  readonly width: number
  readonly height: number
}

/** The corners of the smallest convex shape that holds all points, in order round it (Andrew's monotone chain). */
export function hull(points: readonly Point[]): Point[] {
  const sorted = points.toSorted((a, b) => a.x - b.x || a.y - b.y)
  if (sorted.length < 3) return sorted
  const half = (of: readonly Point[]) => {
    const chain: Point[] = []
    for (const point of of) {
      while (chain.length > 1 && turn(chain.at(-2) as Point, chain.at(-1) as Point, point) <= 0) chain.pop()
      chain.push(point)
    }
    chain.pop()
    return chain
  }
  const round = [...half(sorted), ...half(sorted.toReversed())]
  return round.length === 0 ? sorted.slice(0, 1) : round
}

/** Over 0 for a turn to one side, below it for the other, 0 for straight on. */
const turn = (a: Point, b: Point, c: Point): number => (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)

/** One of its sides lies on a side of the hull (Freeman and Shapira, 1975), so those are all there are to try. */
export function smallestRectangle(points: readonly Point[]): Rectangle {
  const corners = hull(points)
  let best: Rectangle | undefined
  for (const [i, corner] of corners.entries()) {
    const next = corners[(i + 1) % corners.length] as Point
    const length = Math.hypot(next.x - corner.x, next.y - corner.y)
    const along = length > 0 ? { x: (next.x - corner.x) / length, y: (next.y - corner.y) / length } : { x: 1, y: 0 }
    const around = rectangleAlong(corners, along)
    if (!best || around.width * around.height < best.width * best.height) best = around
  }
  return best ?? { centre: { x: 0, y: 0 }, along: { x: 1, y: 0 }, width: 0, height: 0 }
}

function rectangleAlong(points: readonly Point[], along: Point): Rectangle {
  const us = points.map(({ x, y }) => x * along.x + y * along.y)
  const vs = points.map(({ x, y }) => y * along.x - x * along.y)
  const [left, right, top, bottom] = [Math.min(...us), Math.max(...us), Math.min(...vs), Math.max(...vs)]
  return {
    centre: { x: (along.x * (left + right) - along.y * (top + bottom)) / 2, y: (along.y * (left + right) + along.x * (top + bottom)) / 2 },
    along,
    width: right - left,
    height: bottom - top,
  }
}

/** Wider by so much on every side. */
export const grown = (rectangle: Rectangle, by: number): Rectangle => ({
  ...rectangle,
  width: rectangle.width + 2 * by,
  height: rectangle.height + 2 * by,
})

/** From the corner that is top left as one sees it; of text that runs to the right, that is where it begins. */
export function cornersOf({ centre, along, width, height }: Rectangle): Quad {
  const at = (u: number, v: number): Point => ({
    x: centre.x + (u * width * along.x - v * height * along.y) / 2,
    y: centre.y + (u * width * along.y + v * height * along.x) / 2,
  })
  const [a, b, c, d] = [at(-1, -1), at(1, -1), at(1, 1), at(-1, 1)].toSorted((p, q) => p.x - q.x) as [Point, Point, Point, Point]
  const [topLeft, bottomLeft] = a.y <= b.y ? [a, b] : [b, a]
  const [topRight, bottomRight] = c.y <= d.y ? [c, d] : [d, c]
  return [topLeft, topRight, bottomRight, bottomLeft]
}

/** Whether a point is in the rectangle or on its edge. */
export function holds({ centre, along, width, height }: Rectangle, { x, y }: Point): boolean {
  const [dx, dy] = [x - centre.x, y - centre.y]
  return 2 * Math.abs(dx * along.x + dy * along.y) <= width + hair && 2 * Math.abs(dy * along.x - dx * along.y) <= height + hair
}

/** Rounding of a coordinate of some thousands. */
const hair = 1e-6
