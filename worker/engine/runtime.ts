/**
 * What a stage needs of a backend: sessions made of a graph and its weights, memory for caches where the model runs, and
 * runs. Implemented for wasm (wasm-runtime.ts) and WebGPU (webgpu-runtime.ts); a stage knows no more of onnxruntime than this.
 */
import type { Backend } from '../../protocol/ticket.ts'
import type { DType, TensorValue } from '../../protocol/tensors.ts'

/** A file of weights, by the location that the graph's external data name. */
export interface WeightFile {
  readonly location: string
  readonly bytes: number
  /** The whole file; asked for once or twice while a session is made, so that it may be computed on the spot. */
  read(): Uint8Array
}

/** A tensor that lives where the model runs; only the runtime that made it can use it. */
export interface Resident {
  readonly dtype: DType
  readonly dims: readonly number[]
}

export interface ResidentBlock {
  /** In the order of the shapes that were asked for. */
  readonly tensors: readonly Resident[]
  release(): void
}

export interface RuntimeSession {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  /**
   * One run at a time per runtime: the caller sees to that.
   * @param bound outputs that are written into residents, which may be fed as well
   * @returns the outputs of `fetch`; their bytes are the caller's
   */
  run(
    feeds: ReadonlyMap<string, TensorValue | Resident>,
    fetch: readonly string[],
    bound: ReadonlyMap<string, Resident>,
  ): Promise<ReadonlyMap<string, TensorValue>>
  release(): Promise<void>
}

export interface Runtime {
  readonly backend: Backend
  readonly threads: number
  /** The GPU in the browser's words; empty on wasm. */
  readonly adapter: string
  /** Resolves when the device behind it is gone. */
  readonly lost: Promise<Error>
  /**
   * @param graph an ONNX file
   * @param resident outputs that runs will bind to residents
   * @throws ManyhandsError engine-failed, out-of-memory
   */
  createSession(graph: Uint8Array, weights: readonly WeightFile[], resident: readonly string[]): Promise<RuntimeSession>
  /** Memory of these f32 shapes, its contents undefined. @throws ManyhandsError out-of-memory */
  allocate(shapes: readonly (readonly number[])[]): ResidentBlock
  /** Bytes of memory that the runtime holds in this process, weights included; it grows and never shrinks. 0 where unknown. */
  heapBytes(): number
}
