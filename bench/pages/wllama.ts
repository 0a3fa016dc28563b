/** llama.cpp in wasm, on the same weights at 8 bits. It runs in workers of its own. */
import { Wllama } from '@wllama/wllama'
import type { PassTimes, Yardstick, YardstickSetup } from './yardstick.ts'

/** Room for the longest pass. */
const contextTokens = 1024

export class WllamaYardstick implements Yardstick {
  #wllama: Wllama | undefined
  #base = ''

  async load({ base, threads }: YardstickSetup): Promise<string> {
    this.#base = base
    const wllama = new Wllama({ default: `${base}wllama/wllama.wasm` }, { suppressNativeLog: true })
    const file = await (await fetch(`${base}material/q8_0.gguf`)).blob()
    await wllama.loadModel([file], { n_ctx: contextTokens, n_threads: threads, n_gpu_layers: 0 })
    this.#wllama = wllama
    return `wllama, Q8_0, ${wllama.getNumThreads()} threads`
  }

  async pass(promptTokens: number, answerTokens: number): Promise<PassTimes> {
    if (!this.#wllama) throw new Error('load first')
    const prompt = await (await fetch(`${this.#base}material/prompt-${promptTokens}.txt`)).text()
    const { timings } = await this.#wllama.createCompletion({
      prompt,
      max_tokens: answerTokens,
      temperature: 0,
      cache_prompt: false,
      ignore_eos: true,
    })
    if (!timings) throw new Error('wllama gave no timings')
    const { prompt_n, prompt_ms, predicted_n, predicted_ms } = timings
    return { promptTokens: prompt_n, promptMs: prompt_ms, answerTokens: predicted_n, answerMs: predicted_ms }
  }
}
