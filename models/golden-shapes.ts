/**
 * Types and shapes of the tensors in a graph that does not say them, learned by running it: once with every tensor as an
 * output, once with the inputs' symbolic sizes doubled and the cuts' tensors alone, to see which dimensions follow the inputs.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import { openSession } from './golden-engine.ts'
import { goldenFeeds, goldenSizes } from './golden-feeds.ts'
import type { Shapes } from './graph-cost.ts'
import type { Model, ValueInfo } from './onnx/model.ts'
import { writeModel } from './onnx/write.ts'
import type { SourceModel } from './source-model.ts'

/** Sizes of symbolic dimensions of the inputs, by name. */
export type Sizes = Readonly<Record<string, number>>

/** Every tensor of the golden run. @throws ManyhandsError engine-failed when the engine can't run the model at all */
export function learnShapes(source: SourceModel, given: Sizes): Promise<Shapes> {
  const made = source.model.graph.nodes.flatMap((node) => node.outputs).filter((name) => name !== '')
  return dimsInRun(source, made, given, 1)
}

/** These tensors' shapes, a dimension that changes with the inputs' sizes as text. */
export async function learnSymbolic(
  source: SourceModel,
  names: readonly string[],
  seen: Shapes,
  given: Sizes,
): Promise<Map<string, (number | string)[]>> {
  const isSymbolic = source.inputs.some((input) => input.shape.some((dim) => typeof dim === 'string'))
  // A model that can't take other sizes has no dimension that varies.
  const doubled: Shapes = isSymbolic ? await dimsInRun(source, names, given, 2).catch(ifEngineFailed) : new Map()
  return new Map(
    names.map((name) => {
      const others = doubled.get(name)?.dims
      const dims = seen.get(name)?.dims ?? []
      return [name, dims.map((dim, axis) => (others && others[axis] !== dim ? `${name}_${axis}` : dim))]
    }),
  )
}

function ifEngineFailed(thrown: unknown): Shapes {
  if (thrown instanceof ManyhandsError && thrown.code === 'engine-failed') return new Map()
  throw thrown
}

async function dimsInRun(source: SourceModel, names: readonly string[], given: Sizes, scale: number): Promise<Shapes> {
  const weights = new Map<string, Uint8Array>()
  for (const [location, part] of source.parts) weights.set(location, await part.load())
  const session = await openSession(writeModel(withOutputs(source.model, names)), weights)
  try {
    const made = await session.run(goldenFeeds(source.inputs, goldenSizes(source.inputs, given, scale)))
    return new Map([...made].map(([name, { dtype, dims }]) => [name, { dtype, dims }]))
  } finally {
    await session.close()
  }
}

function withOutputs(model: Model, names: readonly string[]): Model {
  const { graph } = model
  const known = new Set(graph.outputs.map((output) => output.name))
  const outputs = [...graph.outputs, ...names.filter((name) => !known.has(name)).map(untyped)]
  return { ...model, graph: { ...graph, outputs } }
}

/** An output whose type the engine works out for itself. */
export const untyped = (name: string): ValueInfo => ({ name, type: { kind: 'other', bytes: new Uint8Array() } })
