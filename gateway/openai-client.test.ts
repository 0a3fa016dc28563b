/** OpenAI's own client, as programs use it, over a real network: handed `net.fetch`, and over HTTP by the gateway. */
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ManyhandsError } from '../protocol/errors.ts'
import { startGatewayNetwork, type GatewayNetwork } from '../testing/gateway-network.ts'
import { tinyDecoder, tinyEncoder } from '../testing/tiny-network.ts'
import { ToldNetwork } from '../testing/told-network.ts'

let network: GatewayNetwork
beforeAll(async () => {
  network = await startGatewayNetwork()
})
afterAll(() => network?.close())

const messages = [{ role: 'user' as const, content: 'Many hands' }]
const asked = { model: tinyDecoder, messages, max_tokens: 12, temperature: 0 }
const greedy = async () => (await network.net.generate(tinyDecoder, messages, { maxTokens: 12 })).text

describe.each([
  ['net.fetch', () => new OpenAI({ fetch: network.net.fetch, baseURL: 'https://nowhere.invalid/v1', apiKey: 'unused', maxRetries: 0 })],
  ['the gateway', () => new OpenAI({ baseURL: network.baseUrl, apiKey: network.key, maxRetries: 0 })],
])('by %s', (way, client) => {
  it('a chat completion is what the network answers, with usage, finish reason and request id', async () => {
    const { data, request_id: id } = await client().chat.completions.create(asked).withResponse()
    expect(data.choices[0]?.message.content).toBe(await greedy())
    expect(data.choices[0]?.finish_reason).toBe('length')
    expect(data.usage).toMatchObject({ completion_tokens: 12, total_tokens: (data.usage?.prompt_tokens ?? 0) + 12 })
    expect(id).toMatch(/^req_/)
  })

  it('a stream is the same in pieces, and its end says what was used', async () => {
    const stream = await client().chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })
    const pieces: string[] = []
    let usage: OpenAI.CompletionUsage | null | undefined
    let finish: string | null | undefined
    for await (const chunk of stream) {
      pieces.push(chunk.choices[0]?.delta.content ?? '')
      finish = chunk.choices[0]?.finish_reason ?? finish
      usage = chunk.usage ?? usage
    }
    expect([pieces.join(''), finish, usage?.completion_tokens]).toEqual([await greedy(), 'length', 12])
  })

  it('the client’s own helper puts a stream together', async () => {
    const whole = await client()
      .chat.completions.stream({ ...asked, logprobs: true, top_logprobs: 2 })
      .finalChatCompletion()
    expect(whole.choices[0]?.message.content).toBe(await greedy())
    expect(whole.choices[0]?.logprobs?.content?.length).toBeGreaterThan(0)
  })

  it('a seed gives the same answer again, and n answers differ', async () => {
    const sampled = { ...asked, temperature: 1, seed: 7, n: 3 }
    const texts = async () =>
      (await client().chat.completions.create(sampled)).choices.map(({ index, message }) => `${index} ${message.content}`)
    const first = await texts()
    expect(await texts()).toEqual(first)
    expect(new Set(first.map((text) => text.slice(2))).size).toBe(3)
  })

  it('n answers stream side by side', async () => {
    const stream = await client().chat.completions.create({ ...asked, n: 2, stream: true })
    const texts = ['', '']
    for await (const { choices } of stream) for (const { index, delta } of choices) texts[index] += delta.content ?? ''
    expect(texts).toEqual([await greedy(), await greedy()])
  })

  it('a stop text ends the answer before it', async () => {
    const whole = await greedy()
    const stop = whole.slice(4, 6)
    const { choices } = await client().chat.completions.create({ ...asked, stop })
    expect(choices[0]).toMatchObject({ message: { content: whole.slice(0, whole.indexOf(stop)) }, finish_reason: 'stop' })
  })

  it('logprobs are of the tokens that the text is made of, and the greedy one is the likeliest', async () => {
    const { choices } = await client().chat.completions.create({ ...asked, logprobs: true, top_logprobs: 3 })
    const content = choices[0]?.logprobs?.content ?? []
    expect(Buffer.concat(content.map(({ bytes }) => Uint8Array.from(bytes ?? []))).toString()).toBe(await greedy())
    for (const { token, logprob, top_logprobs: top } of content) {
      expect(top).toHaveLength(3)
      expect(top[0]).toMatchObject({ token, logprob })
      expect(top.map((one) => one.logprob)).toEqual(top.map((one) => one.logprob).toSorted((a, b) => b - a))
      expect(top.reduce((sum, one) => sum + Math.exp(one.logprob), 0)).toBeLessThan(1)
    }
  })

  it('completions continue a text, several at once, with logprobs in columns', async () => {
    const prompt = ['Many hands', 'make light']
    const { choices } = await client().completions.create({ model: tinyDecoder, prompt, max_tokens: 6, temperature: 0, logprobs: 2 })
    const alone = await Promise.all(prompt.map((text) => network.net.generate(tinyDecoder, text, { maxTokens: 6 })))
    expect(choices.map(({ text }) => text)).toEqual(alone.map(({ text }) => text))
    expect(choices[0]?.logprobs?.token_logprobs).toHaveLength(choices[0]?.logprobs?.tokens?.length ?? -1)
    const stream = await client().completions.create({
      model: tinyDecoder,
      prompt: 'Many hands',
      max_tokens: 6,
      temperature: 0,
      stream: true,
    })
    let text = ''
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? ''
    expect(text).toBe(choices[0]?.text)
  })

  it('embeddings are the network’s, whether the client asks for numbers or for base64', async () => {
    const input = ['many hands', 'light work']
    const { embeddings } = await network.net.embed(tinyEncoder, input)
    // Without a format it asks for base64 and decodes it.
    const decoded = await client().embeddings.create({ model: tinyEncoder, input })
    const numbers = await client().embeddings.create({ model: tinyEncoder, input, encoding_format: 'float' })
    for (const [i, vector] of embeddings.entries()) {
      expect(numbers.data[i]?.embedding).toEqual([...vector])
      expect(decoded.data[i]?.embedding).toEqual([...vector])
    }
    expect(decoded.usage.prompt_tokens).toBeGreaterThan(4)
  })

  it('models are listed and found', async () => {
    const names: string[] = []
    for await (const model of client().models.list()) names.push(model.id)
    expect(names.toSorted()).toEqual([tinyEncoder, tinyDecoder].toSorted())
    expect(await client().models.retrieve(tinyDecoder)).toMatchObject({ id: tinyDecoder, object: 'model' })
  })

  it('errors are the client’s own kinds', async () => {
    const create = (change: object) => client().chat.completions.create({ ...asked, ...change })
    await expect(create({ model: 'no-such' })).rejects.toMatchObject({
      constructor: OpenAI.NotFoundError,
      code: 'model_not_found',
      param: 'model',
    })
    const tools = [{ type: 'function', function: { name: 'f' } }]
    await expect(create({ tools })).rejects.toMatchObject({
      constructor: OpenAI.BadRequestError,
      param: 'tools',
      code: 'unsupported_parameter',
    })
    await expect(create({ response_format: { type: 'json_object' } })).rejects.toMatchObject({ param: 'response_format' })
    await expect(create({ messages: [{ role: 'user', content: 'many '.repeat(600) }] })).rejects.toMatchObject({
      code: 'context_length_exceeded',
    })
    await expect(client().embeddings.create({ model: tinyDecoder, input: 'x' })).rejects.toBeInstanceOf(OpenAI.BadRequestError)
    await expect(create({ messages: [] })).rejects.toMatchObject({ requestID: expect.stringMatching(/^req_/) })
  })

  it('an abort is the client’s own error, and leaving a stream stops the answer', async () => {
    const abort = new AbortController()
    const whole = client().chat.completions.create({ ...asked, max_tokens: 400 }, { signal: abort.signal })
    abort.abort()
    await expect(whole).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
    const stream = await client().chat.completions.create({ ...asked, max_tokens: 400, stream: true })
    for await (const _ of stream) break
    if (way === 'the gateway') await expect.poll(() => network.log.at(-1)).toMatch(/ann POST .* 200 cut off/)
  })
})

