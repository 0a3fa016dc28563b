/**
 * A graph made ready for analysis: nodes in topological order, who makes and who reads each tensor, names that sub-graphs
 * capture included. Graphs that don't hold together (cycles, names made twice or never) end here.
 */
import { badModel } from './onnx/bad-model.ts'
import type { Attribute, Graph, Node, Tensor, ValueInfo } from './onnx/model.ts'

export interface GraphIndex {
  /** Its nodes are in topological order; the file's own where that is one. */
  readonly graph: Graph
  /** What the caller feeds: an initializer of the same name is a default that we never override, so that name is not here. */
  readonly inputs: ReadonlyMap<string, ValueInfo>
  readonly initializers: ReadonlyMap<string, Tensor>
  /** Index of the node that makes a tensor. */
  readonly producer: ReadonlyMap<string, number>
  /** By node: the names it reads, each once, those captured by its sub-graphs included. */
  readonly reads: readonly (readonly string[])[]
}

/** @throws ManyhandsError bad-model */
export function indexGraph(graph: Graph): GraphIndex {
  const initializers = new Map<string, Tensor>()
  for (const tensor of graph.initializers) {
    if (initializers.has(tensor.name)) throw badModel(`two initializers are called ${tensor.name}`)
    initializers.set(tensor.name, tensor)
  }
  const inputs = new Map<string, ValueInfo>()
  for (const input of graph.inputs) {
    if (inputs.has(input.name)) throw badModel(`two inputs are called ${input.name}`)
    inputs.set(input.name, input)
  }
  for (const name of initializers.keys()) inputs.delete(name)

  const reads = graph.nodes.map(readsOf)
  const order = topologicalOrder(graph.nodes, reads, (name) => inputs.has(name) || initializers.has(name))
  const nodes = order ? order.map((i) => graph.nodes[i] as Node) : graph.nodes
  const producer = new Map<string, number>()
  for (const [i, node] of nodes.entries()) for (const output of node.outputs) if (output !== '') producer.set(output, i)
  const missing = graph.outputs.find(({ name }) => !producer.has(name) && !inputs.has(name) && !initializers.has(name))
  if (missing) throw badModel(`nothing makes its output ${missing.name}`)
  return {
    graph: order ? { ...graph, nodes } : graph,
    inputs,
    initializers,
    producer,
    reads: order ? order.map((i) => reads[i] as string[]) : reads,
  }
}

/** The names a node reads, each once: its inputs, and what its sub-graphs take from outside. */
export function readsOf(node: Node): readonly string[] {
  const names = new Set(node.inputs)
  for (const attribute of node.attributes.values())
    for (const graph of subgraphs(attribute)) for (const name of captured(graph)) names.add(name)
  names.delete('')
  return [...names]
}

export function subgraphs(attribute: Attribute): readonly Graph[] {
  if (attribute.type === 'graph') return [attribute.value]
  return attribute.type === 'graphs' ? attribute.value : []
}

function captured(graph: Graph): Set<string> {
  const names = new Set<string>()
  for (const node of graph.nodes) for (const name of readsOf(node)) names.add(name)
  for (const { name } of graph.outputs) names.add(name)
  for (const { name } of graph.inputs) names.delete(name)
  for (const { name } of graph.initializers) names.delete(name)
  for (const { outputs } of graph.nodes) for (const name of outputs) names.delete(name)
  return names
}

/** Undefined where the nodes already stand in order. */
function topologicalOrder(
  nodes: readonly Node[],
  reads: readonly (readonly string[])[],
  given: (name: string) => boolean,
): number[] | undefined {
  const maker = new Map<string, number>()
  for (const [i, node] of nodes.entries()) {
    for (const output of node.outputs) {
      if (output === '') continue
      if (maker.has(output) || given(output)) throw badModel(`the tensor ${output} is made twice`)
      maker.set(output, i)
    }
  }
  for (const [i, names] of reads.entries())
    for (const name of names)
      if (!maker.has(name) && !given(name))
        throw badModel(`nothing makes the tensor ${name}, which ${nodes[i]?.name || nodes[i]?.opType} reads`)
  // Nearly always: exporters write them so.
  if (reads.every((names, i) => names.every((name) => (maker.get(name) ?? -1) < i))) return undefined

  const waitsFor = new Uint32Array(nodes.length)
  const readers = new Map<number, number[]>()
  for (const [i, names] of reads.entries()) {
    const makers = new Set<number>()
    for (const name of names) {
      const from = maker.get(name)
      if (from !== undefined) makers.add(from)
    }
    for (const from of makers) {
      const known = readers.get(from)
      if (known) known.push(i)
      else readers.set(from, [i])
    }
    waitsFor[i] = makers.size
  }
  const order: number[] = []
  for (const [i, count] of waitsFor.entries()) if (count === 0) order.push(i)
  for (let at = 0; at < order.length; at++) {
    for (const reader of readers.get(order[at] as number) ?? []) {
      const left = (waitsFor[reader] as number) - 1
      waitsFor[reader] = left
      if (left === 0) order.push(reader)
    }
  }
  if (order.length < nodes.length) throw badModel('its nodes wait for one another in a circle')
  return order
}
