/** Cheats that run another model: rounded weights, a rounded cache, a short memory. The weights' files and the graph are changed. */
import type { Model, Node, Tensor } from '../../models/onnx/model.ts'
import { readModel } from '../../models/onnx/read.ts'
import { writeModel } from '../../models/onnx/write.ts'
import type { OrtSource } from '../../worker/engine/ort-source.ts'
import type { Runtime, RuntimeSession, WeightFile } from '../../worker/engine/runtime.ts'
import type { Cheat } from './cheat.ts'
import { toHalf, toInt8 } from './rounding.ts'

interface Edit {
  readonly graph?: (model: Model) => Model
  /** Changes a matrix's numbers in place. @param order of the matrix among all */
  readonly weights?: (values: Float32Array, matrix: Tensor, layer: number) => void
}

const editing = (edit: Edit): Cheat => ({
  ort: (ort, serving): OrtSource => ({
    mostThreads: ort.mostThreads,
    wasm: async (threads) => edited(await ort.wasm(threads), edit, serving),
    webgpu: async () => edited(await ort.webgpu(), edit, serving),
  }),
})

function edited(runtime: Runtime, edit: Edit, serving: () => boolean): Runtime {
  return {
    backend: runtime.backend,
    threads: runtime.threads,
    adapter: runtime.adapter,
    lost: runtime.lost,
    allocate: (shapes) => runtime.allocate(shapes),
    heapBytes: () => runtime.heapBytes(),
    async createSession(graph, weights, resident): Promise<RuntimeSession> {
      const model = readModel(graph)
      const other = edit.graph ? writeModel(edit.graph(model)) : graph
      const files = edit.weights ? changed(model, weights, edit.weights) : weights
      const honest = await runtime.createSession(graph, weights, resident)
      const cheating = await runtime.createSession(other, files, resident)
      return {
        inputNames: honest.inputNames,
        outputNames: honest.outputNames,
        run: (...args) => (serving() ? cheating : honest).run(...args),
        release: async () => {
          await honest.release()
          await cheating.release()
        },
      }
    },
  }
}

/** Smaller ones are norms and scales. */
const leastMatrix = 64 * 64

function changed(model: Model, files: readonly WeightFile[], change: NonNullable<Edit['weights']>): WeightFile[] {
  const layers: string[] = []
  return files.map((file) => ({
    ...file,
    read() {
      const bytes = file.read().slice()
      for (const tensor of model.graph.initializers) {
        if (tensor.dtype !== 'float32' || tensor.data.kind !== 'external' || tensor.data.location !== file.location) continue
        if (tensor.dims.length !== 2 || tensor.data.length < 4 * leastMatrix) continue
        const layer = /\d+/.exec(tensor.name)?.[0] ?? ''
        if (!layers.includes(layer)) layers.push(layer)
        const values = new Float32Array(bytes.slice(tensor.data.offset, tensor.data.offset + tensor.data.length).buffer)
        change(values, tensor, layers.indexOf(layer))
        bytes.set(new Uint8Array(values.buffer), tensor.data.offset)
      }
      return bytes
    },
  }))
}

const onAttention = (change: (node: Node) => readonly Node[]) => (model: Model) => ({
  ...model,
  graph: { ...model.graph, nodes: model.graph.nodes.flatMap((node) => (node.opType === 'GroupQueryAttention' ? change(node) : [node])) },
})

export const halfWeights = editing({ weights: (values) => toHalf(values) })
export const halfWeightsInOneLayer = editing({ weights: (values, _, layer) => layer === 0 && toHalf(values) })
export const int8Weights = editing({ weights: (values, { dims }) => toInt8(values, dims[1] ?? 1) })

/** Keys and values go into the cache as f16 would hold them. */
export const halfCache = editing({
  graph: onAttention((node) => {
    const rounded = [1, 2].map((i) => `${node.inputs[i]}.half`)
    const cast = (from: string, name: string, to: bigint): Node => ({
      name,
      opType: 'Cast',
      domain: '',
      overload: '',
      inputs: [from],
      outputs: [name],
      attributes: new Map([['to', { type: 'int', value: to }]]),
    })
    const casts = rounded.flatMap((name, i) => [cast(node.inputs[i + 1] ?? '', `${name}16`, 10n), cast(`${name}16`, name, 1n)])
    return [...casts, { ...node, inputs: node.inputs.map((input, i) => (i === 1 || i === 2 ? (rounded[i - 1] as string) : input)) }]
  }),
})

/** Sees the last 32 positions alone. */
export const shortMemory = editing({
  graph: onAttention((node) => [
    { ...node, attributes: new Map([...node.attributes, ['local_window_size', { type: 'int', value: 32n }]]) },
  ]),
})
