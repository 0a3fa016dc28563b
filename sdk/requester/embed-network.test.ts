/** Embedding over a network as it is shipped, with volunteers that hold a tiny encoder each. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEncoderTokenizer } from '../../models/encoder-tokenizer.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { referenceBert } from '../../testing/reference-bert.ts'
import { tinyBert } from '../../testing/tiny-bert.ts'
import { startTinyNetwork, tinyDecoder, tinyEncoder, type TinyNetwork } from '../../testing/tiny-network.ts'
import { connect } from '../node.ts'
import type { Embedded, Network } from '../types.ts'

let tiny: TinyNetwork
let network: Network
beforeAll(async () => {
  tiny = await startTinyNetwork([tinyEncoder, tinyEncoder])
  network = await connect({ server: tiny.url })
})
afterAll(async () => {
  await network?.close()
  await tiny?.close()
})

const words = 'the many hands make light work of a burden shared is halved'.split(' ')
/** Some twenty batches. */
const texts = Array.from({ length: 600 }, (_, i) =>
  words
    .map((_, k) => words[(i * 7 + k * k) % words.length])
    .slice(0, 1 + (i % 12))
    .join(' '),
)

const peersOf = async ({ receipts }: Embedded) => (await receipts).flatMap(({ stages }) => stages.map(({ peer }): string => peer))

describe('embedding over volunteers', () => {
  it('goes on at the others where whoever does it leaves in the middle', async () => {
    const doing = await peersOf(await network.embed(tinyEncoder, ['many hands']))
    const leaving = tiny.donations.find(({ state }) => doing.includes(state.peer))
    const staying = tiny.donations.find((donation) => donation !== leaving)
    let left: Promise<void> | undefined
    const embedded = await network.embed(tinyEncoder, texts, {
      onProgress: ({ done }) => {
        if (done > 200) left ??= leaving?.stop('now')
      },
    })
    await left
    const { embeddings } = embedded
    const file = tinyBert()
    const tokenizer = createEncoderTokenizer(file.beside['tokenizer.json'] as Uint8Array, utf8('{}'))
    const reference = referenceBert(file)
    // A dozen of them say as much as all.
    for (let i = 0; i < texts.length; i += 53) {
      const states = reference.states(tokenizer.encode(texts[i] as string, 48).ids)
      const mean = (states[0] as Float64Array).map((_, k) => states.reduce((sum, state) => sum + (state[k] as number), 0))
      const size = Math.sqrt(mean.reduce((sum, x) => sum + x * x, 0))
      const worst = mean.reduce((most, x, k) => Math.max(most, Math.abs(x / size - (embeddings[i]?.[k] ?? NaN))), 0)
      expect(worst, texts[i]).toBeLessThan(2e-6)
    }
    expect(await peersOf(embedded)).toContain(staying?.state.peer)
  })

  it('is refused for a model that chats, with what to use instead', async () => {
    await expect(network.embed(tinyDecoder, ['x'])).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringContaining('generate()'),
    })
    await expect(network.embed('nobody', ['x'])).rejects.toMatchObject({ code: 'unknown-model' })
  })
})
