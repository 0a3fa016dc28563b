/**
 * Where onnxruntime-web comes from: in a tab from URLs beside the site, loaded when a backend is tried; in Node from the
 * installed package (node-engine.ts).
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Runtime } from './runtime.ts'
import type { OrtWasmFactory } from './ort-wasm-abi.ts'
import { openWasm } from './wasm-runtime.ts'
import { openWebGpu, type OrtModule } from './webgpu-runtime.ts'

export interface OrtSource {
  /** Threads that wasm may use here: 1 where memory can't be shared. */
  readonly mostThreads: number
  /** @throws ManyhandsError engine-failed */
  wasm(threads: number): Promise<Runtime>
  /** @throws ManyhandsError unsupported, engine-failed */
  webgpu(): Promise<Runtime>
}

/** More don't make a step faster: it waits for memory. */
const mostUsefulThreads = 4

/** @param engineUrl base URL of onnxruntime-web's files, ending in a slash */
export function ortFromUrl(engineUrl: string): OrtSource {
  const load = (name: string): Promise<unknown> =>
    import(/* @vite-ignore */ new URL(name, engineUrl).href).catch((cause: unknown) => {
      throw new ManyhandsError(
        'engine-failed',
        `The engine could not be loaded from ${engineUrl}${name}: check the connection and try again.`,
        { cause },
      )
    })
  // The threads are workers of the module's own script, and a worker has to come from the page's origin.
  const canThread = globalThis.crossOriginIsolated && new URL(engineUrl).origin === globalThis.location.origin
  return {
    mostThreads: canThread ? Math.min(mostUsefulThreads, navigator.hardwareConcurrency) : 1,
    async wasm(threads) {
      const module = (await load('ort-wasm-simd-threaded.mjs')) as { readonly default: OrtWasmFactory }
      return openWasm(module.default, threads, (name) => new URL(name, engineUrl).href)
    },
    webgpu: () =>
      openWebGpu(async () => {
        // With JSPI the wasm part is 10 MB smaller; where the browser lacks it, asyncify does the same.
        const bundle = 'Suspending' in WebAssembly ? 'ort.jspi.bundle.min.mjs' : 'ort.webgpu.bundle.min.mjs'
        const ort = (await load(bundle)) as OrtModule
        ort.env.wasm.wasmPaths = engineUrl
        ort.env.wasm.numThreads = 1
        return ort
      }),
  }
}
