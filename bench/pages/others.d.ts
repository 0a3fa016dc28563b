/** As much of the others' types as is used here, so that the whole type-checks without their packages. */

declare module '@huggingface/transformers' {
  export class Tensor {
    constructor(type: 'int64', data: BigInt64Array, dims: number[])
  }
  export interface GenerateParameters {
    inputs: Tensor
    attention_mask: Tensor
    max_new_tokens: number
    min_new_tokens: number
    do_sample: boolean
    streamer: { put(ids: bigint[][]): void; end(): void }
  }
  export interface CausalModel {
    generate(parameters: GenerateParameters): Promise<unknown>
  }
  export const AutoModelForCausalLM: {
    from_pretrained(name: string, options: { dtype: 'fp32'; device: 'wasm'; use_external_data_format: boolean }): Promise<CausalModel>
  }
  export const env: {
    version: string
    allowRemoteModels: boolean
    allowLocalModels: boolean
    localModelPath: string
    useBrowserCache: boolean
    backends: { onnx: { wasm?: { wasmPaths?: { mjs: string; wasm: string }; numThreads?: number; proxy?: boolean } } }
  }
}

declare module '@wllama/wllama' {
  export interface CompletionTimings {
    prompt_n: number
    prompt_ms: number
    predicted_n: number
    predicted_ms: number
  }
  export class Wllama {
    constructor(paths: { default: string }, config?: { suppressNativeLog?: boolean })
    loadModel(files: Blob[], parameters: { n_ctx: number; n_threads: number; n_gpu_layers: number }): Promise<void>
    getNumThreads(): number
    createCompletion(parameters: {
      prompt: string
      max_tokens: number
      temperature: number
      cache_prompt: boolean
      ignore_eos: boolean
    }): Promise<{ timings?: CompletionTimings }>
  }
}

declare module 'puppeteer-core' {
  export interface Page {
    goto(url: string): Promise<unknown>
    evaluate(work: (arg: never) => unknown, arg: unknown): Promise<unknown>
  }
  export interface Browser {
    newPage(): Promise<Page>
    close(): Promise<void>
  }
  export function launch(options: {
    readonly browser: 'firefox'
    readonly executablePath: string
    readonly headless: boolean
    readonly extraPrefsFirefox: Readonly<Record<string, boolean>>
  }): Promise<Browser>
}
