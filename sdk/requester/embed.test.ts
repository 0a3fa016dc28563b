import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import { packTensors } from '../../protocol/tensors.ts'
import { answer, feedsOf, openEncoder, type TestEncoder } from '../../testing/encoding.ts'
import { referenceBert } from '../../testing/reference-bert.ts'
import { tinyBert } from '../../testing/tiny-bert.ts'
import { ToldSessions } from '../../testing/told-sessions.ts'
import type { EmbedCorrection, EmbedOptions } from '../types.ts'
import { embed, embedTexts, maxTextChars, maxTexts } from './embed.ts'
import { maxBatchTexts } from './embed-batches.ts'
import type { RequesterNetwork } from './network.ts'

const file = tinyBert({ layers: 1 })
let encoder: TestEncoder
beforeAll(async () => {
  encoder = await openEncoder(file)
})
afterAll(() => encoder.close())

/** Texts asked, and sessions that are answered as they come, `batches` of them. */
function ask(values: readonly string[], options: EmbedOptions = {}, batches = 0) {
  const source = new ToldSessions()
  const embedded = embedTexts(encoder.over(source), values, options)
  embedded.catch(() => undefined)
  const answered = (async () => {
    for (let n = 1; n <= batches; n++) await answer(encoder, source, n)
  })()
  return { source, embedded, answered }
}

/** By the reference, each text alone: mean over its tokens, of length 1. */
function expected(text: string): Float64Array {
  const { ids } = encoder.tokenizer.encode(text, encoder.embedding.maxTokens)
  const states = referenceBert(file).states(ids)
  const mean = new Float64Array(64).map((_, i) => states.reduce((sum, state) => sum + (state[i] as number), 0) / states.length)
  const size = Math.sqrt(mean.reduce((sum, x) => sum + x * x, 0))
  return mean.map((x) => x / size)
}

function expectVectors(embeddings: readonly (Float32Array | undefined)[], texts: readonly string[]): void {
  expect(embeddings).toHaveLength(texts.length)
  for (const [i, text] of texts.entries()) {
    const worst = expected(text).reduce((most, want, k) => Math.max(most, Math.abs(want - (embeddings[i]?.[k] ?? NaN))), 0)
    expect(worst, text).toBeLessThan(2e-6)
  }
}

const words = 'the many hands make light work of a burden shared is halved'.split(' ')
const texts = Array.from({ length: 2 * maxBatchTexts + 9 }, (_, i) =>
  Array.from({ length: i % 13 }, (_, k) => words[(i * 5 + k) % words.length]).join(' '),
)

