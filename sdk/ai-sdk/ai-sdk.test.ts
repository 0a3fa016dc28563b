/** The AI SDK itself over a real network; and over a told one, where what goes wrong must be made to. */
import { APICallError, NoSuchModelError, UnsupportedFunctionalityError } from '@ai-sdk/provider'
import { cosineSimilarity, embed, embedMany, generateText, jsonSchema, Output, streamText, tool } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import { startTinyNetwork, tinyDecoder, tinyEncoder, type TinyNetwork } from '../../testing/tiny-network.ts'
import { ToldNetwork } from '../../testing/told-network.ts'
import { connect } from '../node.ts'
import type { Network } from '../types.ts'
import { createManyhands, type ManyhandsProvider } from './index.ts'

/** What it warns of is looked at here, and need not be printed. */
;(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false

describe('over a network', () => {
  let network: TinyNetwork
  let net: Network
  let manyhands: ManyhandsProvider

  beforeAll(async () => {
    network = await startTinyNetwork([tinyDecoder, tinyEncoder])
    const connecting = connect({ server: network.url })
    manyhands = createManyhands({ network: connecting })
    net = await connecting
  })
  afterAll(async () => {
    await net?.close()
    await network?.close()
  })

  const asked = () => ({ model: manyhands(tinyDecoder), prompt: 'Many hands', maxOutputTokens: 12, maxRetries: 0 })
  const greedy = () => net.generate(tinyDecoder, [{ role: 'user', content: 'Many hands' }], { maxTokens: 12 })

  it('generateText is what the network answers, with usage, finish reason and the session', async () => {
    const result = await generateText(asked())
    const { text, promptTokens } = await greedy()
    expect(result).toMatchObject({ text, finishReason: 'length', warnings: [], usage: { inputTokens: promptTokens, outputTokens: 12 } })
    expect(result.providerMetadata?.['manyhands']).toMatchObject({ session: expect.stringMatching(/^[0-9a-f]{32}$/), corrected: false })
  })

  it('streamText is the same in pieces', async () => {
    const result = streamText(asked())
    const pieces: string[] = []
    for await (const piece of result.textStream) pieces.push(piece)
    expect(pieces.length).toBeGreaterThan(1)
    expect(pieces.join('')).toBe((await greedy()).text)
    expect([await result.finishReason, (await result.usage).outputTokens]).toEqual(['length', 12])
  })

  it('a seed gives the same again, and stop texts and several messages are taken', async () => {
    const sampled = { ...asked(), temperature: 1, topP: 0.9, seed: 3 }
    expect((await generateText(sampled)).text).toBe((await generateText(sampled)).text)
    const { text } = await greedy()
    const stop = text.slice(4, 6)
    expect(await generateText({ ...asked(), stopSequences: [stop] })).toMatchObject({
      text: text.slice(0, text.indexOf(stop)),
      finishReason: 'stop',
    })
    const { prompt: _, ...rest } = asked()
    const messages = [
      { role: 'user' as const, content: 'a' },
      { role: 'assistant' as const, content: 'b' },
      { role: 'user' as const, content: [{ type: 'text' as const, text: 'c' }] },
    ]
    expect((await generateText({ ...rest, system: 'be brief', messages })).usage.outputTokens).toBe(12)
  })

  it('embed and embedMany are the network’s vectors, with their usage', async () => {
    const model = manyhands.embeddingModel(tinyEncoder)
    const values = ['many hands', 'light work']
    const { embeddings, usage } = await embedMany({ model, values })
    const own = await net.embed(tinyEncoder, values)
    expect(embeddings).toEqual(own.embeddings.map((vector) => [...vector]))
    expect(usage.tokens).toBe(own.promptTokens)
    const { embedding } = await embed({ model, value: 'many hands' })
    expect(cosineSimilarity(embedding, embeddings[0] ?? [])).toBeCloseTo(1, 5)
  })

  it('an abort is an abort, before and in the middle', async () => {
    await expect(generateText({ ...asked(), abortSignal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
    const abort = new AbortController()
    const { fullStream } = streamText({ ...asked(), maxOutputTokens: 400, abortSignal: abort.signal })
    const types: string[] = []
    for await (const part of fullStream) {
      types.push(part.type)
      if (part.type === 'text-delta') abort.abort()
    }
    expect(types.at(-1)).toBe('abort')
  })

  it('a model that is not there is said to be none', async () => {
    await expect(generateText({ ...asked(), model: manyhands('no-such') })).rejects.toBeInstanceOf(NoSuchModelError)
    await expect(embed({ model: manyhands.embeddingModel('no-such'), value: 'x', maxRetries: 0 })).rejects.toBeInstanceOf(NoSuchModelError)
    expect(() => manyhands.imageModel('x')).toThrow(NoSuchModelError)
  })

  it('tools, formats and files are refused; settings that only shade an answer are warned of', async () => {
    const tools = { look: tool({ inputSchema: jsonSchema<object>({ type: 'object' }), execute: async () => 'x' }) }
    await expect(generateText({ ...asked(), tools })).rejects.toBeInstanceOf(UnsupportedFunctionalityError)
    const schema = jsonSchema<object>({ type: 'object', properties: {} })
    await expect(generateText({ ...asked(), output: Output.object({ schema }) })).rejects.toBeInstanceOf(UnsupportedFunctionalityError)
    const { prompt: _, ...rest } = asked()
    const image = { type: 'file' as const, data: Uint8Array.of(0x89, 0x50, 0x4e, 0x47), mediaType: 'image/png' }
    await expect(generateText({ ...rest, messages: [{ role: 'user', content: [image] }] })).rejects.toBeInstanceOf(
      UnsupportedFunctionalityError,
    )
    const { warnings } = await generateText({ ...asked(), topK: 5, presencePenalty: 1, frequencyPenalty: 1 })
    expect(warnings?.map((warning) => 'feature' in warning && warning.feature)).toEqual(['topK', 'presencePenalty', 'frequencyPenalty'])
    await expect(generateText({ ...asked(), providerOptions: { manyhands: { speed: 1 } } })).rejects.toThrow("'speed' is no option")
  })
})

describe('where things go wrong', () => {
  function told() {
    const network = new ToldNetwork()
    const manyhands = createManyhands({ network: network.asNetwork })
    return { sessions: network.sessions, asked: { model: manyhands('letters'), prompt: 'hi' } }
  }

  it('what is worth trying again is tried again, when it is told to', async () => {
    const { sessions, asked } = told()
    const answered = generateText({ ...asked, maxRetries: 1 })
    const first = await sessions.session(1)
    first.breakOff(new ManyhandsError('busy', 'All places are taken.', { retryAfterMs: 1 }))
    const second = await sessions.session(2)
    second.say('hello.')
    second.end()
    expect((await answered).text).toBe('hello')
  })

  it('what is not is an error with its status', async () => {
    const { sessions, asked } = told()
    const answered = generateText(asked)
    const session = await sessions.session(1)
    session.breakOff(new ManyhandsError('context-overflow', 'The prompt is too long.'))
    await expect(answered).rejects.toMatchObject({
      constructor: APICallError,
      statusCode: 400,
      isRetryable: false,
      message: 'The prompt is too long.',
    })
  })

  it('an answer found wrong while it streams ends with the error, which has what would have been right', async () => {
    const { sessions, asked } = told()
    const { fullStream } = streamText({ ...asked, onError: () => undefined })
    const parts: { type: string; error?: unknown; finishReason?: string }[] = []
    const read = (async () => {
      for await (const part of fullStream) parts.push(part)
    })()
    const first = await sessions.session(1)
    first.say('help')
    await expect.poll(() => parts.some(({ type }) => type === 'text-delta')).toBe(true)
    sessions.wrong(first)
    const second = await sessions.session(2)
    second.say('hello.')
    second.end()
    await read
    const error = parts.find(({ type }) => type === 'error')?.error
    expect(error).toMatchObject({ data: { error: { code: 'answer_corrected', correction: { from: 3, content: 'hello' } } } })
    expect(parts.at(-1)).toMatchObject({ type: 'finish', finishReason: 'error' })
  })
})
