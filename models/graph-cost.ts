/**
 * What a node costs: multiply-accumulates, the unit in which stages are balanced. With the shapes of an instrumented run
 * they are those of that run; without, those of one row, which for a matrix product is its weights' elements.
 */
import { elementCountOf, type ElementType } from './onnx/element-types.ts'
import type { GraphIndex } from './graph-index.ts'
import { subgraphs } from './graph-index.ts'
import type { Node, Tensor } from './onnx/model.ts'

/** A tensor's type and shape as seen in one run. */
export interface SeenTensor {
  readonly dtype: ElementType
  readonly dims: readonly number[]
}
export type Shapes = ReadonlyMap<string, SeenTensor>

/** Position of the weights among the inputs. */
const convolutions: ReadonlyMap<string, number> = new Map([
  ['Conv', 1],
  ['FusedConv', 1],
  ['NhwcFusedConv', 1],
  ['ConvInteger', 1],
  ['QLinearConv', 3],
])
const products: ReadonlyMap<string, number> = new Map([
  ['MatMul', 1],
  ['FusedMatMul', 1],
  ['Gemm', 1],
  ['FusedGemm', 1],
  ['MatMulInteger', 1],
  ['MatMulIntegerToFloat', 1],
  ['DynamicQuantizeMatMul', 1],
  ['QLinearMatMul', 3],
  ['Einsum', 1],
])
const recurrent: ReadonlySet<string> = new Set(['LSTM', 'GRU', 'RNN', 'DynamicQuantizeLSTM'])
/** Nodes through which weights pass on their way to a product, element by element. */
const passing: ReadonlySet<string> = new Set([
  'Cast',
  'DequantizeLinear',
  'Transpose',
  'Reshape',
  'Identity',
  'Squeeze',
  'Unsqueeze',
  'QuantizeLinear',
])

export class CostModel {
  readonly #index: GraphIndex
  readonly #shapes: Shapes

  constructor(index: GraphIndex, shapes: Shapes = new Map()) {
    this.#index = index
    this.#shapes = shapes
  }

  /** Multiply-accumulates of a node; 0 for whatever is cheap beside a product. */
  of(node: Node): number {
    const { opType } = node
    const conv = convolutions.get(opType)
    if (conv !== undefined) return this.#convolution(node, conv)
    const product = products.get(opType)
    if (product !== undefined) return this.#product(node, product)
    if (opType === 'ConvTranspose') return this.#transposedConvolution(node)
    if (opType === 'MatMulNBits') return this.#rows(node, int(node, 'N')) * int(node, 'N') * int(node, 'K')
    if (recurrent.has(opType))
      return (this.#dims(node.inputs[0])?.[0] ?? 1) * (this.#weightElements(node.inputs[1]) + this.#weightElements(node.inputs[2]))
    let inner = 0
    for (const attribute of node.attributes.values())
      for (const graph of subgraphs(attribute)) for (const n of graph.nodes) inner += this.#inner(n, graph.initializers)
    return inner
  }

  /** A node of a sub-graph, whose shapes nobody saw: its largest constant, if it is a product at all. */
  #inner(node: Node, initializers: readonly Tensor[]): number {
    if (!convolutions.has(node.opType) && !products.has(node.opType) && !recurrent.has(node.opType)) {
      let inner = 0
      for (const attribute of node.attributes.values())
        for (const graph of subgraphs(attribute)) for (const n of graph.nodes) inner += this.#inner(n, graph.initializers)
      return inner
    }
    let most = 0
    for (const t of initializers) if (node.inputs.includes(t.name)) most = Math.max(most, elementCountOf(t.dims))
    for (const name of node.inputs) most = Math.max(most, this.#weightElements(name))
    return most
  }

  /** Each output element takes one filter: weights [out channels, in channels / groups, ...kernel]. */
  #convolution(node: Node, at: number): number {
    const weights = this.#dims(node.inputs[at])
    const out = this.#dims(node.outputs[0])
    if (!weights) return this.#weightElements(node.inputs[at])
    const filter = elementCountOf(weights) / Math.max(1, weights[0] ?? 1)
    return out ? elementCountOf(out) * filter : elementCountOf(weights)
  }

  /** Each input element meets one filter: weights [in channels, out channels / groups, ...kernel]. */
  #transposedConvolution(node: Node): number {
    const weights = this.#dims(node.inputs[1])
    const x = this.#dims(node.inputs[0])
    if (!weights) return this.#weightElements(node.inputs[1])
    return x ? elementCountOf(x) * (elementCountOf(weights) / Math.max(1, weights[0] ?? 1)) : elementCountOf(weights)
  }

  #product(node: Node, at: number): number {
    const a = this.#dims(node.inputs[0])
    const out = this.#dims(node.outputs[0])
    if (!a || !out) return this.#weightElements(node.inputs[at])
    const turned = int(node, 'transA') !== 0
    return elementCountOf(out) * ((turned ? a.at(-2) : a.at(-1)) ?? 1)
  }

  #rows(node: Node, columns: number): number {
    const out = this.#dims(node.outputs[0])
    return out && columns > 0 ? elementCountOf(out) / columns : 1
  }

  #dims(name: string | undefined): readonly number[] | undefined {
    if (name === undefined) return undefined
    return this.#index.initializers.get(name)?.dims ?? this.#shapes.get(name)?.dims
  }

  /** Elements of the weights that `name` is, or is made of one by one; 0 where it is computed from inputs. */
  #weightElements(name: string | undefined): number {
    let at = name
    // A chain of casts and reshapes is a handful of nodes long.
    for (let steps = 0; at !== undefined && steps < 8; steps++) {
      const tensor = this.#index.initializers.get(at)
      if (tensor) return elementCountOf(tensor.dims)
      const maker = this.#index.producer.get(at)
      const node = maker === undefined ? undefined : this.#index.graph.nodes[maker]
      if (!node || !passing.has(node.opType)) return 0
      at = node.inputs[0]
    }
    return 0
  }
}

function int(node: Node, name: string): number {
  const attribute = node.attributes.get(name)
  return attribute?.type === 'int' ? Number(attribute.value) : 0
}
