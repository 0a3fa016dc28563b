/**
 * The tensors of a BERT's safetensors file as initializers of a graph: reads, checks shape and type, turns matrices, and
 * writes the nodes that multiply by them. Every tensor must be used by the end, or be known as one that vectors of text do without.
 */
import type { Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { unsupported } from './bert-config.ts'
import type { ByteSource } from './byte-source.ts'
import { transpose } from './ggml-blocks.ts'
import type { GraphBuilder } from './graph-builder.ts'
import { toFloats } from './lower-dequantize.ts'
import type { ElementType } from './onnx/element-types.ts'
import type { SafeTensor, SafeType, Safetensors } from './safetensors.ts'
import { inlineBytes, type WeightPart } from './source-model.ts'

const floatTypes: Readonly<Partial<Record<SafeType, 'float32' | 'float16' | 'bfloat16'>>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
}

/** A buffer of positions that older files carry along, the head for the first token, and those for pre-training. */
const doneWithout = /^(bert\.)?(embeddings\.position_ids|pooler\.dense\.(weight|bias))$|^cls\./

export class BertWeights {
  readonly parts = new Map<string, WeightPart>()
  private readonly used = new Set<string>()
  /** A checkpoint with a head has the encoder's tensors under `bert.`. */
  private readonly prefix: string
  private readonly graph: GraphBuilder
  private readonly file: Safetensors
  private readonly source: ByteSource

  constructor(graph: GraphBuilder, file: Safetensors, source: ByteSource) {
    this.graph = graph
    this.file = file
    this.source = source
    this.prefix = file.tensors.has('bert.embeddings.word_embeddings.weight') ? 'bert.' : ''
  }

  /** x times the matrix [out, in] of a linear layer, and its bias added. */
  async linear(name: string, x: string, rows: number, columns: number): Promise<string> {
    const { graph } = this
    const tensor = this.take(`${name}.weight`, [rows, columns])
    const half = tensor.type === 'F16'
    const size = half ? 2 : 4
    const load = async () => transpose(half ? await this.read(tensor) : await this.floats(tensor), rows, columns, size)
    const stored = this.constant(`${name}.weight`, half ? 'float16' : 'float32', [columns, rows], { bytes: rows * columns * size, load })
    const matrix = half ? graph.node('Cast', [stored], `${name}.weight.f32`, toFloat) : stored
    const bias = await this.vector(`${name}.bias`, rows)
    return graph.node('Add', [graph.node('MatMul', [x, matrix], `${name}.product`), bias], name)
  }

  /** The rows of a table [rows, columns] that `ids` name, as f32. */
  lookUp(name: string, ids: string, rows: number, columns: number): string {
    const { graph } = this
    const tensor = this.take(`${name}.weight`, [rows, columns])
    const half = tensor.type === 'F16'
    const table = this.constant(`${name}.weight`, half ? 'float16' : 'float32', [rows, columns], {
      bytes: rows * columns * (half ? 2 : 4),
      load: () => (half ? this.read(tensor) : this.floats(tensor)),
    })
    if (!half) return graph.node('Gather', [table, ids], name)
    return graph.node('Cast', [graph.node('Gather', [table, ids], `${name}.f16`)], name, toFloat)
  }

  async layerNorm(name: string, x: string, length: number, epsilon: number, out = name): Promise<string> {
    const scale = await this.vector(`${name}.weight`, length)
    const bias = await this.vector(`${name}.bias`, length)
    return this.graph.node('LayerNormalization', [x, scale, bias], out, { axis: { int: -1 }, epsilon: { float: epsilon } })
  }

  /** @throws ManyhandsError unsupported, naming a tensor that the graph has no place for (an adapter, a projection) */
  expectAllUsed(): void {
    const extra = [...this.file.tensors.keys()].find((name) => !this.used.has(name) && !doneWithout.test(name))
    if (extra !== undefined) throw unsupported(`a tensor that a plain BERT does not have: ${extra}`)
  }

  /** A vector is f32 whatever the file has: it is small. */
  private async vector(name: string, length: number): Promise<string> {
    const tensor = this.take(name, [length])
    const bytes = 4 * length
    if (bytes > inlineBytes) return this.constant(name, 'float32', [length], { bytes, load: () => this.floats(tensor) })
    return this.graph.initializer(name, 'float32', [length], { kind: 'raw', bytes: await this.floats(tensor) })
  }

  private constant(name: string, dtype: ElementType, dims: readonly number[], part: WeightPart): string {
    this.parts.set(name, part)
    return this.graph.initializer(name, dtype, dims, { kind: 'external', location: name, offset: 0, length: part.bytes })
  }

  /** Exact: every f16 and bf16 is an f32. */
  private async floats(tensor: SafeTensor): Promise<Bytes> {
    const bytes = await this.read(tensor)
    if (tensor.type === 'F32') return bytes
    return new Uint8Array(toFloats(bytes, floatTypes[tensor.type] ?? 'float32').buffer)
  }

  private read(tensor: SafeTensor): Promise<Bytes> {
    return this.source.read(tensor.offset, tensor.bytes)
  }

  private take(name: string, dims: readonly number[]): SafeTensor {
    const full = this.prefix + name
    const tensor = this.file.tensors.get(full)
    if (!tensor) throw badTensors(`it has no tensor ${full}`)
    if (tensor.dims.join() !== dims.join())
      throw badTensors(`tensor ${full} has the shape [${tensor.dims.join(', ')}], not [${dims.join(', ')}]`)
    if (!floatTypes[tensor.type]) throw unsupported(`tensor ${full} of type ${tensor.type}; F32, F16 and BF16 are read`)
    this.used.add(full)
    return tensor
  }
}

const toFloat = { to: { int: 1 } }
const badTensors = (what: string) => new ManyhandsError('bad-model', `Safetensors file refused: ${what}.`)
