/** transformers.js on the ONNX file that our importer makes, f32, in one worker of one tab. */
import { AutoModelForCausalLM, env, Tensor, type CausalModel } from '@huggingface/transformers'
import * as Comlink from 'comlink'
import { promptIds, type PassTimes, type Yardstick, type YardstickSetup } from './yardstick.ts'

let model: CausalModel | undefined
let base = ''

const transformers: Yardstick = {
  async load(setup: YardstickSetup) {
    base = setup.base
    env.allowRemoteModels = false
    env.allowLocalModels = true
    env.localModelPath = `${base}models/`
    env.useBrowserCache = false
    const wasm = env.backends.onnx.wasm
    if (!wasm) throw new Error('transformers.js has no wasm here')
    // It would take them from a CDN.
    wasm.wasmPaths = {
      mjs: `${base}their-ort/ort-wasm-simd-threaded.asyncify.mjs`,
      wasm: `${base}their-ort/ort-wasm-simd-threaded.asyncify.wasm`,
    }
    wasm.numThreads = setup.threads
    wasm.proxy = false
    model = await AutoModelForCausalLM.from_pretrained('smollm2', { dtype: 'fp32', device: 'wasm', use_external_data_format: true })
    return `transformers.js ${env.version}, fp32 on wasm, ${setup.threads} threads`
  },

  async pass(promptTokens: number, answerTokens: number): Promise<PassTimes> {
    if (!model) throw new Error('load first')
    const prompt = await promptIds(base, promptTokens)
    const inputs = new Tensor('int64', BigInt64Array.from(prompt, BigInt), [1, promptTokens])
    const attention_mask = new Tensor('int64', new BigInt64Array(promptTokens).fill(1n), [1, promptTokens])
    const arrivals: number[] = []
    const start = performance.now()
    await model.generate({
      inputs,
      attention_mask,
      max_new_tokens: answerTokens + 1,
      min_new_tokens: answerTokens + 1,
      do_sample: false,
      streamer: {
        put: () => void arrivals.push(performance.now()),
        end: () => undefined,
      },
    })
    // The streamer is given the prompt first.
    const [, first = start, ...rest] = arrivals
    return { promptTokens, promptMs: first - start, answerTokens: rest.length, answerMs: (rest.at(-1) ?? first) - first }
  },
}

Comlink.expose(transformers)
