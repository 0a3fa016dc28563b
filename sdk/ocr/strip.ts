/**
 * Pictures of single lines of text as PP-OCR's small models take them: strips 48 rows high, several in one feed. The convention is
 * PaddleOCR's (`resize_norm_img`). Used by line.ts and direction.ts.
 */
import { checkPixels } from './photo-feed.ts'
import { resample, type Pixels } from './resample.ts'

/** Rows that the models look at. */
export const stripHeight = 48

export interface StripFeed {
  /** Of each strip planes of blue, green and red, -1 to 1; 0 to the right of what is shorter. */
  readonly data: Float32Array
  /** [strips, 3, 48, width] */
  readonly dims: readonly [number, 3, typeof stripHeight, number]
}

/** Columns that a picture takes at the height of a strip. */
export const stripWidth = ({ width, height }: Pixels): number => Math.max(1, Math.ceil((stripHeight * width) / height))

/**
 * @param width of all; what is longer is squeezed into it
 * @throws ManyhandsError bad-input for a picture that is none
 */
export function stripFeed(lines: readonly Pixels[], width: number): StripFeed {
  const plane = stripHeight * width
  const data = new Float32Array(lines.length * 3 * plane)
  for (const [i, line] of lines.entries()) {
    checkPixels(line)
    const taken = Math.min(width, stripWidth(line))
    const rgb = resample(line, taken, stripHeight)
    for (let channel = 0; channel < 3; channel++) {
      for (let y = 0; y < stripHeight; y++) {
        const to = (i * 3 + channel) * plane + y * width
        for (let x = 0; x < taken; x++) data[to + x] = ((rgb[(y * taken + x) * 3 + 2 - channel] as number) / 255 - 0.5) / 0.5
      }
    }
  }
  return { data, dims: [lines.length, 3, stripHeight, width] }
}
