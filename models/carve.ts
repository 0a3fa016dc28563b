/**
 * Carves a stage (blocks `first` up to `end`) out of a published graph, as a model of its own: the nodes it needs, the
 * prelude made again, its initializers still pointing into the shards. The same bytes everywhere.
 */
import type { BlockRange, Manifest } from '../protocol/manifest.ts'
import type { TensorSpec } from '../protocol/tensors.ts'
import { indexGraph } from './graph-index.ts'
import { planOf, stageNodes, type Plan } from './graph-stage.ts'
import { badModel } from './onnx/bad-model.ts'
import type { Graph, Model, ValueInfo } from './onnx/model.ts'

/** What the manifest says of the graph. */
export type Layout = Pick<Manifest, 'cuts' | 'inputs' | 'outputs'>

export interface CarvedStage {
  readonly model: Model
  /** The model's inputs: the tensors of the cut before, in wire order, then what else it needs of the graph's inputs. */
  readonly inputs: readonly string[]
  /** The tensors of the next cut in wire order, or the model's results; then the presents made here. */
  readonly outputs: readonly string[]
}

/** @throws ManyhandsError bad-model when the graph does not hold together, or the layout does not fit it */
export function carve(model: Model, layout: Layout, range: BlockRange): CarvedStage {
  return new Carver(model, layout).stage(range)
}

/** Carves several stages out of one graph. */
export class Carver {
  readonly plan: Plan
  readonly #model: Model
  readonly #layout: Layout

  /** @throws ManyhandsError bad-model */
  constructor(model: Model, layout: Layout) {
    this.#model = model
    this.#layout = layout
    const cuts = layout.cuts.map((cut) => cut.tensors.map((t) => t.name))
    this.plan = planOf(indexGraph(model.graph), layout, cuts)
  }

  /** @throws ManyhandsError bad-model when the range is none of this model, or a cut does not hold */
  stage(range: BlockRange): CarvedStage {
    const { index, blocks } = this.plan
    const { first, end } = range
    if (!(Number.isInteger(first) && Number.isInteger(end) && first >= 0 && first < end && end <= blocks.count)) {
      throw badModel(`it has blocks 0 to ${blocks.count - 1}, not ${first} to ${end - 1}`)
    }
    const before = this.#layout.cuts[first - 1]?.tensors ?? []
    const after = this.#layout.cuts[end - 1]?.tensors
    const presents = [...blocks.presents].filter(([, block]) => block >= first && block < end).map(([name]) => name)
    const outputs = [...(after?.map((t) => t.name) ?? blocks.results), ...presents]
    const { nodes, names } = stageNodes(this.plan, range, outputs)

    const crossing = new Set(before.map((t) => t.name))
    const inputs = [...crossing, ...[...index.inputs.keys()].filter((name) => names.has(name) && !crossing.has(name))]
    const known = new Map([...index.graph.valueInfo, ...index.inputs.values(), ...index.graph.outputs].map((info) => [info.name, info]))
    for (const spec of [...before, ...(after ?? [])]) known.set(spec.name, valueInfoOf(spec))
    const describe = (name: string): ValueInfo => known.get(name) ?? { name, type: { kind: 'other', bytes: new Uint8Array() } }
    const graph: Graph = {
      name: `${index.graph.name}[${first},${end})`,
      nodes,
      initializers: index.graph.initializers.filter(({ name }) => names.has(name) && !crossing.has(name)),
      inputs: inputs.map(describe),
      outputs: outputs.map(describe),
      valueInfo: [],
    }
    return { model: { ...this.#model, graph }, inputs, outputs }
  }
}

const valueInfoOf = (spec: TensorSpec): ValueInfo => ({ name: spec.name, type: { kind: 'tensor', dtype: spec.dtype, dims: spec.shape } })
