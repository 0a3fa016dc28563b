/**
 * Makes f32 weights out of a graph's constant ones: which bytes they come from is settled with the graph, the numbers are
 * computed when the caller asks. Two nodes that read the same quantised bytes share one f32 weight.
 */
import type { GraphIndex } from './graph-index.ts'
import {
  dequantizeAxis,
  dequantizeBlocks,
  expectLength,
  toFloats,
  type AxisLayout,
  type BlockLayout,
  type IntegerType,
} from './lower-dequantize.ts'
import { badModel } from './onnx/bad-model.ts'
import { elementCountOf } from './onnx/element-types.ts'
import type { Tensor } from './onnx/model.ts'
import { q41BlockSize, type Q41Matrix } from './q4-1.ts'

/** Bytes of external data, such as a shard's. */
export type ReadWeights = (location: string, offset: number, length: number) => Uint8Array

export interface LoweredWeight {
  /** As in the graph's external data. */
  readonly location: string
  readonly bytes: number
  /** Locations that `make` reads. */
  readonly reads: readonly string[]
  /** Little-endian f32. @throws ManyhandsError bad-model when the stored weights don't fit their node */
  make(read: ReadWeights): Uint8Array<ArrayBuffer>
}

/** A constant of floats: an initializer, cast to f32 or not. */
export interface FloatConstant {
  readonly tensor: Tensor
  readonly type: 'float32' | 'float16' | 'bfloat16'
  /** Whether the graph sees it as f32. */
  readonly isFloat32: boolean
}

/** Where blocks get their zero from. */
export type BlockZero = number | { readonly packed: Tensor } | { readonly minimum: FloatConstant }

export class WeightMaker {
  readonly initializers: Tensor[] = []
  readonly weights: LoweredWeight[] = []
  readonly #index: GraphIndex
  /** f32 matrices by what they are made of. */
  readonly #matrices = new Map<string, string>()
  readonly #taken: Set<string>

  constructor(index: GraphIndex) {
    this.#index = index
    this.#taken = new Set([...index.inputs.keys(), ...index.initializers.keys(), ...index.producer.keys()])
  }

  initializer(name: string | undefined): Tensor | undefined {
    return this.#index.initializers.get(name ?? '')
  }

  /** The constant that `name` is, directly or through one Cast to f32. */
  floats(name: string | undefined): FloatConstant | undefined {
    const direct = this.initializer(name)
    const maker = this.#index.producer.get(name ?? '')
    const cast = maker === undefined ? undefined : this.#index.graph.nodes[maker]
    const to = cast?.opType === 'Cast' ? cast.attributes.get('to') : undefined
    const isCast = to?.type === 'int' && to.value === castToFloat32
    const tensor = direct ?? (isCast ? this.initializer(cast?.inputs[0]) : undefined)
    if (!tensor || !isReadable(tensor) || !isFloat(tensor.dtype)) return undefined
    return { tensor, type: tensor.dtype, isFloat32: tensor.dtype === 'float32' || !direct }
  }

  /** The constant matrix whose transpose `name` is. */
  transposed(name: string | undefined): string | undefined {
    const maker = this.#index.producer.get(name ?? '')
    const node = maker === undefined ? undefined : this.#index.graph.nodes[maker]
    const perm = node?.opType === 'Transpose' ? node.attributes.get('perm') : undefined
    const isTurned = perm?.type === 'ints' && perm.value.length === 2 && perm.value[0] === 1n && perm.value[1] === 0n
    const matrix = isTurned ? this.floats(node?.inputs[0]) : undefined
    return matrix?.isFloat32 && matrix.tensor.dims.length === 2 ? node?.inputs[0] : undefined
  }

  q41(matrix: Q41Matrix): string | undefined {
    const { rows, columns } = matrix
    const quant = this.initializer(matrix.quant)
    const scale = this.floats(matrix.scale)
    const minimum = this.floats(matrix.min)
    if (!quant || !scale || !minimum) return undefined
    return this.blocks(quant, { bits: 4, blockSize: q41BlockSize, rows, columns }, scale, { minimum })
  }

  /** An f32 matrix [rows, columns] of blocks; its name, or undefined where the weights can't be read as such. */
  blocks(quant: Tensor, layout: BlockLayout, scale: FloatConstant, zero: BlockZero): string | undefined {
    if (!isReadable(quant)) return undefined
    const { rows, columns, blockSize, bits } = layout
    const perRow = Math.ceil(columns / blockSize)
    expectLength(quant.name, elementCountOf(quant.dims), (rows * perRow * blockSize * bits) / 8)
    expectLength(scale.tensor.name, elementCountOf(scale.tensor.dims), rows * perRow)
    const zeros = typeof zero === 'number' ? undefined : 'packed' in zero ? zero.packed : zero.minimum.tensor
    const key = JSON.stringify([
      layout,
      typeof zero === 'number' ? zero : Object.keys(zero),
      ...[quant, scale.tensor, zeros].map((t) => t && placeOf(t)),
    ])
    const make = (read: ReadWeights) => {
      const scales = toFloats(bytesOf(scale.tensor, read), scale.type)
      return dequantizeBlocks(bytesOf(quant, read), layout, scales, offsetsOf(zero, layout, scales, read))
    }
    return this.#matrix(key, `${quant.name}.f32`, [rows, columns], [quant, scale.tensor, ...(zeros ? [zeros] : [])], make)
  }

