/** What computes, in words: always the backend in use, never the one wished for. */
import type { Backend } from '../../../sdk/types.ts'

export const backendWords: Readonly<Record<Backend, string>> = { webgpu: 'GPU (WebGPU)', wasm: 'CPU (wasm)' }
