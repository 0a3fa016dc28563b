/** onnxruntime-web exports its bare wasm module without types. */
declare module 'onnxruntime-web/ort-wasm-simd-threaded.mjs' {
  import type { OrtWasmFactory } from './ort-wasm-abi.ts'

  const factory: OrtWasmFactory
  export default factory
}
