/**
 * Tensor values as they travel: a small shape table, then each tensor's little-endian bytes, in the order that a spec
 * (a cut of the manifest, a model's inputs or outputs) gives. Used for frame payloads and for golden activations.
 */
import { ManyhandsError } from './errors.ts'
import { concatBytes, type Bytes } from './bytes.ts'

export const dtypes = [
  'float32',
  'int64',
  'int32',
  'uint8',
  'int8',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
  'int16',
  'uint16',
] as const
export type DType = (typeof dtypes)[number]

/** Bytes an element takes. */
export const dtypeSize: Readonly<Record<DType, number>> = {
  float32: 4,
  int64: 8,
  int32: 4,
  uint8: 1,
  int8: 1,
  bool: 1,
  float16: 2,
  float64: 8,
  uint32: 4,
  uint64: 8,
  int16: 2,
  uint16: 2,
}

/** A named place for a tensor. A dimension that is text is symbolic: any size that the model allows. */
export interface TensorSpec {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly (number | string)[]
}

/** A tensor as raw little-endian bytes; `bytes.length` = product(dims) * dtypeSize[dtype]. */
export interface TensorValue {
  readonly dtype: DType
  readonly dims: readonly number[]
  readonly bytes: Uint8Array
}

/** ONNX and every runtime we know stop at 8 axes in practice. */
export const maxRank = 8

export function elementCount(dims: readonly number[]): number {
  let n = 1
  for (const d of dims) n *= d
  return n
}

/** Bytes of the shape table for tensors of these ranks. */
function tableBytes(ranks: readonly number[]): number {
  let n = 0
  for (const r of ranks) n += 1 + 4 * r
  return n
}

/** Shape table (per tensor: rank u8, dims u32 each), then the tensors' bytes. */
export function packTensors(values: readonly TensorValue[]): Bytes {
  const table = new Uint8Array(tableBytes(values.map((v) => v.dims.length)))
  const view = new DataView(table.buffer)
  let at = 0
  for (const v of values) {
    view.setUint8(at, v.dims.length)
    at += 1
    for (const d of v.dims) {
      view.setUint32(at, d, true)
      at += 4
    }
  }
  return concatBytes([table, ...values.map((v) => v.bytes)])
}

/**
 * The reverse of {@link packTensors}, checked against `specs`: as many tensors, each of a fitting rank and of the fixed
 * dimensions, and not a byte more or less than the shapes say. The values are views into `packed`.
 * @throws ManyhandsError bad-message
 */
export function unpackTensors(packed: Uint8Array, specs: readonly TensorSpec[]): TensorValue[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  const shapes: number[][] = []
  let at = 0
  for (const spec of specs) {
    if (at + 1 > packed.length) throw bad(`shape table ends before ${spec.name}`)
    const rank = view.getUint8(at)
    at += 1
    if (rank > maxRank || at + 4 * rank > packed.length) throw bad(`rank ${rank} of ${spec.name}`)
    const dims: number[] = []
    for (let i = 0; i < rank; i++, at += 4) dims.push(view.getUint32(at, true))
    checkShape(spec, dims)
    shapes.push(dims)
  }
  return specs.map((spec, i) => {
    const dims = shapes[i] as number[]
    const length = elementCount(dims) * dtypeSize[spec.dtype]
    if (!(at + length <= packed.length)) throw bad(`${spec.name} of shape [${dims.join(', ')}] does not fit its message`)
    const bytes = packed.subarray(at, at + length)
    at += length
    if (i === specs.length - 1 && at !== packed.length) throw bad(`${packed.length - at} bytes after the last tensor`)
    return { dtype: spec.dtype, dims, bytes }
  })
}

/** The tensors' bytes alone, without the shape table: what custody hashes. */
export function tensorBytes(packed: Uint8Array, count: number): Uint8Array {
  let at = 0
  for (let i = 0; i < count; i++) at += 1 + 4 * (packed[at] ?? 0)
  return packed.subarray(at)
}

/** @throws ManyhandsError bad-message when `dims` is not an instance of the spec's shape. */
export function checkShape(spec: TensorSpec, dims: readonly number[]): void {
  const fits = dims.length === spec.shape.length && spec.shape.every((want, i) => typeof want === 'string' || want === dims[i])
  if (!fits) throw bad(`${spec.name} has shape [${dims.join(', ')}], not [${spec.shape.join(', ')}]`)
}

const bad = (what: string) => new ManyhandsError('bad-message', `Tensor message refused: ${what}.`)
