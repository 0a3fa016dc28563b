/**
 * Which way up lines of text are: the feed of PP-OCR's direction model, and its answer. It knows the right way and upside down;
 * lines that run down are brought to run across before.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Pixels } from './resample.ts'
import { stripFeed, type StripFeed } from './strip.ts'

/** All the model looks at: the beginning of a long line is squeezed together with its end. */
const width = 192
/** Turned only when it is this sure: most lines of most pictures are the right way up. */
const sure = 0.9
const classes = 2
const upsideDown = 1

/** The feed `x` [lines, 3, 48, 192] f32. @throws ManyhandsError bad-input for a picture that is none */
export const directionFeed = (lines: readonly Pixels[]): StripFeed => stripFeed(lines, width)

/**
 * Line for line whether it is upside down.
 * @param probabilities [lines, 2] f32 as the model gives them
 * @throws ManyhandsError bad-input when they are of another shape
 */
export function readDirections(probabilities: Float32Array, dims: readonly number[]): boolean[] {
  const [lines = 0] = dims
  if (dims.length !== 2 || dims[1] !== classes || probabilities.length !== lines * classes)
    throw new ManyhandsError('bad-input', `The model gave [${dims.join(', ')}]; directions are [lines, ${classes}].`)
  return Array.from({ length: lines }, (_, i) => (probabilities[i * classes + upsideDown] as number) > sure)
}
