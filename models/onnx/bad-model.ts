/**
 * The one error of everything in models/ that reads a graph: it says what is wrong and what to do about it.
 */
import { ManyhandsError } from '../../protocol/errors.ts'

export const badModel = (what: string, cause?: unknown) =>
  new ManyhandsError('bad-model', `ONNX model refused: ${what}.`, cause === undefined ? {} : { cause })
