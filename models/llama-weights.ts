/**
 * The tensors of a llama GGUF as initializers of a graph: reads, checks shape and type, takes quantised blocks apart when
 * their bytes are wanted, and writes the nodes that multiply by them. Every tensor must be used by the end.
 */
import type { Bytes } from '../protocol/bytes.ts'
import type { ByteSource } from './byte-source.ts'
import { blockSize, splitQ40, splitQ41, splitQ80, transpose, unpairHalves } from './ggml-blocks.ts'
import type { Gguf, GgufTensor } from './gguf.ts'
import type { GraphBuilder } from './graph-builder.ts'
import { badGguf, unsupported } from './llama-config.ts'
import type { ElementType } from './onnx/element-types.ts'
import { blockSums, q41MatMul } from './q4-1.ts'
import { inlineBytes, type WeightPart } from './source-model.ts'

const toFloat = { to: { int: 1 } }

/** A matrix [rows, columns] = [out, in] by the names of its initializers, ready to be multiplied by or looked up in. */
export interface Weight {
  readonly kind: 'Q4_1' | 'Q4_0' | 'Q8_0' | 'F16' | 'F32'
  /** Quantised values; of F16 and F32 the matrix itself, [columns, rows] unless it is `byRow`. */
  readonly values: string
  readonly scale: string
  readonly min: string
  readonly rows: number
  readonly columns: number
  readonly byRow: boolean
}

export class LlamaWeights {
  readonly parts = new Map<string, WeightPart>()
  private readonly used = new Set<string>()
  private readonly sums = new Map<string, string>()
  /** The tensor taken apart last: its two or three parts are asked for one after the other. */
  private last: { name: string; split: Promise<Readonly<Record<string, Bytes>>> } | undefined
  private readonly graph: GraphBuilder
  private readonly gguf: Gguf
  private readonly source: ByteSource

  constructor(graph: GraphBuilder, gguf: Gguf, source: ByteSource) {
    this.graph = graph
    this.gguf = gguf
    this.source = source
  }

  /** A vector of f32, such as a norm's weights. */
  async vector(tensorName: string, name: string, length: number): Promise<string> {
    const tensor = this.take(tensorName, [length])
    if (tensor.type.name !== 'F32') throw unsupported(`tensor ${tensorName} of type ${tensor.type.name}; F32 is read`)
    if (tensor.bytes <= inlineBytes)
      return this.graph.initializer(name, 'float32', [length], { kind: 'raw', bytes: await this.read(tensor) })
    return this.constant(name, 'float32', [length], { bytes: tensor.bytes, load: () => this.read(tensor) })
  }

  /** Numbers of the file that become something else than a weight (rope's frequency factors). */
  async numbers(tensorName: string, length: number): Promise<Float32Array | undefined> {
    if (!this.gguf.tensors.has(tensorName)) return undefined
    const tensor = this.take(tensorName, [length])
    if (tensor.type.name !== 'F32') throw unsupported(`tensor ${tensorName} of type ${tensor.type.name}; F32 is read`)
    return new Float32Array((await this.read(tensor)).buffer)
  }

  /** `byRow` keeps F16 and F32 as [rows, columns], to look rows up; `headDim` un-permutes the rows of a query or key matrix. */
  matrix(tensorName: string, name: string, rows: number, columns: number, options: { byRow?: boolean; headDim?: number } = {}): Weight {
    const tensor = this.take(tensorName, [rows, columns])
    const { byRow = false, headDim } = options
    const kind = tensor.type.name
    const raw = async () => {
      const bytes = await this.read(tensor)
      return headDim === undefined ? bytes : unpairHalves(bytes, bytes.length / rows, headDim)
    }
    const blocks = columns / blockSize
    const values = `${name}.weight`
    const weight = { values, scale: `${values}.scale`, min: `${values}.min`, rows, columns, byRow }
    const part = (suffix: string, split: (bytes: Bytes) => Readonly<Record<string, Bytes>>, bytes: number): WeightPart => ({
      bytes,
      load: () => this.splitPart(tensor.name, suffix, async () => split(await raw())),
    })
    switch (kind) {
      case 'Q4_1':
        this.constant(values, 'uint8', [rows, blocks, blockSize / 2], part('quant', splitQ41, (rows * columns) / 2))
        this.constant(weight.scale, 'float16', [rows, blocks], part('scale', splitQ41, rows * blocks * 2))
        this.constant(weight.min, 'float16', [rows, blocks], part('min', splitQ41, rows * blocks * 2))
        return { kind, ...weight }
      case 'Q4_0':
        this.constant(values, 'uint8', [rows, blocks, blockSize / 2], part('quant', splitQ40, (rows * columns) / 2))
        this.constant(weight.scale, 'float16', [rows, blocks], part('scale', splitQ40, rows * blocks * 2))
        return { kind, ...weight }
      case 'Q8_0':
        this.constant(values, 'uint8', byRow ? [rows, columns] : [rows, blocks, blockSize], part('quant', splitQ80, rows * columns))
        this.constant(weight.scale, 'float16', [rows, blocks], part('scale', splitQ80, rows * blocks * 2))
        return { kind, ...weight }
      case 'F16':
      case 'F32': {
        const size = kind === 'F16' ? 2 : 4
        const load = byRow ? raw : async () => transpose(await raw(), rows, columns, size)
        this.constant(values, kind === 'F16' ? 'float16' : 'float32', byRow ? [rows, columns] : [columns, rows], {
          bytes: tensor.bytes,
          load,
        })
        return { kind, ...weight }
      }
      default:
        throw unsupported(`tensor ${tensorName} of type ${kind}; F32, F16, Q8_0, Q4_0 and Q4_1 are read`)
    }
  }

