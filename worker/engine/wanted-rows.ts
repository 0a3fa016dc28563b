/**
 * The last stage of a decoder computes logits for the rows that choose a token, not for a whole prompt: past the last
 * attention every row is on its own, so the graph gets a Slice there, from a row that each run names.
 */
import { badModel } from '../../models/onnx/bad-model.ts'
import { indexGraph, type GraphIndex } from '../../models/graph-index.ts'
import type { Model, Node, Tensor } from '../../models/onnx/model.ts'

/** Input int64 [1]: the first row whose logits are wanted; the number of rows for none. */
export const wantedFrom = 'manyhands.wanted_from'

/**
 * @param logits the output to slice; its rows lie along axis 1
 * @param crossing the stage's inputs that are tensors of the cut before: rows like any other tensor's
 * @throws ManyhandsError bad-model when the rows never come to stand on their own
 */
export function sliceWanted(model: Model, logits: string, crossing: readonly string[]): Model {
  const index = indexGraph(model.graph)
  const { nodes } = index.graph
  const constant = constants(index)
  const ofLogits = ancestors(index, [logits])
  const ofOthers = ancestors(
    index,
    model.graph.outputs.map((o) => o.name).filter((name) => name !== logits),
  )
  const mixing = new Set(index.inputs.keys())
  for (const name of crossing) mixing.delete(name)
  const bound = nodes.findLastIndex(
    (_, i) => ofLogits.has(i) && (ofOthers.has(i) || (index.reads[i] ?? []).some((name) => mixing.has(name))),
  )
  /** What goes on to the logits at the point reached, from the last one backwards. */
  const live = new Set<string>()
  let first: { readonly at: number; readonly row: string } | undefined
  for (let at = nodes.length - 1; at > bound; at--) {
    if (!ofLogits.has(at)) continue
    for (const name of nodes[at]?.outputs ?? []) live.delete(name)
    for (const name of index.reads[at] ?? []) if (!constant.has(name)) live.add(name)
    const [row] = live
    if (live.size === 1 && row !== undefined) first = { at, row }
  }
  if (!first) throw badModel('its logits depend on other rows up to the end')
  const { at, row } = first
  return sliced(model, index, row, new Set([...ofLogits].filter((i) => i >= at)))
}

function sliced(model: Model, index: GraphIndex, row: string, after: ReadonlySet<number>): Model {
  const wanted = `${row}.wanted`
  const slice: Node = {
    name: wanted,
    opType: 'Slice',
    domain: '',
    overload: '',
    inputs: [row, wantedFrom, 'manyhands.last_row', 'manyhands.row_axis'],
    outputs: [wanted],
    attributes: new Map(),
  }
  const rest = index.graph.nodes.flatMap((node, i) => {
    if (after.has(i)) return [{ ...node, inputs: node.inputs.map((name) => (name === row ? wanted : name)) }]
    return node.outputs.includes(row) ? [node, slice] : [node]
  })
  const nodes = index.producer.has(row) ? rest : [slice, ...rest]
  const constants = [int64('manyhands.last_row', 2n ** 63n - 1n), int64('manyhands.row_axis', 1n)]
  const graph = {
    ...index.graph,
    nodes,
    initializers: [...index.graph.initializers, ...constants],
    inputs: [...index.graph.inputs, { name: wantedFrom, type: { kind: 'tensor' as const, dtype: 'int64' as const, dims: [1] } }],
  }
  return { ...model, graph }
}

/** Nodes that the outputs depend on. */
function ancestors(index: GraphIndex, outputs: readonly string[]): Set<number> {
  const found = new Set<number>()
  const wanted = [...outputs]
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    const maker = index.producer.get(name)
    if (maker === undefined || found.has(maker)) continue
    found.add(maker)
    wanted.push(...(index.reads[maker] ?? []))
  }
  return found
}

/** Tensors that depend on no input: weights, and what is computed of weights alone. */
function constants(index: GraphIndex): Set<string> {
  const known = new Set(index.initializers.keys())
  for (const [i, node] of index.graph.nodes.entries()) {
    if ((index.reads[i] ?? []).every((name) => known.has(name))) for (const name of node.outputs) known.add(name)
  }
  return known
}

function int64(name: string, value: bigint): Tensor {
  return { name, dtype: 'int64', dims: [1], data: { kind: 'raw', bytes: new Uint8Array(BigInt64Array.of(value).buffer) } }
}
