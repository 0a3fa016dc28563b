/**
 * The engine in Node: onnxruntime-web's wasm from the installed package, so that a Node volunteer computes the bits that
 * browsers compute.
 */
import { availableParallelism } from 'node:os'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { OrtSource } from './ort-source.ts'
import { openWasm } from './wasm-runtime.ts'

/** As in a tab (ort-source.ts). */
const mostUsefulThreads = 4

export function ortFromPackage(): OrtSource {
  return {
    mostThreads: Math.min(mostUsefulThreads, availableParallelism()),
    async wasm(threads) {
      const module = await import('onnxruntime-web/ort-wasm-simd-threaded.mjs')
      return openWasm(module.default, threads)
    },
    webgpu: () => Promise.reject(new ManyhandsError('unsupported', 'There is no WebGPU in Node.')),
  }
}
