/**
 * A picture at another size: a triangle filter as wide as the scale asks, so that a large photo is averaged down and not
 * merely thinned out. Plain arithmetic, the same in a page and in Node. Used by line.ts.
 */

/** RGBA bytes, row by row from the top left, as a canvas's ImageData has them. */
export interface Pixels {
  readonly width: number
  readonly height: number
  readonly data: ArrayLike<number>
}

const channels = 3

/** Source positions and weights that make one target position. */
interface Taps {
  readonly from: number
  readonly weights: readonly number[]
}

/** RGB as numbers of 0 to 255, [height, width, 3]; what is transparent lies on white. */
export function resample(pixels: Pixels, width: number, height: number): Float64Array {
  const across = taps(pixels.width, width)
  const down = taps(pixels.height, height)
  const wide = new Float64Array(pixels.height * width * channels)
  const row = new Float64Array(pixels.width * channels)
  for (let y = 0; y < pixels.height; y++) {
    readRow(pixels, y, row)
    for (let x = 0; x < width; x++) gather(row, across[x] as Taps, channels, wide, (y * width + x) * channels, channels)
  }
  const out = new Float64Array(height * width * channels)
  const stride = width * channels
  for (let y = 0; y < height; y++) gather(wide, down[y] as Taps, stride, out, y * stride, stride)
  return out
}

/** One row's RGB over white. */
function readRow({ data, width }: Pixels, y: number, row: Float64Array): void {
  for (let x = 0; x < width; x++) {
    const at = (y * width + x) * 4
    const alpha = (data[at + 3] as number) / 255
    for (let c = 0; c < channels; c++) row[x * channels + c] = (data[at + c] as number) * alpha + 255 * (1 - alpha)
  }
}

/** out[to .. to + length) = sum over taps of weight * source[(from + i) * stride ..). */
function gather(source: Float64Array, { from, weights }: Taps, stride: number, out: Float64Array, to: number, length: number): void {
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number
    const at = (from + i) * stride
    for (let k = 0; k < length; k++) out[to + k] = (out[to + k] as number) + weight * (source[at + k] as number)
  }
}

function taps(sourceSize: number, targetSize: number): Taps[] {
  const scale = sourceSize / targetSize
  const reach = Math.max(1, scale)
  return Array.from({ length: targetSize }, (_, target) => {
    const centre = (target + 0.5) * scale - 0.5
    const from = Math.max(0, Math.ceil(centre - reach))
    const to = Math.min(sourceSize - 1, Math.floor(centre + reach))
    const weights = Array.from({ length: to - from + 1 }, (_, i) => Math.max(0, 1 - Math.abs(from + i - centre) / reach))
    const sum = weights.reduce((a, b) => a + b, 0)
    return { from, weights: weights.map((w) => w / sum) }
  })
}