  /** The constant that a node made, as an f32 initializer under the node's output name. */
  replaceFloats(output: string, { tensor, type }: FloatConstant): void {
    this.#add(output, tensor.dims, [tensor], (read) => toFloats(bytesOf(tensor, read), type))
  }

  /** The constant that a `DequantizeLinear` made, likewise. */
  replaceInteger(
    output: string,
    quant: Tensor,
    type: IntegerType,
    layout: AxisLayout,
    scale: FloatConstant,
    zero: Tensor | undefined,
  ): void {
    this.#add(output, quant.dims, [quant, scale.tensor, ...(zero ? [zero] : [])], (read) => {
      const scales = toFloats(bytesOf(scale.tensor, read), scale.type)
      return dequantizeAxis(bytesOf(quant, read), type, layout, scales, zero && bytesOf(zero, read))
    })
  }

  #matrix(
    key: string,
    wanted: string,
    dims: readonly number[],
    sources: readonly Tensor[],
    make: (read: ReadWeights) => Float32Array<ArrayBuffer>,
  ): string {
    const known = this.#matrices.get(key)
    if (known !== undefined) return known
    let name = wanted
    for (let n = 2; this.#taken.has(name); n++) name = `${wanted}.${n}`
    this.#taken.add(name)
    this.#matrices.set(key, name)
    this.#add(name, dims, sources, make)
    return name
  }

  #add(name: string, dims: readonly number[], sources: readonly Tensor[], make: (read: ReadWeights) => Float32Array<ArrayBuffer>): void {
    const bytes = 4 * elementCountOf(dims)
    const location = `f32-${this.weights.length}`
    const reads = new Set(sources.flatMap(({ data }) => (data.kind === 'external' ? [data.location] : [])))
    this.initializers.push({ name, dtype: 'float32', dims, data: { kind: 'external', location, offset: 0, length: bytes } })
    this.weights.push({ location, bytes, reads: [...reads], make: (read) => new Uint8Array(make(read).buffer) })
  }
}

/** `Cast`'s `to` for f32, as TensorProto numbers types. */
const castToFloat32 = 1n

const isFloat = (dtype: string): dtype is FloatConstant['type'] => dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16'

const isReadable = ({ data }: Tensor) => data.kind === 'raw' || data.kind === 'external'

/** Equal for two initializers over the same bytes. */
const placeOf = ({ name, data }: Tensor) => (data.kind === 'external' ? [data.location, data.offset, data.length] : name)

function bytesOf({ name, data }: Tensor, read: ReadWeights): Uint8Array {
  if (data.kind === 'raw') return data.bytes
  if (data.kind !== 'external') return new Uint8Array()
  const bytes = read(data.location, data.offset, data.length)
  if (bytes.length !== data.length)
    throw badModel(`the weights ${name} ask for ${data.length} bytes of ${data.location}, which has ${bytes.length} there`)
  return bytes
}

function offsetsOf(zero: BlockZero, layout: BlockLayout, scales: Float32Array, read: ReadWeights): Float64Array {
  const { bits, rows, columns, blockSize } = layout
  const offsets = new Float64Array(scales.length)
  if (typeof zero === 'number') {
    for (let i = 0; i < offsets.length; i++) offsets[i] = -zero * (scales[i] as number)
  } else if ('minimum' in zero) {
    const { tensor, type } = zero.minimum
    const minimums = toFloats(bytesOf(tensor, read), type)
    expectLength(tensor.name, minimums.length, offsets.length)
    offsets.set(minimums)
  } else {
    // Packed like the values; every row starts at a byte.
    const perRow = Math.ceil(columns / blockSize)
    const rowBytes = Math.ceil((perRow * bits) / 8)
    const packed = bytesOf(zero.packed, read)
    expectLength(zero.packed.name, packed.length, rows * rowBytes)
    for (let i = 0; i < offsets.length; i++) {
      const column = i % perRow
      const byte = packed[Math.floor(i / perRow) * rowBytes + (bits === 8 ? column : column >> 1)] as number
      offsets[i] = -(bits === 8 ? byte : (byte >> (4 * (column & 1))) & 15) * (scales[i] as number)
    }
  }
  return offsets
}
