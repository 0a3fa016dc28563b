/**
 * The wasm backend: onnxruntime's C functions called directly, so that a decoder's caches stay in the wasm heap and are
 * written in place, a step copying nothing but the rows that came in and go out.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import { dtypeSize, elementCount, type DType, type TensorValue } from '../../protocol/tensors.ts'
import { dtypeOf, elementType, heapOf, logErrors, onHeap, optimizeAll, type OrtWasm, type OrtWasmFactory } from './ort-wasm-abi.ts'
import type { Resident, ResidentBlock, Runtime, RuntimeSession, WeightFile } from './runtime.ts'

/** Cache lines, and any vector width to come. */
const alignment = 64
/** Bytes of a 32-bit heap: the module would take a larger number for what is left of it. */
const addressable = 2 ** 32

/** @throws ManyhandsError engine-failed, out-of-memory */
export async function openWasm(factory: OrtWasmFactory, threads: number, locateFile?: (name: string) => string): Promise<WasmRuntime> {
  const wasm = await factory(locateFile ? { numThreads: threads, locateFile } : { numThreads: threads }).catch((cause: unknown) => {
    throw failed('onnxruntime could not be started here', cause)
  })
  if (wasm._OrtInit(threads, logErrors) !== 0) throw failed(lastError(wasm))
  return new WasmRuntime(wasm, threads)
}

export class WasmRuntime implements Runtime {
  readonly backend = 'wasm'
  readonly adapter = ''
  readonly threads: number
  /** A wasm heap doesn't get lost. */
  readonly lost: Promise<Error> = new Promise(() => undefined)
  readonly #wasm: OrtWasm

  constructor(wasm: OrtWasm, threads: number) {
    this.#wasm = wasm
    this.threads = threads
  }

  heapBytes(): number {
    return heapOf(this.#wasm).length
  }

  async createSession(graph: Uint8Array, weights: readonly WeightFile[]): Promise<RuntimeSession> {
    const wasm = this.#wasm
    const options = wasm._OrtCreateSessionOptions(optimizeAll, false, false, 0, false, 0, 0, logErrors, 0, 0)
    if (options === 0) throw failed(lastError(wasm))
    const model = allocate(wasm, graph.length)
    let trouble: unknown
    try {
      heapOf(wasm).set(graph, model)
      for (const file of weights)
        wasm.mountExternalData(
          file.location,
          fileView(file, (thrown) => (trouble ??= thrown)),
        )
      const session = (await wasm._OrtCreateSession(model, graph.length, options)) >>> 0
      if (trouble !== undefined) throw trouble
      if (session === 0) throw failed(lastError(wasm))
      return new WasmSession(wasm, session)
    } catch (thrown) {
      throw thrown instanceof ManyhandsError ? thrown : failed('onnxruntime broke while it made a session', thrown)
    } finally {
      wasm.unmountExternalData()
      wasm._free(model)
      wasm._OrtReleaseSessionOptions(options)
    }
  }

  allocate(shapes: readonly (readonly number[])[]): ResidentBlock {
    const wasm = this.#wasm
    const sizes = shapes.map((dims) => Math.ceil((elementCount(dims) * 4) / alignment) * alignment)
    const block = allocate(
      wasm,
      sizes.reduce((sum, n) => sum + n, alignment),
    )
    let at = Math.ceil(block / alignment) * alignment
    const tensors = shapes.map((dims, i) => {
      const tensor = new HeapTensor('float32', dims, createTensor(wasm, 'float32', dims, at))
      at += sizes[i] as number
      return tensor
    })
    return {
      tensors,
      release() {
        for (const tensor of tensors) wasm._OrtReleaseTensor(tensor.handle)
        wasm._free(block)
      },
    }
  }
}

class HeapTensor implements Resident {
  readonly dtype: DType
  readonly dims: readonly number[]
  readonly handle: number

  constructor(dtype: DType, dims: readonly number[], handle: number) {
    this.dtype = dtype
    this.dims = dims
    this.handle = handle
  }
}

class WasmSession implements RuntimeSession {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  readonly #wasm: OrtWasm
  readonly #session: number
  /** Input and output names as C strings. */
  readonly #names = new Map<string, number>()

  constructor(wasm: OrtWasm, session: number) {
    this.#wasm = wasm
    this.#session = session
    const stack = wasm.stackSave()
    const out = wasm.stackAlloc(8)
    check(wasm, wasm._OrtGetInputOutputCount(session, out, out + 4))
    const [inputs, outputs] = [read(wasm, out), read(wasm, out + 4)]
    const names: string[] = []
    for (let i = 0; i < inputs + outputs; i++) {
      check(wasm, wasm._OrtGetInputOutputMetadata(session, i, out, out + 4))
      const name = wasm.UTF8ToString(read(wasm, out))
      this.#names.set(name, read(wasm, out))
      names.push(name)
      wasm._OrtFree(read(wasm, out + 4))
    }
    wasm.stackRestore(stack)
    this.inputNames = names.slice(0, inputs)
    this.outputNames = names.slice(inputs)
  }

