/**
 * What is alive at each point of a graph: which tensors would have to cross a cut there, how many bytes they are, and how
 * much compute and weights lie before it. Point p lies right before node p.
 */
import { dtypes, maxRank } from '../protocol/tensors.ts'
import { CostModel, type SeenTensor, type Shapes } from './graph-cost.ts'
import type { GraphIndex } from './graph-index.ts'
import { isFed, type Ports } from './graph-ports.ts'
import { elementCountOf, rawLength } from './onnx/element-types.ts'

export interface Point {
  /** The cut lies before this node. */
  readonly at: number
  /** Tensors that cross. */
  readonly tensors: number
  /** Of these, tensors that some node made. */
  readonly computed: number
  readonly bytes: number
  /** Multiply-accumulates before it. */
  readonly costBefore: number
  /** Stored bytes of the weights that nodes before it read. */
  readonly weightsBefore: number
}

export interface Liveness {
  /** The points that a cut may lie at: between all nodes, less where a cache or something that can't travel is alive. */
  readonly points: readonly Point[]
  readonly totalCost: number
  readonly totalWeights: number
  /** The tensors alive at a point, in the order in which they are made, fed inputs first. */
  tensorsAt(at: number): string[]
}

/** A tensor that is alive at the points `from` up to and including `to`. */
interface Span {
  readonly name: string
  readonly from: number
  readonly to: number
}

/** A tensor's name in the manifest, at most. */
const longestName = 512

/** @param everywhere by node: 1 where every stage makes the outputs for itself */
export function liveness(index: GraphIndex, ports: Ports, everywhere: Uint8Array, shapes: Shapes): Liveness {
  const { nodes } = index.graph
  const spans = spansOf(index, ports, everywhere)
  const known = knownTensors(index, shapes)
  const tensors = new Totals(nodes.length)
  const computed = new Totals(nodes.length)
  const bytes = new Totals(nodes.length)
  const forbidden = new Totals(nodes.length)
  const presents = new Set(ports.outputs.filter((p) => p.role === 'present').map((p) => p.name))
  for (const span of spans.crossing) {
    const seen = known.get(span.name)
    tensors.add(span, 1)
    if (seen) bytes.add(span, rawLength(seen.dtype, elementCountOf(seen.dims)))
    if (!index.inputs.has(span.name)) computed.add(span, 1)
    if (presents.has(span.name) || !canTravel(span.name, seen)) forbidden.add(span, 1)
  }
  for (const span of spans.caches) forbidden.add(span, 1)

  const cost = new CostModel(index, shapes)
  const counted = new Set<string>()
  const points: Point[] = []
  let costBefore = 0
  let weightsBefore = 0
  for (const [i, node] of nodes.entries()) {
    const point = { at: i, tensors: tensors.at(i), computed: computed.at(i), bytes: bytes.at(i), costBefore, weightsBefore }
    if (i > 0 && forbidden.at(i) === 0) points.push(point)
    if (!everywhere[i]) costBefore += cost.of(node)
    for (const name of index.reads[i] ?? []) {
      const tensor = index.initializers.get(name)
      if (tensor && !counted.has(name)) weightsBefore += rawLength(tensor.dtype, elementCountOf(tensor.dims))
      counted.add(name)
    }
  }
  const tensorsAt = (at: number) => spans.crossing.filter(({ from, to }) => from <= at && at <= to).map(({ name }) => name)
  return { points, totalCost: costBefore, totalWeights: weightsBefore, tensorsAt }
}

interface Spans {
  /** Fed inputs and computed tensors, by the order in which they are made. */
  readonly crossing: readonly Span[]
  /** From the first reader of a past to its last, and to the maker of its present: a cache lives in one block. */
  readonly caches: readonly Span[]
}

function spansOf(index: GraphIndex, ports: Ports, everywhere: Uint8Array): Spans {
  const { nodes } = index.graph
  const firstRead = new Map<string, number>()
  const lastRead = new Map<string, number>()
  for (const [i, names] of index.reads.entries()) {
    if (everywhere[i]) continue
    for (const name of names) {
      if (!firstRead.has(name)) firstRead.set(name, i)
      lastRead.set(name, i)
    }
  }
  const declared = new Map(ports.outputs.map((p) => [p.name, p.role]))
  // The last stage hands all results out, so they stay alive to the end.
  for (const { name } of index.graph.outputs) if (declared.get(name) !== 'present') lastRead.set(name, nodes.length)

  const crossing: Span[] = []
  const roles = new Map(ports.inputs.map((p) => [p.name, p.role]))
  for (const name of index.inputs.keys())
    if (isFed(roles.get(name) ?? 'feed')) crossing.push({ name, from: 0, to: lastRead.get(name) ?? -1 })
  for (const [i, node] of nodes.entries()) {
    if (everywhere[i]) continue
    for (const name of node.outputs)
      if (name !== '' && lastRead.has(name)) crossing.push({ name, from: i + 1, to: lastRead.get(name) ?? -1 })
  }

  const presents = ports.outputs.filter((p) => p.role === 'present')
  const pasts = ports.inputs.filter((p) => p.role === 'past')
  const caches = pasts.map(({ name }, k) => {
    const ends = [firstRead.get(name), lastRead.get(name)]
    // The n-th past goes with the n-th present.
    if (pasts.length === presents.length) ends.push(index.producer.get(presents[k]?.name ?? ''))
    const at = ends.filter((end) => end !== undefined)
    return { name, from: Math.min(...at) + 1, to: Math.max(...at) }
  })
  return { crossing, caches }
}

/** A sum for each point, filled by spans, read from the first point to the last. */
class Totals {
  readonly #changes: Float64Array
  #sum = 0

  constructor(points: number) {
    this.#changes = new Float64Array(points + 2)
  }

  add({ from, to }: Span, amount: number): void {
    if (to < from) return
    this.#changes[from] = (this.#changes[from] ?? 0) + amount
    this.#changes[to + 1] = (this.#changes[to + 1] ?? 0) - amount
  }

  /** To be asked for 0, 1, 2, … in turn. */
  at(point: number): number {
    this.#sum += this.#changes[point] ?? 0
    return this.#sum
  }
}

/** What the run saw, else what the graph says, with 1 for every size it leaves open. */
function knownTensors(index: GraphIndex, shapes: Shapes): Shapes {
  const known = new Map<string, SeenTensor>()
  for (const { name, type } of [...index.graph.valueInfo, ...index.graph.outputs, ...index.inputs.values()]) {
    if (type.kind !== 'tensor' || !type.dims) continue
    known.set(name, { dtype: type.dtype, dims: type.dims.map((d) => (typeof d === 'number' ? d : 1)) })
  }
  for (const [name, seen] of shapes) known.set(name, seen)
  return known
}

/** Strings, sequences and the like have no place in a frame, and a tensor that nobody described has none in a manifest. */
function canTravel(name: string, seen: SeenTensor | undefined): boolean {
  return (
    name.length <= longestName && seen !== undefined && (dtypes as readonly string[]).includes(seen.dtype) && seen.dims.length <= maxRank
  )
}
