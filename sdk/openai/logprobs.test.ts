import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTokenizer } from '../../models/chat.ts'
import { parseGguf } from '../../models/gguf.ts'
import { ggufTokenizer } from '../../models/tokenizer.ts'
import { referenceLlama } from '../../testing/reference-llama.ts'
import { tinyLlama, tinyVocab } from '../../testing/tiny-llama.ts'
import { startTinyNetwork, tinyDecoder, tinyModel, type TinyNetwork } from '../../testing/tiny-network.ts'
import { connect } from '../node.ts'

let network: TinyNetwork
beforeAll(async () => {
  network = await startTinyNetwork([tinyDecoder])
})
afterAll(() => network?.close())

/** The engine sums in f32, the reference in f64. */
const tolerance = 1e-5

it('[LP2] the odds of each token are an independent implementation’s, at temperature 1 and over the whole vocabulary, however it was chosen', async () => {
  const file = tinyLlama(tinyModel)
  const files = ggufTokenizer(parseGguf(file), { vocab: tinyVocab, context: 512 })
  const prompt = createTokenizer(files.json, files.config).encode('Many hands')
  const net = await connect({ server: network.url })
  try {
    const asked = { maxTokens: 20, temperature: 0.7, topP: 0.8, seed: 3, logprobs: 4 }
    const { tokens = [], tokenIds } = await net.generate(tinyDecoder, 'Many hands', asked)
    expect(tokens.map(({ id }) => id)).toEqual(tokenIds.slice(0, tokens.length))
    expect(tokens.length).toBeGreaterThan(10)
    const llama = referenceLlama(file)
    let logits = new Float64Array()
    for (const id of prompt) logits = llama.step(id) as typeof logits
    for (const { id, logprob, top } of tokens) {
      const sum = logits.reduce((total, x) => total + Math.exp(x), 0)
      const odds = (of: number) => (logits[of] as number) - Math.log(sum)
      expect(Math.abs(logprob - odds(id))).toBeLessThan(tolerance)
      const likeliest = [...logits.keys()].toSorted((a, b) => (logits[b] as number) - (logits[a] as number)).slice(0, 4)
      expect(top.map((one) => one.id)).toEqual(likeliest)
      for (const one of top) expect(Math.abs(one.logprob - odds(one.id))).toBeLessThan(tolerance)
      logits = llama.step(id) as typeof logits
    }
  } finally {
    await net.close()
  }
})
