/**
 * From a source model to what the manifest says of its graph: the cuts with the tensors that cross them, and of each block
 * the weights it reads, what it takes in memory and what it costs to run.
 */
import type { Cut } from '../protocol/manifest.ts'
import { dtypes, type DType } from '../protocol/tensors.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { Carver, type Layout } from './carve.ts'
import { findCuts } from './cuts.ts'
import type { LearnedShapes } from './golden-shapes.ts'
import { CostModel } from './graph-cost.ts'
import { elementCountOf, rawLength } from './onnx/element-types.ts'
import type { Graph } from './onnx/model.ts'
import type { SourceModel } from './source-model.ts'

export interface SourceBlock {
  /** Locations of the weights it reads. */
  readonly reads: ReadonlySet<string>
  readonly residentBytes: number
  readonly cost: number
}

export interface CutSource {
  readonly layout: Layout
  readonly blocks: readonly SourceBlock[]
}

/** @throws ManyhandsError bad-model or unsupported */
export function cutSource(source: SourceModel, learned: LearnedShapes | undefined): CutSource {
  const { graph } = source.model
  const shapes = learned?.seen ?? new Map()
  const cuts = findCuts(graph, source, { shapes }).map((point): Cut => ({ tensors: point.tensors.map((name) => crossing(source, learned, name)) }))
  const layout: Layout = { cuts, inputs: [...source.inputs], outputs: [...source.outputs] }
  const carver = new Carver(source.model, layout)
  const { index, blocks } = carver.plan
  const costs = Array.from({ length: blocks.count }, () => 0)
  const model = new CostModel(index, shapes)
  for (const [i, node] of index.graph.nodes.entries()) {
    const block = blocks.of[i] as number
    if (block >= 0) costs[block] = (costs[block] as number) + Math.max(0, model.of(node))
  }
  return {
    layout,
    blocks: costs.map((cost, first) => {
      const stage = carver.stage({ first, end: first + 1 }).model.graph
      return { reads: locations(stage), residentBytes: residentBytes(stage), cost: Math.round(cost) }
    }),
  }
}

function crossing({ model, inputs }: SourceModel, learned: LearnedShapes | undefined, name: string): Cut['tensors'][number] {
  const input = inputs.find((i) => i.name === name)
  if (input) return { name, dtype: input.dtype, shape: [...input.shape] }
  const known = model.graph.valueInfo.find((info) => info.name === name)?.type
  const dims = known?.kind === 'tensor' ? known.dims : undefined
  const shape = dims?.map((dim, axis) => (dim === '' ? `${name}_${axis}` : dim)) ?? learned?.shape(name)
  const dtype = known?.kind === 'tensor' ? known.dtype : learned?.seen.get(name)?.dtype
  if (!shape || !(dtypes as readonly (string | undefined)[]).includes(dtype)) {
    throw new ManyhandsError('unsupported', `This model can't be cut: nothing says of what type and shape ${name} is.`)
  }
  return { name, dtype: dtype as DType, shape: [...shape] }
}

function locations(graph: Graph): Set<string> {
  return new Set(graph.initializers.flatMap(({ data }) => (data.kind === 'external' ? [data.location] : [])))
}

const floatBytes = 4

/** Weights as wasm holds them at most: all as f32, scales of quantised matrices included. */
function residentBytes(graph: Graph): number {
  let bytes = 0
  const lowered = new Set<string>()
  const sizes = new Map(graph.initializers.map((t) => [t.name, elementCountOf(t.dims)]))
  for (const node of graph.nodes) {
    const int = (name: string) => {
      const attribute = node.attributes.get(name)
      return attribute?.type === 'int' ? Number(attribute.value) : 0
    }
    const quantised = node.inputs[node.opType === 'MatMulNBits' ? 1 : 0] ?? ''
    if (node.opType === 'MatMulNBits') bytes += int('N') * int('K') * floatBytes
    else if (node.opType === 'GatherBlockQuantized') bytes += (sizes.get(quantised) ?? 0) * (8 / (int('bits') || 4)) * floatBytes
    else continue
    lowered.add(quantised)
  }
  for (const { name, dtype, dims } of graph.initializers) {
    if (!lowered.has(name)) bytes += dtype === 'float16' ? elementCountOf(dims) * floatBytes : rawLength(dtype, elementCountOf(dims))
  }
  return bytes
}
