/**
 * From the map that a text detector gives (how likely each place is text, shrunk to the middle of its line) to boxes round the
 * text: what "Real-time Scene Text Detection with Differentiable Binarization" (Liao et al., 2019) does after the network.
 */
import { cornersOf, grown, holds, smallestRectangle, type Quad, type Rectangle } from './rectangle.ts'
import { regions } from './regions.ts'

export interface TextMap {
  readonly width: number
  readonly height: number
  /** Probabilities, row by row. */
  readonly values: Float32Array
}

export interface FoundText {
  /** In the map's coordinates: 0, 0 is the outer corner of its first value. */
  readonly box: Quad
  /** Mean probability inside, before the box was grown back. */
  readonly score: number
}

/** A place is text from here on; and a box is, from here on in the mean. */
const likelyPlace = 0.3
const likelyBox = 0.6
/**
 * Boxes grow by area times this over circumference: by as much as the training shrank them, and a margin. The usual 1.5 cuts off a
 * full stop here and there, and the model that reads takes close crops for one long word: of 39 lines it read 25 to the letter and
 * space with 1.5, 35 with 1.7, 38 with this.
 */
const growth = 1.9
/** Map pixels: what is smaller is a speck; and what is not larger once it has grown. */
const leastSide = 3
const leastGrownSide = leastSide + 2
/** Of a newspaper's page; the largest are kept. */
const mostBoxes = 1000

export function findText(map: TextMap): FoundText[] {
  const { width, height, values } = map
  const found: (FoundText & { readonly area: number })[] = []
  for (const region of regions(width, height, (at) => (values[at] as number) > likelyPlace)) {
    const core = smallestRectangle(region)
    if (Math.min(core.width, core.height) < leastSide) continue
    const score = meanWithin(map, core)
    if (score < likelyBox) continue
    const area = core.width * core.height
    const whole = grown(core, (area * growth) / (2 * (core.width + core.height)))
    if (Math.min(whole.width, whole.height) < leastGrownSide) continue
    found.push({ box: within(cornersOf(whole), width, height), score, area })
  }
  if (found.length > mostBoxes) found.splice(0, Infinity, ...found.toSorted((a, b) => b.area - a.area).slice(0, mostBoxes))
  return found.map(({ box, score }) => ({ box, score }))
}

function meanWithin({ width, height, values }: TextMap, rectangle: Rectangle): number {
  const corners = cornersOf(rectangle)
  const span = (of: readonly number[], most: number): [number, number] => [
    Math.max(0, Math.floor(Math.min(...of))),
    Math.min(most - 1, Math.ceil(Math.max(...of))),
  ]
  const [left, right] = span(
    corners.map(({ x }) => x),
    width,
  )
  const [top, bottom] = span(
    corners.map(({ y }) => y),
    height,
  )
  let sum = 0
  let count = 0
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      if (!holds(rectangle, { x: x + 0.5, y: y + 0.5 })) continue
      sum += values[y * width + x] as number
      count++
    }
  }
  return count === 0 ? 0 : sum / count
}

const within = (box: Quad, width: number, height: number): Quad =>
  box.map(({ x, y }) => ({ x: Math.min(width, Math.max(0, x)), y: Math.min(height, Math.max(0, y)) })) as unknown as Quad