it('another key is the client’s authentication error', async () => {
  const client = new OpenAI({ baseURL: network.baseUrl, apiKey: 'mg_other', maxRetries: 0 })
  await expect(client.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError)
})

it('an answer that is found wrong while it streams is the client’s error, in the middle of its loop', async () => {
  const told = new ToldNetwork()
  const client = new OpenAI({ fetch: told.api, baseURL: 'https://nowhere.invalid/v1', apiKey: 'unused' })
  const streaming = client.chat.completions.create({ ...asked, stream: true })
  const first = await told.sessions.session(1)
  first.say('help')
  let text = ''
  const read = (async () => {
    for await (const { choices } of await streaming) text += choices[0]?.delta.content ?? ''
  })()
  read.catch(() => undefined)
  await expect.poll(() => text).toBe('help')
  told.sessions.wrong(first)
  const second = await told.sessions.session(2)
  second.say('hello.')
  second.end()
  const correction = { index: 0, from: 3, content: 'hello' }
  await expect(read).rejects.toMatchObject({ constructor: OpenAI.APIError, code: 'answer_corrected', error: { correction } })
})

it('what the client tries again by itself is tried again', async () => {
  const told = new ToldNetwork()
  const client = new OpenAI({ fetch: told.api, baseURL: 'https://nowhere.invalid/v1', apiKey: 'unused', maxRetries: 1 })
  const answered = client.chat.completions.create(asked)
  const first = await told.sessions.session(1)
  first.breakOff(new ManyhandsError('busy', 'All places are taken.', { retryAfterMs: 1 }))
  const second = await told.sessions.session(2)
  second.say('hello.')
  second.end()
  expect((await answered).choices[0]?.message.content).toBe('hello')
})
