/**
 * One normal form for graphs from anywhere, before they are cut: constants are initializers, initializers are not inputs,
 * nodes stand in topological order, and a residual sum fused into its norm is a node of its own, so that it can be cut there.
 */
import { indexGraph, readsOf } from './graph-index.ts'
import type { Attribute, Graph, Model, Node, Tensor } from './onnx/model.ts'

/** From this IR version on, initializers need not be inputs as well. */
const separateInitializers = 4

/** @throws ManyhandsError bad-model on a graph that does not hold together */
export function normalForm(model: Model): Model {
  const unfused = splitSkipNorms(constantsToInitializers(model.graph))
  const index = indexGraph(unfused)
  const graph = { ...index.graph, inputs: index.graph.inputs.filter(({ name }) => index.inputs.has(name)) }
  return { ...model, irVersion: Math.max(model.irVersion, separateInitializers), graph: pruned(graph) }
}

/** Without the nodes, initializers and value infos that no output needs. The nodes must be in topological order. */
export function pruned(graph: Graph): Graph {
  const wanted = new Set(graph.outputs.map(({ name }) => name))
  const kept: Node[] = []
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => wanted.has(name))) continue
    kept.push(node)
    for (const name of readsOf(node)) wanted.add(name)
  }
  const nodes = kept.reverse()
  const made = new Set(nodes.flatMap((node) => node.outputs))
  return {
    ...graph,
    nodes,
    initializers: graph.initializers.filter(({ name }) => wanted.has(name)),
    valueInfo: graph.valueInfo.filter(({ name }) => made.has(name)),
  }
}

function constantsToInitializers(graph: Graph): Graph {
  const initializers = [...graph.initializers]
  const outputs = new Set(graph.outputs.map(({ name }) => name))
  const nodes = graph.nodes.filter((node) => {
    const name = node.outputs[0]
    if (node.opType !== 'Constant' || node.domain !== '' || !name || outputs.has(name)) return true
    const tensor = constantTensor(name, node.attributes)
    if (tensor) initializers.push(tensor)
    return !tensor
  })
  return { ...graph, nodes, initializers }
}

function constantTensor(name: string, attributes: ReadonlyMap<string, Attribute>): Tensor | undefined {
  const [key, attribute] = [...attributes][0] ?? []
  if (attributes.size !== 1 || !attribute || !key?.startsWith('value')) return undefined
  switch (attribute.type) {
    case 'tensor':
      return { ...attribute.value, name }
    case 'float':
      return rawTensor(name, 'float32', [], Float32Array.of(attribute.value))
    case 'floats':
      return rawTensor(name, 'float32', [attribute.value.length], attribute.value)
    case 'int':
      return rawTensor(name, 'int64', [], BigInt64Array.of(attribute.value))
    case 'ints':
      return rawTensor(name, 'int64', [attribute.value.length], attribute.value)
    default:
      return undefined
  }
}

function rawTensor(name: string, dtype: 'float32' | 'int64', dims: readonly number[], values: Float32Array | BigInt64Array): Tensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return { name, dtype, dims, data: { kind: 'raw', bytes } }
}

/**
 * ONNX Runtime's fused Skip(Simplified)LayerNormalization makes {norm, residual} at once, so that two tensors cross every
 * layer's border. As Add and norm, the residual alone crosses; the runtime fuses them again where no cut lies between.
 */
function splitSkipNorms(graph: Graph): Graph {
  const taken = new Set(graph.nodes.flatMap((node) => node.outputs))
  for (const { name } of [...graph.inputs, ...graph.initializers]) taken.add(name)
  const read = new Set(graph.outputs.map(({ name }) => name))
  for (const node of graph.nodes) for (const name of readsOf(node)) read.add(name)
  return { ...graph, nodes: graph.nodes.flatMap((node) => splitSkipNorm(node, taken, read) ?? [node]) }
}

function splitSkipNorm(node: Node, taken: Set<string>, read: ReadonlySet<string>): Node[] | undefined {
  const simplified = node.opType === 'SkipSimplifiedLayerNormalization'
  if (node.domain !== 'com.microsoft' || !(simplified || node.opType === 'SkipLayerNormalization')) return undefined
  const [x, skip, gamma, ...rest] = node.inputs
  const [beta, bias] = simplified ? ['', rest[0]] : rest
  const [out, mean, deviation, residual] = node.outputs
  if (!x || !skip || !gamma || !out || read.has(mean ?? '') || read.has(deviation ?? '')) return undefined
  const sum = residual || fresh(`${out}.sum`, taken)
  const plain = { domain: '', overload: '' }
  const add = (a: string, b: string, to: string): Node => ({
    ...plain,
    name: to,
    opType: 'Add',
    inputs: [a, b],
    outputs: [to],
    attributes: new Map(),
  })
  const unbiased = bias ? fresh(`${out}.unbiased_sum`, taken) : sum
  const attributes = new Map<string, Attribute>([
    ['axis', { type: 'int', value: -1n }],
    ['epsilon', node.attributes.get('epsilon') ?? { type: 'float', value: defaultEpsilon }],
    ['stash_type', { type: 'int', value: 1n }],
  ])
  const norm: Node = {
    ...plain,
    name: node.name,
    opType: simplified ? 'SimplifiedLayerNormalization' : 'LayerNormalization',
    inputs: beta ? [sum, gamma, beta] : [sum, gamma],
    outputs: [out],
    attributes,
  }
  return [add(x, skip, unbiased), ...(bias ? [add(unbiased, bias, sum)] : []), norm]
}

/** As the fused operators' own schemas say. */
const defaultEpsilon = 1e-12

function fresh(name: string, taken: Set<string>): string {
  let free = name
  for (let n = 2; taken.has(free); n++) free = `${name}.${n}`
  taken.add(free)
  return free
}
