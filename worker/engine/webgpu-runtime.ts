/**
 * The WebGPU backend: onnxruntime-web's native WebGPU provider, weights in their 4 bits, caches in GPU buffers that attention
 * writes in place. Whether its numbers are right is for the golden check to say.
 */
import type * as Ort from 'onnxruntime-common'
import { ManyhandsError } from '../../protocol/errors.ts'
import { dtypeSize, elementCount, type DType, type TensorValue } from '../../protocol/tensors.ts'
import type { Resident, ResidentBlock, Runtime, RuntimeSession, WeightFile } from './runtime.ts'

/** What we use of the module; its types are onnxruntime-common's. */
export type OrtModule = Pick<typeof Ort, 'env' | 'InferenceSession' | 'Tensor'>

/**
 * @param load gives the onnxruntime-web bundle with the native WebGPU provider
 * @throws ManyhandsError unsupported when there is no adapter
 */
export async function openWebGpu(load: () => Promise<OrtModule>): Promise<Runtime> {
  const adapter = await (globalThis.navigator?.gpu?.requestAdapter() ?? null)
  if (!adapter) throw new ManyhandsError('unsupported', 'This browser offers no WebGPU adapter.')
  const { vendor, architecture, description } = adapter.info
  return new WebGpuRuntime(await load(), [vendor, architecture, description].filter((word) => word !== '').join(' '))
}

class WebGpuRuntime implements Runtime {
  readonly backend = 'webgpu'
  readonly threads = 1
  readonly adapter: string
  readonly lost: Promise<Error>
  readonly #ort: OrtModule
  #device: GPUDevice | undefined
  #resolveLost!: (reason: Error) => void

  constructor(ort: OrtModule, adapter: string) {
    this.#ort = ort
    this.adapter = adapter
    this.lost = new Promise((resolve) => (this.#resolveLost = resolve))
  }

  heapBytes(): number {
    return 0
  }

  async createSession(graph: Uint8Array, weights: readonly WeightFile[], resident: readonly string[]): Promise<RuntimeSession> {
    const session = await this.#ort.InferenceSession.create(graph, {
      // Channels-last kernels gave a deterministically wrong answer on a real model (facts: Silero VAD).
      executionProviders: [{ name: 'webgpu', preferredLayout: 'NCHW' }],
      externalData: weights.map((file) => ({ path: file.location, data: file.read() })),
      preferredOutputLocation: Object.fromEntries(resident.map((name) => [name, 'gpu-buffer' as const])),
      logSeverityLevel: 3,
    }).catch((cause: unknown) => {
      throw new ManyhandsError('engine-failed', `The GPU can't take this model: ${reason(cause)}.`, { cause })
    })
    await this.#watch()
    return new WebGpuSession(this.#ort, session)
  }

  allocate(shapes: readonly (readonly number[])[]): ResidentBlock {
    const device = this.#device
    if (!device) throw new ManyhandsError('internal', 'GPU memory is had after the first session.')
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const buffers = shapes.map((dims) => device.createBuffer({ size: elementCount(dims) * 4, usage }))
    const tensors = buffers.map((buffer, i) => {
      const dims = shapes[i] as readonly number[]
      return new GpuTensor(dims, this.#ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims: [...dims] }))
    })
    return { tensors, release: () => buffers.forEach((buffer) => buffer.destroy()) }
  }

  /** The device exists once a session does. What it reports and nobody asked for (no memory left) makes every later number doubtful. */
  async #watch(): Promise<void> {
    if (this.#device) return
    const device = await this.#ort.env.webgpu.device
    this.#device = device
    void device.lost.then(({ message }) =>
      this.#resolveLost(new ManyhandsError('engine-failed', `The GPU was lost: ${message || 'no reason given'}.`)),
    )
    device.addEventListener('uncapturederror', ({ error }) =>
      this.#resolveLost(new ManyhandsError('engine-failed', `The GPU failed: ${error.message}.`)),
    )
  }
}

class GpuTensor implements Resident {
  readonly dtype = 'float32'
  readonly dims: readonly number[]
  readonly tensor: Ort.Tensor

  constructor(dims: readonly number[], tensor: Ort.Tensor) {
    this.dims = dims
    this.tensor = tensor
  }
}

class WebGpuSession implements RuntimeSession {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  readonly #ort: OrtModule
  readonly #session: Ort.InferenceSession

  constructor(ort: OrtModule, session: Ort.InferenceSession) {
    this.#ort = ort
    this.#session = session
    this.inputNames = session.inputNames
    this.outputNames = session.outputNames
  }

  async run(
    feeds: ReadonlyMap<string, TensorValue | Resident>,
    fetch: readonly string[],
    bound: ReadonlyMap<string, Resident>,
  ): Promise<ReadonlyMap<string, TensorValue>> {
    const inputs = Object.fromEntries(
      [...feeds].map(([name, value]) => [name, value instanceof GpuTensor ? value.tensor : this.#toOrt(value as TensorValue)]),
    )
    const fetches: Record<string, Ort.Tensor | null> = Object.fromEntries(fetch.map((name) => [name, null]))
    for (const [name, to] of bound) fetches[name] = (to as GpuTensor).tensor
    const outputs = await this.#session.run(inputs, fetches).catch((cause: unknown) => {
      throw new ManyhandsError('engine-failed', `A run on the GPU failed: ${reason(cause)}.`, { cause })
    })
    return new Map(fetch.map((name) => [name, fromOrt(outputs[name] as Ort.Tensor)]))
  }

  release(): Promise<void> {
    return this.#session.release()
  }

  #toOrt({ dtype, dims, bytes }: TensorValue): Ort.Tensor {
    const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice()
    const Values = arrays[dtype]
    const data = new Values(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.length / dtypeSize[dtype])
    return new this.#ort.Tensor(dtype as 'float32', data as Float32Array, [...dims])
  }
}

function fromOrt({ type, dims, data }: Ort.Tensor): TensorValue {
  if (!(type in arrays)) throw new ManyhandsError('unsupported', `The model gave a tensor of type ${type}, which does not travel.`)
  const { buffer, byteOffset, byteLength } = data as Float32Array
  return { dtype: type as DType, dims, bytes: new Uint8Array(buffer, byteOffset, byteLength) }
}

/** What onnxruntime wants for each type; half precision has its own array in newer browsers. */
const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: (globalThis as { Float16Array?: Uint16ArrayConstructor }).Float16Array ?? Uint16Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Record<DType, unknown>

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