  /** x [batch, rows, columns] times the matrix, transposed: [batch, rows, matrix rows]. */
  multiply(weight: Weight, x: string, out: string): string {
    const { graph } = this
    const { kind, values, rows, columns } = weight
    if (kind === 'Q4_1') return q41MatMul(graph, { ...weight, quant: values }, x, this.sumsOf(x, columns), out)
    if (kind === 'Q4_0' || kind === 'Q8_0') {
      const attributes = { K: { int: columns }, N: { int: rows }, bits: { int: kind === 'Q8_0' ? 8 : 4 }, block_size: { int: blockSize } }
      const scale = graph.node('Cast', [weight.scale], `${out}.scale`, toFloat)
      return graph.node('com.microsoft.MatMulNBits', [x, this.asBlocks(weight), scale], out, attributes)
    }
    const plain = kind === 'F16' ? graph.node('Cast', [values], `${out}.f32`, toFloat) : values
    const turned = weight.byRow ? graph.node('Transpose', [plain], `${out}.turned`, { perm: { ints: [1, 0] } }) : plain
    return graph.node('MatMul', [x, turned], out)
  }

  /** The rows of the matrix that `ids` name, as f32. */
  lookUp(weight: Weight, ids: string, out: string): string {
    const { graph } = this
    if (weight.kind === 'Q4_0' || weight.kind === 'Q4_1')
      throw unsupported(`a token embedding of type ${weight.kind}; F32, F16 and Q8_0 are read`)
    if (weight.kind === 'Q8_0') {
      const scale = graph.node('Cast', [weight.scale], `${out}.scale`, toFloat)
      const attributes = { gather_axis: { int: 0 }, quantize_axis: { int: 1 }, block_size: { int: blockSize }, bits: { int: 8 } }
      return graph.node('com.microsoft.GatherBlockQuantized', [weight.values, ids, scale], out, attributes)
    }
    if (weight.kind === 'F32') return graph.node('Gather', [weight.values, ids], out)
    return graph.node('Cast', [graph.node('Gather', [weight.values, ids], `${out}.f16`)], out, toFloat)
  }

  /** @throws ManyhandsError unsupported, naming a tensor that the graph has no place for (a bias, an adapter) */
  expectAllUsed(): void {
    const extra = [...this.gguf.tensors.keys()].find((name) => !this.used.has(name))
    if (extra !== undefined) throw unsupported(`a tensor that a plain llama model does not have: ${extra}`)
  }

  private sumsOf(x: string, columns: number): string {
    const known = this.sums.get(x) ?? blockSums(this.graph, x, columns)
    this.sums.set(x, known)
    return known
  }

  /** A tied 8-bit head reads the embedding's bytes in another shape: a second initializer over the same part. */
  private asBlocks(weight: Weight): string {
    if (!weight.byRow) return weight.values
    const dims = [weight.rows, weight.columns / blockSize, blockSize]
    const data = { kind: 'external', location: weight.values, offset: 0, length: weight.rows * weight.columns } as const
    return this.graph.initializer(`${weight.values}.blocks`, 'uint8', dims, data)
  }

  constant(name: string, dtype: ElementType, dims: readonly number[], part: WeightPart): string {
    this.parts.set(name, part)
    return this.graph.initializer(name, dtype, dims, { kind: 'external', location: name, offset: 0, length: part.bytes })
  }

  private async splitPart(tensor: string, suffix: string, split: () => Promise<Readonly<Record<string, Bytes>>>): Promise<Bytes> {
    if (this.last?.name !== tensor) this.last = { name: tensor, split: split() }
    return (await this.last.split)[suffix] as Bytes
  }

  private read(tensor: GgufTensor): Promise<Bytes> {
    return this.source.read(tensor.offset, tensor.bytes)
  }

  private take(name: string, dims: readonly number[]): GgufTensor {
    const tensor = this.gguf.tensors.get(name)
    if (!tensor) throw badGguf(`it has no tensor ${name}`)
    if (tensor.dims.join() !== dims.join())
      throw badGguf(`tensor ${name} has the shape [${tensor.dims.join(', ')}], not [${dims.join(', ')}]`)
    this.used.add(name)
    return tensor
  }
}
