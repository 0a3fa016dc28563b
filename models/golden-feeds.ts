/**
 * What a model is fed to make its golden activations: the same for every importer, because it comes from a counter and the
 * input's name alone.
 */
import type { InputSpec } from '../protocol/manifest.ts'
import { noiseWord } from '../protocol/sampling.ts'
import { dtypeSize, elementCount, type TensorValue } from '../protocol/tensors.ts'
import { ManyhandsError } from '../protocol/errors.ts'

/** Rows of a decoder's golden runs: a prefill past the row counts at which GPU kernels change, then single rows. */
export const goldenRuns: readonly number[] = [40, 1, 1, 1, 1]

/** Any number would do; it must never change. */
const goldenSeed = 0x5eed

/** Sizes for symbolic dimensions that the caller says nothing about: one of a batch, a small square of the rest. */
const batchSize = 1
const otherSize = 64
/** Elements of a golden input: an image of 4096 x 4096 in colour. */
const maxElements = 2 ** 26

/** Token ids, spread evenly over the vocabulary. */
export function goldenTokens(vocab: number): number[] {
  const rows = goldenRuns.reduce((a, b) => a + b, 0)
  return Array.from({ length: rows }, (_, position) => noiseWord(goldenSeed, position, 0) % vocab)
}

/** The size of each symbolic dimension of the inputs, by name; `scale` makes another set for comparison. */
export function goldenSizes(inputs: readonly InputSpec[], given: Readonly<Record<string, number>> = {}, scale = 1): Map<string, number> {
  const sizes = new Map<string, number>()
  for (const { shape } of inputs) {
    for (const [axis, dim] of shape.entries()) {
      if (typeof dim === 'string' && !sizes.has(dim)) sizes.set(dim, scale * (given[dim] ?? (axis === 0 ? batchSize : otherSize)))
    }
  }
  return sizes
}

/**
 * What inputs are filled with. `noise` does for most models. One that finds print answers noise with next to nothing at all, whose
 * relative error is that of rounding magnified: it is given `print`, rows of words in ink on paper, which it is sure of.
 */
export const goldenFills = ['noise', 'print'] as const
export type GoldenFill = (typeof goldenFills)[number]

/** @throws ManyhandsError unsupported when an input is absurdly large, or no picture where print is to fill it */
export function goldenFeeds(
  inputs: readonly InputSpec[],
  sizes: ReadonlyMap<string, number>,
  fill: GoldenFill = 'noise',
): Map<string, TensorValue> {
  return new Map(
    inputs.map((input) => {
      const dims = input.shape.map((dim) => (typeof dim === 'number' ? dim : (sizes.get(dim) ?? batchSize)))
      const count = elementCount(dims)
      if (count > maxElements)
        throw new ManyhandsError('unsupported', `The input ${input.name} of shape [${dims.join(', ')}] is too large for a check run.`)
      return [input.name, { dtype: input.dtype, dims, bytes: fill === 'print' ? printedBytes(input, dims) : goldenBytes(input, count) }]
    }),
  )
}

/** Of a page in pixels: a row's height, where its letters begin and end, the margin at its sides, a word with the space after it. */
const print = { row: 40, top: 12, bottom: 28, margin: 24, word: 60, gap: 12 } as const
/** Strokes are this wide and high. */
const stroke = { width: 2, height: 4 } as const

/** Ink is -1, paper 1, in every channel of f32 [pictures, channels, height, width]. */
function printedBytes({ name, dtype }: InputSpec, dims: readonly number[]): Uint8Array {
  const [height, width] = dims.slice(2)
  if (dtype !== 'float32' || dims.length !== 4 || height === undefined || width === undefined)
    throw new ManyhandsError('unsupported', `The input ${name} is no picture, so it can't be filled with print.`)
  const isInk = (x: number, y: number) =>
    y % print.row >= print.top &&
    y % print.row < print.bottom &&
    x >= print.margin &&
    x < width - print.margin &&
    x % (print.word + print.gap) < print.word &&
    noiseWord(goldenSeed, Math.floor(y / stroke.height), Math.floor(x / stroke.width)) % 2 === 0
  const values = Float32Array.from({ length: elementCount(dims) }, (_, i) => (isInk(i % width, Math.floor(i / width) % height) ? -1 : 1))
  return new Uint8Array(values.buffer)
}

function goldenBytes({ name, dtype }: InputSpec, count: number): Uint8Array {
  const bytes = new Uint8Array(count * dtypeSize[dtype])
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < count; i++) {
    const word = noiseWord(goldenSeed, i, name.length)
    const real = word / 2 ** 31 - 1
    if (dtype === 'float32') view.setFloat32(4 * i, real, true)
    else if (dtype === 'float64') view.setFloat64(8 * i, real, true)
    // 1.0 with noise in its low bits: a half-precision number between 1 and 2.
    else if (dtype === 'float16') view.setUint16(2 * i, 0x3c00 | (word & 0x3ff), true)
    else if (dtype === 'bool') view.setUint8(i, 1)
    else setInteger(view, i, dtypeSize[dtype], smallInteger(name, word))
  }
  return bytes
}

/** Ids that every vocabulary has; masks let all through, and types are the first. */
function smallInteger(name: string, word: number): number {
  if (/mask/i.test(name)) return 1
  return /type/i.test(name) ? 0 : 1 + (word % 100)
}

function setInteger(view: DataView, index: number, size: number, value: number): void {
  if (size === 8) view.setBigInt64(8 * index, BigInt(value), true)
  else if (size === 4) view.setInt32(4 * index, value, true)
  else if (size === 2) view.setInt16(2 * index, value, true)
  else view.setInt8(index, value)
}
