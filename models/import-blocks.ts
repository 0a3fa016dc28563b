/**
 * From a source model to what the manifest says of its graph: the cuts with the tensors that cross them, and of each block
 * the weights it reads, what it takes in memory and what it costs to run.
 */
import type { Cut } from '../protocol/manifest.ts'
import { dtypes, type DType } from '../protocol/tensors.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { Carver, type Layout } from './carve.ts'
import { findCuts } from './cuts.ts'
import { learnShapes, learnSymbolic, type Sizes } from './golden-shapes.ts'
import { CostModel, type Shapes } from './graph-cost.ts'
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

/**
 * @param sizes of symbolic dimensions of the inputs in the analysis run
 * @throws ManyhandsError bad-model, unsupported or engine-failed
 */
export async function cutSource(source: SourceModel, sizes: Sizes): Promise<CutSource> {
  const { graph } = source.model
  // A decoder's importer describes its residuals; its other tensors are no cuts.
  const shapes: Shapes = source.decoder ? new Map() : await learnShapes(source, sizes)
  const points = findCuts(graph, source, { shapes })
  const specs = await crossingSpecs(source, new Set(points.flatMap((point) => point.tensors)), shapes, sizes)
  const cuts = points.map((point): Cut => ({ tensors: point.tensors.map((name) => specs.get(name) as CrossingTensor) }))
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

type CrossingTensor = Cut['tensors'][number]

/** Type and shape of what crosses: an input's, else as the graph says, else as learned. */
async function crossingSpecs(
  source: SourceModel,
  names: ReadonlySet<string>,
  shapes: Shapes,
  sizes: Sizes,
): Promise<Map<string, CrossingTensor>> {
  const specs = new Map<string, CrossingTensor>()
  for (const { name, dtype, shape } of source.inputs) specs.set(name, { name, dtype, shape })
  for (const { name, type } of source.model.graph.valueInfo) {
    if (type.kind !== 'tensor' || !type.dims) continue
    specs.set(name, { name, dtype: asDType(name, type.dtype), shape: type.dims.map((dim, axis) => (dim === '' ? `${name}_${axis}` : dim)) })
  }
  const unknown = [...names].filter((name) => !specs.has(name))
  const learned = unknown.length === 0 ? new Map() : await learnSymbolic(source, unknown, shapes, sizes)
  for (const name of unknown) specs.set(name, { name, dtype: asDType(name, shapes.get(name)?.dtype), shape: learned.get(name) ?? [] })
  return specs
}

function asDType(name: string, dtype: string | undefined): DType {
  if ((dtypes as readonly (string | undefined)[]).includes(dtype)) return dtype as DType
  throw new ManyhandsError('unsupported', `This model can't be cut: ${name} is of type ${dtype ?? 'unknown'}, which does not travel.`)
}

function locations(graph: Graph): Set<string> {
  return new Set(graph.initializers.flatMap(({ data }) => (data.kind === 'external' ? [data.location] : [])))
}

const floatBytes = 4

/** Weights as wasm holds them at most: matrices as f32, scales included; an 8-bit embedding, only looked up, as it is. */
function residentBytes(graph: Graph): number {
  let bytes = 0
  const matrices = new Set<string>()
  for (const node of graph.nodes) {
    if (node.opType !== 'MatMulNBits') continue
    const [rows, columns] = ['N', 'K'].map((name) => node.attributes.get(name))
    if (rows?.type === 'int' && columns?.type === 'int') bytes += Number(rows.value * columns.value) * floatBytes
    matrices.add(node.inputs[1] ?? '')
  }
  for (const { name, dtype, dims } of graph.initializers) {
    if (!matrices.has(name)) bytes += dtype === 'float16' ? elementCountOf(dims) * floatBytes : rawLength(dtype, elementCountOf(dims))
  }
  return bytes
}
