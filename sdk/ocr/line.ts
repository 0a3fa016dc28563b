/**
 * Pictures of lines of text to the feed of a PP-OCR recognition model, and the model's answer to text: what stands before and after
 * the run when reading. The answer's convention is PaddleOCR's (`CTCLabelDecode`).
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Pixels } from './resample.ts'
import { stripFeed, stripWidth, type StripFeed } from './strip.ts'

/** The width that the model was trained at; shorter lines are padded to it. */
const leastWidth = 320
/** Widths step by this, so that an engine meets few shapes. */
const widthStep = 32
/** Sixty times as wide as high: longer than any printed line. */
export const mostLineWidth = 2880
/**
 * On 275 lines in 37 fonts this missed 9 of 1,069 spaces and put 6 where none was; the likeliest class alone missed 124, twice as much
 * of this 25, putting 2.
 */
const likelySpace = 0.05

export interface LineReading {
  /** Without spaces at its ends. */
  readonly text: string
  /** Mean probability of the characters kept, 0 to 1; 0 when nothing was read. */
  readonly confidence: number
}

/** The width of a line's feed: a multiple of 32, 320 to 2880. */
export const lineWidth = (line: Pixels): number =>
  Math.min(mostLineWidth, Math.max(leastWidth, Math.ceil(stripWidth(line) / widthStep) * widthStep))

/**
 * The feed `x` [lines, 3, 48, width] f32, as wide as the longest asks for. Longer than 60 times its height none is: it is squeezed.
 * @throws ManyhandsError bad-input for a picture that is none
 */
export const linesFeed = (lines: readonly Pixels[]): StripFeed => stripFeed(lines, Math.max(leastWidth, ...lines.map(lineWidth)))

/** The model's file `characters`, one a line, as its classes: none (0), the file's, a space (last). */
export function parseCharacters(file: Uint8Array): readonly string[] {
  const lines = new TextDecoder().decode(file).split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  return ['', ...lines, ' ']
}

/**
 * Greedy CTC, line for line: the likeliest class at each place, repeats merged, blanks (class 0) dropped. A space is seldom the likeliest
 * anywhere, since the model has read few of them; one is put where the places between two letters together give it some chance.
 * @param probabilities [lines, places, classes] f32 as the model gives them
 * @throws ManyhandsError bad-input when they do not fit the characters
 */
export function readLines(probabilities: Float32Array, dims: readonly number[], characters: readonly string[]): LineReading[] {
  const [lines = 0, places = 0, classes = 0] = dims
  const fits = dims.length === 3 && classes === characters.length && probabilities.length === lines * places * classes
  if (!fits)
    throw new ManyhandsError('bad-input', `The model gave [${dims.join(', ')}]; reading takes [lines, places, ${characters.length}].`)
  return Array.from({ length: lines }, (_, i) =>
    readLine(probabilities.subarray(i * places * classes, (i + 1) * places * classes), classes, characters),
  )
}

function readLine(probabilities: Float32Array, classes: number, characters: readonly string[]): LineReading {
  let text = ''
  let sum = 0
  let kept = 0
  let before = 0
  /** That there is none since the last letter. */
  let noSpace = 1
  for (let at = 0; at < probabilities.length; at += classes) {
    const row = probabilities.subarray(at, at + classes)
    const best = likeliest(row)
    if (best === 0 || best === classes - 1) noSpace *= 1 - (row[classes - 1] as number)
    else {
      if (best !== before) {
        text += text !== '' && 1 - noSpace > likelySpace ? ` ${characters[best]}` : (characters[best] as string)
        sum += row[best] as number
        kept++
      }
      noSpace = 1
    }
    before = best
  }
  return { text, confidence: kept === 0 ? 0 : sum / kept }
}

function likeliest(row: Float32Array): number {
  let best = 0
  for (let i = 1; i < row.length; i++) if ((row[i] as number) > (row[best] as number)) best = i
  return best
}