describe('embedding texts', () => {
  it('is refused for a model that makes no vectors of texts, with what it does instead', async () => {
    const { embedding: _, ...other } = encoder.manifest
    const network = { manifest: async () => other } as unknown as RequesterNetwork
    await expect(embed(network, 'tiny', ['x'], {})).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringMatching(/Use run\(\)/),
    })
  })

  it('gives each one’s own vector, in the order asked, whatever was computed together', { timeout: 60_000 }, async () => {
    const progress: number[] = []
    const { source, embedded } = ask(texts, { onProgress: ({ done, total }) => progress.push(done / total) }, 3)
    const result = await embedded
    expectVectors(result.embeddings, texts)
    expect(source.sessions).toHaveLength(3)
    expect(result.promptTokens).toBe(texts.reduce((sum, text) => sum + (text === '' ? 0 : text.split(' ').length) + 2, 0))
    expect(result.cut).toEqual([])
    expect(progress[0]).toBe(0)
    expect(progress.at(-1)).toBe(1)
    expect(progress).toEqual(progress.toSorted((a, b) => a - b))
    // One row of every input a text, filled up to the longest.
    expect(feedsOf(encoder, await source.session(1)).map(({ dims }) => dims)).toEqual(Array.from({ length: 3 }, () => [maxBatchTexts, 14]))
  })

  it('computes nothing for no texts, and the marks alone for an empty one', async () => {
    const none = ask([])
    expect(await none.embedded).toMatchObject({ embeddings: [], promptTokens: 0, cut: [] })
    expect(none.source.sessions).toEqual([])
    const empty = await ask([''], {}, 1).embedded
    expectVectors(empty.embeddings, [''])
    expect(empty.promptTokens).toBe(2)
  })

  it('leaves the end of a long text out and says so, or refuses it', async () => {
    const long = 'work '.repeat(100)
    const result = await ask(['many hands', long], {}, 1).embedded
    expectVectors(result.embeddings, ['many hands', 'work '.repeat(46)])
    expect(result.cut).toEqual([1])
    expect(result.promptTokens).toBe(4 + 48)
    const refused = ask(['many hands', long], { tooLong: 'refuse' })
    await expect(refused.embedded).rejects.toMatchObject({ code: 'context-overflow', message: expect.stringContaining('number 1 ') })
    expect(refused.source.sessions).toEqual([])
  })

  it('stops at the signal, at the volunteers too', async () => {
    const stop = new AbortController()
    const { source, embedded } = ask(texts, { signal: stop.signal })
    const first = await source.session(1)
    stop.abort()
    await expect(embedded).rejects.toMatchObject({ code: 'aborted' })
    expect(first.failed).toMatchObject({ code: 'aborted' })
    await expect(ask(texts, { signal: stop.signal }).embedded).rejects.toMatchObject({ code: 'aborted' })
  })

  it('gives nothing out where a batch fails, and stops the others', async () => {
    const { source, embedded } = ask(texts)
    const other = await source.session(3)
    ;(await source.session(2)).breakOff(new ManyhandsError('engine-failed', 'It broke.'))
    await answer(encoder, source, 1)
    await expect(embedded).rejects.toMatchObject({ code: 'engine-failed' })
    expect(other.failed).toMatchObject({ code: 'aborted' })
  })

  it('asks for half of a batch at a time where a volunteer is too slow for all of it, and gives up at a single text', async () => {
    const few = ['many hands', 'make light work', 'a burden shared', 'is halved', 'the stock market']
    const tooMuch = new ManyhandsError('bad-input', 'Inputs of this size would take about 42 s here.')
    const { source, embedded } = ask(few)
    ;(await source.session(1)).breakOff(tooMuch)
    for (const n of [2, 3]) await answer(encoder, source, n)
    expectVectors((await embedded).embeddings, few)
    expect(source.sessions).toHaveLength(3)
    const single = ask(['many hands'])
    ;(await single.source.session(1)).breakOff(tooMuch)
    await expect(single.embedded).rejects.toMatchObject({ code: 'bad-input' })
  })

  it('brings receipts, and corrects what was found wrong by its place', async () => {
    const corrections: EmbedCorrection[] = []
    const { source, embedded } = ask(['many hands', 'light work'], { onCorrection: (c) => corrections.push(c) })
    const first = await source.session(1)
    const feeds = feedsOf(encoder, first)
    const right = await encoder.compute(feeds)
    const wrong = new Float32Array(right.bytes.slice().buffer).map((x) => x + 1)
    first.give(packTensors([{ ...right, bytes: new Uint8Array(wrong.buffer) }]))
    first.end()
    const { settled } = await embedded
    source.wrong(first, 'An audit found another result.')
    source.receipt(await answer(encoder, source, 2), 'corrected')
    expect(await settled).toMatchObject([{ status: 'corrected' }])
    expect(corrections).toMatchObject([{ reason: 'An audit found another result.' }])
    const { embeddings } = corrections[0] as EmbedCorrection
    expectVectors([embeddings.get(0), embeddings.get(1)], ['many hands', 'light work'])
  })

  it('asks as many pipelines as are to agree', async () => {
    const { source, embedded } = ask(['many hands'], { verify: { quorum: 2 } }, 2)
    expectVectors((await embedded).embeddings, ['many hands'])
    const { receipts } = await embedded
    for (const n of [1, 2]) source.receipt(await source.session(n), 'provisional')
    expect((await receipts).map(({ session }) => session)).toEqual(source.sessions.map(({ ticket }) => ticket.session))
  })

  it.each([
    ['one text instead of a list', 'many hands', {}, 'a list of texts'],
    ['what is no text', ['many hands', 7], {}, 'number 1 of the list'],
    ['a text of a book’s length', ['x'.repeat(maxTextChars + 1)], {}, `at most ${maxTextChars}`],
    ['more texts than a library’s', Array.from({ length: maxTexts + 1 }, () => ''), {}, 'Ask in parts'],
    ['an unknown way with long ones', ['x'], { tooLong: 'shorten' }, 'tooLong takes'],
    ['an unknown verification', ['x'], { verify: { quorum: 7 } }, 'verify takes'],
  ])('refuses %s', async (_, values, options, why) => {
    const refused = embed({} as RequesterNetwork, 'tiny-encoder', values as string[], options as EmbedOptions)
    await expect(refused).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining(why) })
  })
})
