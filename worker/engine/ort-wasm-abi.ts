/**
 * The part of onnxruntime-web's wasm module that we call directly: the C functions behind its JS API, which copies every
 * tensor out of the heap and back at every run, where a decoder's caches must stay (1.4 x a step at 1,024 positions). The
 * version is pinned in package.json, and ort-wasm.test.ts holds this file to it.
 */
import type { DType } from '../../protocol/tensors.ts'

export interface OrtWasm {
  /** Replaced when the heap grows: never keep it over a call, and see `heapOf`. Shared memory, also with one thread. */
  readonly HEAPU8: Uint8Array
  getValue(pointer: number, type: 'i8'): number
  /** Bytes of external data by location; all that is asked of them is `byteLength` and `subarray`. */
  mountExternalData(location: string, data: { readonly byteLength: number; subarray(from: number, to: number): Uint8Array }): void
  unmountExternalData(): void
  stackSave(): number
  stackRestore(stack: number): void
  stackAlloc(bytes: number): number
  UTF8ToString(pointer: number): string
  lengthBytesUTF8(text: string): number
  stringToUTF8(text: string, pointer: number, maxBytes: number): void
  _malloc(bytes: number): number
  _free(pointer: number): void
  _OrtInit(threads: number, logLevel: number): number
  _OrtGetLastError(code: number, message: number): number
  _OrtCreateSessionOptions(
    optimizationLevel: number,
    cpuArena: boolean,
    memoryPattern: boolean,
    executionMode: number,
    profiling: boolean,
    profilePrefix: number,
    logId: number,
    logSeverity: number,
    logVerbosity: number,
    optimizedModelPath: number,
  ): number
  _OrtReleaseSessionOptions(options: number): number
  _OrtCreateSession(model: number, bytes: number, options: number): number | Promise<number>
  _OrtReleaseSession(session: number): number
  _OrtGetInputOutputCount(session: number, inputs: number, outputs: number): number
  _OrtGetInputOutputMetadata(session: number, index: number, name: number, metadata: number): number
  _OrtFree(pointer: number): number
  _OrtCreateTensor(dtype: number, data: number, bytes: number, dims: number, rank: number, location: number): number
  _OrtGetTensorData(tensor: number, dtype: number, data: number, dims: number, rank: number): number
  _OrtReleaseTensor(tensor: number): number
  _OrtCreateRunOptions(logSeverity: number, logVerbosity: number, terminate: boolean, tag: number): number
  _OrtReleaseRunOptions(options: number): number
  _OrtRun(
    session: number,
    inputNames: number,
    inputs: number,
    inputCount: number,
    outputNames: number,
    outputCount: number,
    outputs: number,
    options: number,
  ): number | Promise<number>
}

/** The default export of `ort-wasm-simd-threaded.mjs`. */
export type OrtWasmFactory = (settings: { readonly numThreads: number; readonly locateFile?: (name: string) => string }) => Promise<OrtWasm>

/** ONNX's element type numbers. */
export const elementType: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
}
export const dtypeOf: ReadonlyMap<number, DType> = new Map(Object.entries(elementType).map(([dtype, n]) => [n, dtype as DType]))

/** OrtLoggingLevel: errors only; what ORT warns of (nodes it moved, initializers it dropped) is not for a volunteer's console. */
export const logErrors = 3
/** GraphOptimizationLevel: all. */
export const optimizeAll = 99
/** Where a tensor's bytes are: the wasm heap. */
export const onHeap = 1

/** The heap as it is now: when another thread let it grow, `HEAPU8` is renewed by the next call into the module's glue. */
export function heapOf(wasm: OrtWasm): Uint8Array {
  wasm.getValue(0, 'i8')
  return wasm.HEAPU8
}
