/**
 * GroupQueryAttention on wasm. onnxruntime 1.30 runs several rows through a tiled kernel sized by the L2 cache, which wasm
 * can't tell, so that its tiles are single elements: 15 times slower than plain products. A head sink sends it the plain
 * way; a sink of minus infinity adds exp(-inf) = 0 to each softmax's sum, so that nothing else changes.
 */
import type { Model, Node, Tensor } from './onnx/model.ts'

/** Index of `head_sink` among the operator's inputs. */
const sinkInput = 11

/** The same model; every GroupQueryAttention without a sink gets one that counts for nothing. */
export function lowerAttention(model: Model): Model {
  const sinks = new Map<number, Tensor>()
  const nodes = model.graph.nodes.map((node) => {
    const heads = node.attributes.get('num_heads')
    if (node.opType !== 'GroupQueryAttention' || heads?.type !== 'int' || node.inputs[sinkInput]) return node
    const sink = sinks.get(Number(heads.value)) ?? noSink(Number(heads.value))
    sinks.set(Number(heads.value), sink)
    return withInput(node, sinkInput, sink.name)
  })
  return { ...model, graph: { ...model.graph, nodes, initializers: [...model.graph.initializers, ...sinks.values()] } }
}

function noSink(heads: number): Tensor {
  const bytes = new Uint8Array(Float32Array.from({ length: heads }, () => Number.NEGATIVE_INFINITY).buffer)
  return { name: `manyhands.no_sink.${heads}`, dtype: 'float32', dims: [heads], data: { kind: 'raw', bytes } }
}

function withInput(node: Node, index: number, name: string): Node {
  const inputs = Array.from({ length: Math.max(node.inputs.length, index + 1) }, (_, i) => node.inputs[i] ?? '')
  inputs[index] = name
  return { ...node, inputs }
}
