/**
 * A piece of a photo, straightened: from four corners, however they lie, to a rectangle; and pictures turned by quarters. Plain
 * arithmetic on RGBA bytes.
 */
import type { Point, Quad } from './rectangle.ts'
import type { Pixels } from './resample.ts'

/** The piece between four corners, first one at its top left; what lies outside of the photo is as its edge. */
export function cutOut(photo: Pixels, corners: Quad): Pixels {
  const [a, b, c, d] = corners
  const width = Math.max(1, Math.round(Math.max(distance(a, b), distance(d, c))))
  const height = Math.max(1, Math.round(Math.max(distance(a, d), distance(b, c))))
  const from = fromUnitSquare(corners)
  const data = new Uint8ClampedArray(width * height * 4)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) sample(photo, from((x + 0.5) / width, (y + 0.5) / height), data, (y * width + x) * 4)
  return { width, height, data }
}

/** Where a place in the unit square lies in the quadrangle, by the projection that maps corner to corner (Heckbert, 1989). */
function fromUnitSquare([a, b, c, d]: Quad): (u: number, v: number) => Point {
  const sx = a.x - b.x + c.x - d.x
  const sy = a.y - b.y + c.y - d.y
  const [dx1, dy1, dx2, dy2] = [b.x - c.x, b.y - c.y, d.x - c.x, d.y - c.y]
  const det = dx1 * dy2 - dx2 * dy1
  // Corners on one line span nothing: no bend then, and a sliver comes of it.
  const g = det === 0 ? 0 : (sx * dy2 - dx2 * sy) / det
  const h = det === 0 ? 0 : (dx1 * sy - sx * dy1) / det
  const [ux, uy] = [b.x - a.x + g * b.x, b.y - a.y + g * b.y]
  const [vx, vy] = [d.x - a.x + h * d.x, d.y - a.y + h * d.y]
  return (u, v) => {
    const w = g * u + h * v + 1
    return { x: (ux * u + vx * v + a.x) / w, y: (uy * u + vy * v + a.y) / w }
  }
}

/** The colour at a place, between the four pixels round it. */
function sample({ width, height, data }: Pixels, { x, y }: Point, to: Uint8ClampedArray, at: number): void {
  const [left, across] = split(x - 0.5, width)
  const [top, down] = split(y - 0.5, height)
  const right = Math.min(width - 1, left + 1)
  const bottom = Math.min(height - 1, top + 1)
  for (let c = 0; c < 4; c++) {
    const value = (px: number, py: number) => data[(py * width + px) * 4 + c] as number
    const above = value(left, top) * (1 - across) + value(right, top) * across
    const below = value(left, bottom) * (1 - across) + value(right, bottom) * across
    to[at + c] = above * (1 - down) + below * down
  }
}

/** A pixel's index and the share of the next one. */
function split(at: number, size: number): [number, number] {
  const clamped = Math.min(size - 1, Math.max(0, at))
  const index = Math.floor(clamped)
  return [index, clamped - index]
}

const distance = (a: Point, b: Point): number => Math.hypot(b.x - a.x, b.y - a.y)

/** A quarter turn against the clock: what was at the right is at the top. */
export const quarterTurned = ({ width, height, data }: Pixels): Pixels =>
  moved({ width: height, height: width, data }, (x, y) => x * width + (width - 1 - y))

/** Upside down. */
export const halfTurned = (picture: Pixels): Pixels =>
  moved(picture, (x, y) => (picture.height - 1 - y) * picture.width + (picture.width - 1 - x))

/** @param from the index of the pixel that comes to x, y */
function moved({ width, height, data }: Pixels, from: (x: number, y: number) => number): Pixels {
  const out = new Uint8ClampedArray(width * height * 4)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const source = from(x, y) * 4
      for (let c = 0; c < 4; c++) out[(y * width + x) * 4 + c] = data[source + c] as number
    }
  }
  return { width, height, data: out }
}
