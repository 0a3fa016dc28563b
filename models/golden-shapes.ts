/**
 * Types and shapes of every tensor in a graph that does not say them, learned by running it with all of them as outputs:
 * once as the golden run will be, once with every symbolic size doubled, to see which dimensions follow the inputs.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import type { TensorValue } from '../protocol/tensors.ts'
import { openSession } from './golden-engine.ts'
import { goldenFeeds, goldenSizes } from './golden-feeds.ts'
import type { SeenTensor } from './graph-cost.ts'
import type { Graph, Model, ValueInfo } from './onnx/model.ts'
import { writeModel } from './onnx/write.ts'
import type { SourceModel } from './source-model.ts'

export interface LearnedShapes {
  /** As seen in the golden run. */
  readonly seen: ReadonlyMap<string, SeenTensor>
  /** A dimension that changed with the inputs' sizes is text. */
  readonly shape: (name: string) => readonly (number | string)[] | undefined
}

/** @throws ManyhandsError engine-failed when the engine can't run the model at all */
export async function learnShapes(source: SourceModel, given: Readonly<Record<string, number>>): Promise<LearnedShapes> {
  const { model } = source
  const weights = new Map<string, Uint8Array>()
  for (const [location, part] of source.parts) weights.set(location, await part.load())
  const session = await openSession(writeModel(withAllOutputs(model)), weights)
  try {
    const run = (scale: number) => session.run(goldenFeeds(source.inputs, goldenSizes(source.inputs, given, scale)))
    const seen = dimsOf(await run(1))
    const isSymbolic = source.inputs.some((input) => input.shape.some((dim) => typeof dim === 'string'))
    // A model that can't take the other sizes has none that vary.
    const doubled = isSymbolic ? dimsOf(await run(2).catch(onlyEngineErrors)) : undefined
    const shape = (name: string) => {
      const dims = seen.get(name)?.dims
      const others = doubled?.get(name)?.dims
      return dims?.map((dim, axis) => (others && others[axis] !== dim ? `${name}_${axis}` : dim))
    }
    return { seen, shape }
  } finally {
    await session.close()
  }
}

function onlyEngineErrors(thrown: unknown): Map<string, TensorValue> {
  if (thrown instanceof ManyhandsError && thrown.code === 'engine-failed') return new Map()
  throw thrown
}

const dimsOf = (values: ReadonlyMap<string, TensorValue>) => new Map([...values].map(([name, { dtype, dims }]) => [name, { dtype, dims }] as const))

function withAllOutputs(model: Model): Model {
  const { graph } = model
  const made = graph.nodes.flatMap((node) => node.outputs).filter((name) => name !== '')
  const known = new Set(graph.outputs.map((output) => output.name))
  const outputs: ValueInfo[] = [...graph.outputs, ...made.filter((name) => !known.has(name)).map(untyped)]
  const all: Graph = { ...graph, outputs }
  return { ...model, graph: all }
}

/** An output whose type the engine works out for itself. */
export const untyped = (name: string): ValueInfo => ({ name, type: { kind: 'other', bytes: new Uint8Array() } })
