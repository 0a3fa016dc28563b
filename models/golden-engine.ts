/**
 * onnxruntime-web's wasm in Node, one thread: the one engine whose bits are the same for every importer. Makes sessions from
 * graphs and weights, and turns our tensors into the engine's and back.
 */
import * as ort from 'onnxruntime-web/wasm'
import { asError, ManyhandsError } from '../protocol/errors.ts'
import { dtypeSize, elementCount, type DType, type TensorValue } from '../protocol/tensors.ts'

/** ORT's own warnings would be the importer's output; errors are thrown. */
const errorsOnly = 3

export interface GoldenSession {
  /** @throws ManyhandsError engine-failed, or unsupported when an output is of a type that does not travel */
  run(feeds: ReadonlyMap<string, TensorValue>): Promise<Map<string, TensorValue>>
  close(): Promise<void>
}

/**
 * @param graph an ONNX file
 * @param weights external data by location
 * @throws ManyhandsError engine-failed
 */
export async function openSession(graph: Uint8Array, weights: ReadonlyMap<string, Uint8Array>): Promise<GoldenSession> {
  ort.env.wasm.numThreads = 1
  const externalData = [...weights].map(([path, data]) => ({ path, data }))
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: ['wasm'],
    logSeverityLevel: errorsOnly,
    externalData,
  }).catch(failed)
  return {
    async run(feeds) {
      const inputs = Object.fromEntries([...feeds].map(([name, value]) => [name, toOrt(value)]))
      const outputs = await session.run(inputs).catch(failed)
      return new Map(session.outputNames.map((name) => [name, fromOrt(name, outputs[name] as ort.Tensor)]))
    },
    close: () => session.release(),
  }
}

function failed(thrown: unknown): never {
  // Its first line says what; lines that follow, where in its own code.
  const [what = ''] = asError(thrown).message.split(/\.?\s*\n|\.$/)
  throw new ManyhandsError('engine-failed', `onnxruntime-web can't run this model: ${what}.`, { cause: thrown })
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  float16: Uint16Array,
} as const satisfies Record<DType, unknown>

function toOrt({ dtype, dims, bytes }: TensorValue): ort.Tensor {
  // A copy: the engine wants typed arrays, and those want aligned bytes.
  const data = new arrays[dtype](bytes.slice().buffer)
  return new ort.Tensor(dtype as 'float32', data as Float32Array, [...dims])
}

function fromOrt(name: string, { type, dims, data }: ort.Tensor): TensorValue {
  if (!(type in arrays)) throw new ManyhandsError('unsupported', `The tensor ${name} is of type ${type}, which does not travel.`)
  const dtype = type as DType
  const array = data as Float32Array
  const bytes = new Uint8Array(array.buffer, array.byteOffset, elementCount(dims) * dtypeSize[dtype])
  return { dtype, dims: [...dims], bytes }
}
