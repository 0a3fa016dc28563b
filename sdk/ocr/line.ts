/**
 * A picture of one line of text to the feed of a PP-OCR recognition model, and the model's answer to text: what stands
 * before and after `net.run` when reading. The convention is PaddleOCR's (`resize_norm_img`, `CTCLabelDecode`).
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import { resample, type Pixels } from './resample.ts'

export type { Pixels } from './resample.ts'

/** Rows that the model reads. */
export const lineHeight = 48
/** The width that the model was trained at; shorter lines are padded to it. */
const leastWidth = 320
/** Widths step by this, so that an engine meets few shapes. */
const widthStep = 32
/** Longer than any printed line, and the most a stage should be asked to hold: 48 x 2880 x 3 floats are 1.7 MB. */
const mostWidth = 2880
/** A photo of 48 megapixels; past it the caller should cut the line out. */
const mostPixels = 48_000_000

export interface LineFeed {
  /** BGR planes of -1 to 1; the padding at the right is 0. */
  readonly data: Float32Array
  readonly dims: readonly [1, 3, typeof lineHeight, number]
}

export interface LineReading {
  /** Without spaces at its ends: those are the margin. */
  readonly text: string
  /** Mean probability of the characters kept, 0 to 1; 0 when nothing was read. */
  readonly confidence: number
}

/**
 * The feed `x` [1, 3, 48, W] f32 of a recognition model, W a multiple of 32 and at least 320.
 * @throws ManyhandsError bad-input when the picture is empty, too large, or far too long for one line
 */
export function lineFeed(pixels: Pixels): LineFeed {
  checkPixels(pixels)
  const textWidth = Math.max(1, Math.ceil((lineHeight * pixels.width) / pixels.height))
  if (textWidth > mostWidth) {
    const most = Math.floor(mostWidth / lineHeight)
    throw new ManyhandsError('bad-input', `The picture is more than ${most} times as wide as it is high. Cut it into shorter pieces.`)
  }
  const width = Math.max(leastWidth, Math.ceil(textWidth / widthStep) * widthStep)
  const rgb = resample(pixels, textWidth, lineHeight)
  const data = new Float32Array(3 * lineHeight * width)
  for (let plane = 0; plane < 3; plane++) {
    const channel = 2 - plane
    for (let y = 0; y < lineHeight; y++) {
      const to = (plane * lineHeight + y) * width
      for (let x = 0; x < textWidth; x++) data[to + x] = ((rgb[(y * textWidth + x) * 3 + channel] as number) / 255 - 0.5) / 0.5
    }
  }
  return { data, dims: [1, 3, lineHeight, width] }
}

/** The model's file `characters`, one a line, as its classes: none (0), the file's, a space (last). */
export function parseCharacters(file: Uint8Array): readonly string[] {
  const lines = new TextDecoder().decode(file).split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  return ['', ...lines, ' ']
}

/**
 * Greedy CTC: the likeliest class at each place, repeats merged, blanks (class 0) dropped.
 * @param probabilities [1, places, classes] f32 as the model gives them
 * @throws ManyhandsError bad-input when they do not fit the characters
 */
export function readLine(probabilities: Float32Array, dims: readonly number[], characters: readonly string[]): LineReading {
  const [batch, places, classes] = dims
  const fits = dims.length === 3 && batch === 1 && classes === characters.length && probabilities.length === (places ?? 0) * classes
  if (!fits) throw new ManyhandsError('bad-input', `The model gave [${dims.join(', ')}]; reading takes [1, places, ${characters.length}].`)
  let text = ''
  let sum = 0
  let kept = 0
  let before = 0
  for (let place = 0; place < (places as number); place++) {
    const row = probabilities.subarray(place * classes, (place + 1) * classes)
    const best = likeliest(row)
    if (best !== 0 && best !== before) {
      text += characters[best] as string
      sum += row[best] as number
      kept++
    }
    before = best
  }
  return { text: text.trim(), confidence: kept === 0 ? 0 : sum / kept }
}

function likeliest(row: Float32Array): number {
  let best = 0
  for (let i = 1; i < row.length; i++) if ((row[i] as number) > (row[best] as number)) best = i
  return best
}

function checkPixels({ width, height, data }: Pixels): void {
  const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0
  if (!whole) throw new ManyhandsError('bad-input', 'The picture is empty.')
  if (width * height > mostPixels)
    throw new ManyhandsError('bad-input', 'The picture is over 48 megapixels. Cut the line of text out of it.')
  if (data.length !== width * height * 4) {
    throw new ManyhandsError('bad-input', `A picture of ${width} x ${height} has ${width * height * 4} bytes of RGBA, not ${data.length}.`)
  }
}