  async run(
    feeds: ReadonlyMap<string, TensorValue | Resident>,
    fetch: readonly string[],
    bound: ReadonlyMap<string, Resident>,
  ): Promise<ReadonlyMap<string, TensorValue>> {
    const wasm = this.#wasm
    const stack = wasm.stackSave()
    const fed: { handle: number; data: number }[] = []
    const made: number[] = []
    const options = wasm._OrtCreateRunOptions(logErrors, 0, false, 0)
    try {
      const inputs = [...feeds].map(([name, value]) => [
        this.#name(name),
        value instanceof HeapTensor ? value.handle : this.#copyIn(value as TensorValue, fed),
      ])
      const outputs = [
        ...fetch.map((name) => [this.#name(name), 0]),
        ...[...bound].map(([name, to]) => [this.#name(name), (to as HeapTensor).handle]),
      ]
      const [inputNames, inputValues] = this.#columns(inputs)
      const [outputNames, outputValues] = this.#columns(outputs)
      check(
        wasm,
        await wasm._OrtRun(this.#session, inputNames, inputValues, inputs.length, outputNames, outputs.length, outputValues, options),
      )
      for (let i = 0; i < fetch.length; i++) made.push(read(wasm, outputValues + 4 * i))
      return new Map(fetch.map((name, i) => [name, this.#copyOut(made[i] as number)]))
    } finally {
      for (const tensor of made) wasm._OrtReleaseTensor(tensor)
      for (const { handle, data } of fed) {
        wasm._OrtReleaseTensor(handle)
        wasm._free(data)
      }
      wasm._OrtReleaseRunOptions(options)
      wasm.stackRestore(stack)
    }
  }

  async release(): Promise<void> {
    for (const name of this.#names.values()) this.#wasm._OrtFree(name)
    this.#wasm._OrtReleaseSession(this.#session)
  }

  #name(name: string): number {
    const pointer = this.#names.get(name)
    if (pointer === undefined) throw new ManyhandsError('internal', `The session has no input or output ${name}.`)
    return pointer
  }

  /** [name, value] pairs as two arrays of pointers on the stack. */
  #columns(rows: readonly (readonly number[])[]): [number, number] {
    const names = this.#wasm.stackAlloc(4 * rows.length)
    const values = this.#wasm.stackAlloc(4 * rows.length)
    const view = heap(this.#wasm)
    for (const [i, [name = 0, value = 0]] of rows.entries()) {
      view.setUint32(names + 4 * i, name, true)
      view.setUint32(values + 4 * i, value, true)
    }
    return [names, values]
  }

  #copyIn({ dtype, dims, bytes }: TensorValue, fed: { handle: number; data: number }[]): number {
    const data = allocate(this.#wasm, Math.max(bytes.length, 1))
    heapOf(this.#wasm).set(bytes, data)
    const handle = createTensor(this.#wasm, dtype, dims, data)
    fed.push({ handle, data })
    return handle
  }

  #copyOut(tensor: number): TensorValue {
    const wasm = this.#wasm
    const out = wasm.stackAlloc(16)
    check(wasm, wasm._OrtGetTensorData(tensor, out, out + 4, out + 8, out + 12))
    const [type, data, shape, rank] = [read(wasm, out), read(wasm, out + 4), read(wasm, out + 8), read(wasm, out + 12)]
    const dims = Array.from({ length: rank }, (_, i) => read(wasm, shape + 4 * i))
    wasm._OrtFree(shape)
    const dtype = dtypeOf.get(type)
    if (!dtype) throw new ManyhandsError('unsupported', `The model gave a tensor of element type ${type}, which does not travel.`)
    return { dtype, dims, bytes: heapOf(wasm).slice(data, data + elementCount(dims) * dtypeSize[dtype]) }
  }
}

/** A weight file as the module reads it; what goes wrong inside is kept, for the module only knows that it did. */
function fileView(file: WeightFile, onTrouble: (thrown: unknown) => void) {
  return {
    byteLength: file.bytes,
    subarray(from: number, to: number): Uint8Array {
      try {
        return file.read().subarray(from, to)
      } catch (thrown) {
        onTrouble(thrown)
        throw thrown
      }
    },
  }
}

function createTensor(wasm: OrtWasm, dtype: DType, dims: readonly number[], data: number): number {
  const stack = wasm.stackSave()
  const shape = wasm.stackAlloc(4 * dims.length)
  const view = heap(wasm)
  for (const [i, dim] of dims.entries()) view.setUint32(shape + 4 * i, dim, true)
  const handle = wasm._OrtCreateTensor(elementType[dtype], data, elementCount(dims) * dtypeSize[dtype], shape, dims.length, onHeap) >>> 0
  wasm.stackRestore(stack)
  if (handle === 0) throw failed(lastError(wasm))
  return handle
}

/** @throws ManyhandsError out-of-memory */
function allocate(wasm: OrtWasm, bytes: number): number {
  const pointer = bytes < addressable ? wasm._malloc(bytes) >>> 0 : 0
  if (pointer === 0)
    throw new ManyhandsError('out-of-memory', `There is no room for ${bytes} bytes: close other tabs or give a smaller share.`)
  return pointer
}

const heap = (wasm: OrtWasm): DataView => new DataView(heapOf(wasm).buffer)
const read = (wasm: OrtWasm, at: number): number => heap(wasm).getUint32(at, true)

function check(wasm: OrtWasm, code: number): void {
  if (code !== 0) throw failed(lastError(wasm))
}

function lastError(wasm: OrtWasm): string {
  const stack = wasm.stackSave()
  const out = wasm.stackAlloc(8)
  wasm._OrtGetLastError(out, out + 4)
  const message = read(wasm, out + 4)
  const text = message === 0 ? 'onnxruntime gave no reason' : wasm.UTF8ToString(message)
  wasm.stackRestore(stack)
  return text
}

function failed(what: string, cause?: unknown): ManyhandsError {
  const why = cause instanceof Error ? `${what}: ${cause.message}` : what
  const noMemory = /bad.?alloc|out of memory|Failed to allocate/i.test(why)
  const options = cause === undefined ? {} : { cause }
  return noMemory
    ? new ManyhandsError('out-of-memory', `The model does not fit into this device's memory (${why}).`, options)
    : new ManyhandsError('engine-failed', `The model can't be run here: ${why}.`, options)
}
