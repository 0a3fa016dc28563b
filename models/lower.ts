/**
 * Fits a carved stage to what will run it. WebGPU takes the graph as it is; wasm would unpack 4- and 8-bit weights at every
 * call, so there they become f32 once, at load; a portable export has no operators that only the newest runtimes know.
 * The graph is rewritten at once; the weights are made one by one, when the caller asks, so that shards can go as they are used.
 */
import { pruned } from './graph-normal.ts'
import { indexGraph } from './graph-index.ts'
import { fused, lowerNode } from './lower-nodes.ts'
import { WeightMaker, type LoweredWeight } from './lower-weights.ts'
import type { Model, Node } from './onnx/model.ts'
import { findQ41 } from './q4-1.ts'

export type Target = 'wasm' | 'webgpu' | 'portable'

export interface Lowered {
  readonly model: Model
  /** New files that the model's external data name; what it names besides still lies in the shards. */
  readonly weights: readonly LoweredWeight[]
}

/**
 * @param model a carved stage, or a whole published graph
 * @throws ManyhandsError bad-model
 */
export function lower(model: Model, target: Target): Lowered {
  if (target === 'webgpu') return { model, weights: [] }
  const index = indexGraph(model.graph)
  const maker = new WeightMaker(index)
  const products = new Map(findQ41(index.graph).map((match) => [match.out, match]))
  const nodes = index.graph.nodes.flatMap((node): readonly Node[] => {
    const product = products.get(node.outputs[0] ?? '')
    const matrix = product && maker.q41(product.matrix)
    if (product && matrix) return [fused(node, product.x, matrix)]
    return lowerNode(node, maker, target) ?? [node]
  })
  const graph = pruned({ ...index.graph, nodes, initializers: [...index.graph.initializers, ...maker.initializers] })
  const used = new Set(graph.initializers.map(({ data }) => (data.kind === 'external' ? data.location : '')))
  const known = model.opsetImports.some(({ domain }) => domain === contrib)
  const opsetImports = known ? model.opsetImports : [...model.opsetImports, { domain: contrib, version: 1 }]
  return { model: { ...model, opsetImports, graph }, weights: maker.weights.filter(({ location }) => used.has(location)) }
}

/** ONNX Runtime's own operators, in every build of it. */
const contrib = 'com.microsoft'
