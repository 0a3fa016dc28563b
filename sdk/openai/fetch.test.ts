import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import { eventsOf, ToldNetwork } from '../../testing/told-network.ts'
import type { Network } from '../types.ts'
import { openaiFetch } from './fetch.ts'
import { maxRequestBytes } from './request-json.ts'

const messages = [{ role: 'user', content: 'hi' }]
const chat = { model: 'letters', messages }

/** Asks, and says this as the first session's answer. */
async function answered(body: object, letters = 'hello.', path = 'chat/completions') {
  const network = new ToldNetwork()
  const response = network.fetch(path, body)
  const session = await network.sessions.session(1)
  session.say(letters)
  session.end()
  return { network, response: await response }
}

const refusal = async (body: unknown, path = 'chat/completions') => {
  const response = await new ToldNetwork().fetch(path, body)
  return { status: response.status, ...((await response.json()) as { error: { message: string; param: string | null } }) }
}

describe('a chat completion', () => {
  it('is OpenAI’s, with what was used and a request id', async () => {
    const { response } = await answered(chat)
    expect(response.headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/)
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'letters',
      system_fingerprint: expect.stringMatching(/^mh_[0-9a-f]{16}$/),
      choices: [{ index: 0, message: { role: 'assistant', content: 'hello', refusal: null }, logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 2, completion_tokens: 6, total_tokens: 8 },
    })
  })

  it('streams: the role, the text, why it ended, what was used, and [DONE]', async () => {
    const { response } = await answered({ ...chat, stream: true, stream_options: { include_usage: true } })
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const text = await response.clone().text()
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
    const chunks = (await eventsOf(response)) as { choices: { delta: { content?: string }; finish_reason: string | null }[] }[]
    expect(chunks[0]).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [{ delta: { role: 'assistant', content: '' } }],
      usage: null,
    })
    expect(chunks.map((c) => c.choices[0]?.delta.content ?? '').join('')).toBe('hello')
    expect(chunks.at(-2)).toMatchObject({ choices: [{ delta: {}, finish_reason: 'stop' }], usage: null })
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 2, completion_tokens: 6, total_tokens: 8 } })
    expect(new Set(chunks.map((c) => (c as unknown as { id: string }).id)).size).toBe(1)
  })

  it('passes on how it is asked, with OpenAI’s defaults', async () => {
    const { network } = await answered({ ...chat, top_p: 0.5, seed: -1, max_completion_tokens: 9, stop: 'x' })
    expect(network.told[0]?.options).toMatchObject({ temperature: 1, topP: 0.5, seed: 2 ** 32 - 1, maxTokens: 9, stop: ['x'] })
  })

  it('takes text in parts, and a developer’s message as the system’s', async () => {
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ]
    const { network } = await answered({
      ...chat,
      messages: [
        { role: 'developer', content: 'be brief' },
        { role: 'user', content: parts },
      ],
    })
    expect(network.told[0]?.input).toEqual([
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'ab' },
    ])
  })

  it('n answers are n generations with seeds of their own, merged by index in a stream', async () => {
    const network = new ToldNetwork()
    const response = network.fetch('chat/completions', { ...chat, n: 2, seed: 5, stream: true })
    const [first, second] = [await network.sessions.session(1), await network.sessions.session(2)]
    first.say('a')
    second.say('x')
    first.say('b.')
    second.say('y.')
    first.end()
    second.end()
    const chunks = (await eventsOf(await response)) as { choices: { index: number; delta: { content?: string } }[] }[]
    const text = (index: number) =>
      chunks.flatMap((c) => c.choices.filter((choice) => choice.index === index).map((choice) => choice.delta.content ?? ''))
    expect([text(0).join(''), text(1).join('')]).toEqual(['ab', 'xy'])
    const seeds = network.told.map(({ options }) => options.seed)
    expect(seeds[0]).toBe(5)
    expect(seeds[1]).not.toBe(5)
  })

  it('n answers of which one fails are an error, and the others are stopped', async () => {
    const network = new ToldNetwork()
    const response = network.fetch('chat/completions', { ...chat, n: 2 })
    const [first, second] = [await network.sessions.session(1), await network.sessions.session(2)]
    first.breakOff(new ManyhandsError('no-volunteers', 'Nobody is there.', { retryAfterMs: 1500 }))
    const { status, headers } = await response
    expect([status, headers.get('retry-after'), headers.get('retry-after-ms')]).toEqual([503, '2', '1500'])
    expect(second.failed?.code).toBe('aborted')
  })
})

describe('logprobs', () => {
  const odds = {
    logprob: -0.5,
    top: [
      [1, -0.5],
      [2, -1.5],
    ] as [number, number][],
  }

  it('of a chat list tokens with their bytes, and the likeliest in their place', async () => {
    const network = new ToldNetwork()
    const response = network.fetch('chat/completions', { ...chat, logprobs: true, top_logprobs: 2 })
    const session = await network.sessions.session(1)
    session.say('a.', odds)
    session.end()
    const body = (await (await response).json()) as { choices: { logprobs: unknown }[] }
    const a = { token: 'a', bytes: [97], logprob: -0.5 }
    const top = [a, { token: 'b', bytes: [98], logprob: -1.5 }]
    expect(body.choices[0]?.logprobs).toEqual({ content: [{ ...a, top_logprobs: top }], refusal: null })
    expect(network.told[0]?.options.logprobs).toBe(2)
  })

  it('of a stream come with the text that they are of', async () => {
    const network = new ToldNetwork()
    const response = network.fetch('chat/completions', { ...chat, logprobs: true, stream: true })
    const session = await network.sessions.session(1)
    session.say('ab.', { ...odds, top: [] })
    session.end()
    const chunks = (await eventsOf(await response)) as {
      choices: { delta: { content?: string }; logprobs: { content: { token: string }[] } | null }[]
    }[]
    const told = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content.map(({ token }) => token) ?? [])
    expect(told).toEqual(['a', 'b'])
  })

  it('of a completion are in columns, with each token’s place in the text', async () => {
    const network = new ToldNetwork()
    const response = network.fetch('completions', { model: 'letters', prompt: 'x', logprobs: 2 })
    const session = await network.sessions.session(1)
    session.say('ab.', odds)
    session.end()
    const body = (await (await response).json()) as { choices: { logprobs: unknown }[] }
    expect(body.choices[0]?.logprobs).toEqual({
      tokens: ['a', 'b'],
      token_logprobs: [-0.5, -0.5],
      top_logprobs: [
        { a: -0.5, b: -1.5 },
        { a: -0.5, b: -1.5 },
      ],
      text_offset: [0, 1],
    })
  })
})

describe('an answer found wrong', () => {
  it('while it streams ends the stream with an error that has what would have been right', async () => {
    const network = new ToldNetwork()
    const asked = network.fetch('chat/completions', { ...chat, stream: true })
    const first = await network.sessions.session(1)
    first.say('help')
    const response = await asked
    network.sessions.wrong(first)
    const second = await network.sessions.session(2)
    second.say('hello.')
    second.end()
    const text = await response.text()
    expect(text).not.toContain('[DONE]')
    const last = JSON.parse(text.trim().split('\n\n').at(-1)?.slice('data: '.length) ?? '') as unknown
    expect(last).toMatchObject({
      error: { code: 'answer_corrected', type: 'server_error', correction: { index: 0, from: 3, content: 'hello' } },
    })
  })

  it('while it streams, and the same when asked again, streams on', async () => {
    const network = new ToldNetwork()
    const asked = network.fetch('chat/completions', { ...chat, stream: true })
    const first = await network.sessions.session(1)
    first.say('hel')
    const response = await asked
    network.sessions.wrong(first)
    const second = await network.sessions.session(2)
    second.say('hello.')
    second.end()
    const chunks = (await eventsOf(response)) as { choices: { delta: { content?: string } }[] }[]
    expect(chunks.map((c) => c.choices[0]?.delta.content ?? '').join('')).toBe('hello')
  })

  it('before it is given out is only asked again', async () => {
    const network = new ToldNetwork()
    const asked = network.fetch('chat/completions', chat)
    const first = await network.sessions.session(1)
    first.say('help')
    network.sessions.wrong(first)
    const second = await network.sessions.session(2)
    second.say('hello.')
    second.end()
    expect(await (await asked).json()).toMatchObject({ choices: [{ message: { content: 'hello' } }] })
  })

  it('that breaks off while it streams ends the stream with an error, without [DONE]', async () => {
    const network = new ToldNetwork()
    const asked = network.fetch('chat/completions', { ...chat, stream: true })
    const session = await network.sessions.session(1)
    session.say('he')
    const response = await asked
    session.breakOff()
    const text = await response.text()
    expect(text).toContain('"code":"peer_lost"')
    expect(text).not.toContain('[DONE]')
  })
})

describe('stopping', () => {
  it('by the signal before there is an answer rejects with its reason, and stops the volunteers', async () => {
    const network = new ToldNetwork()
    const abort = new AbortController()
    const asked = network.fetch('chat/completions', chat, { signal: abort.signal })
    const session = await network.sessions.session(1)
    const reason = new Error('not wanted')
    abort.abort(reason)
    await expect(asked).rejects.toBe(reason)
    expect(session.failed?.code).toBe('aborted')
  })

  it('by the signal in the middle of a stream breaks its body off', async () => {
    const network = new ToldNetwork()
    const abort = new AbortController()
    const asked = network.fetch('chat/completions', { ...chat, stream: true }, { signal: abort.signal })
    const session = await network.sessions.session(1)
    session.say('he')
    const response = await asked
    const text = response.text()
    abort.abort()
    await expect(text).rejects.toMatchObject({ name: 'AbortError' })
    expect(session.failed?.code).toBe('aborted')
  })

  it('by cancelling the body stops the volunteers too', async () => {
    const network = new ToldNetwork()
    const asked = network.fetch('chat/completions', { ...chat, stream: true })
    const session = await network.sessions.session(1)
    session.say('he')
    await (await asked).body?.cancel()
    await expect.poll(() => session.failed?.code).toBe('aborted')
  })

  it('before it begins asks nobody', async () => {
    const network = new ToldNetwork()
    await expect(network.fetch('chat/completions', chat, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
    expect(network.told).toEqual([])
  })
})

describe('what can’t be kept is refused, by its name', () => {
  const tool = { type: 'function', function: { name: 'f' } }
  const image = { type: 'image_url', image_url: { url: 'data:,' } }
  it.each([
    [{ tools: [tool] }, 'tools'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ functions: [{ name: 'f' }] }, 'functions'],
    [{ response_format: { type: 'json_object' } }, 'response_format'],
    [{ response_format: { type: 'json_schema', json_schema: {} } }, 'response_format'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ audio: {} }, 'audio'],
    [{ logit_bias: { 5: 1 } }, 'logit_bias'],
    [{ frequency_penalty: 0.1 }, 'frequency_penalty'],
    [{ presence_penalty: -1 }, 'presence_penalty'],
    [{ store: true }, 'store'],
    [{ reasoning_effort: 'high' }, 'reasoning_effort'],
    [{ web_search_options: {} }, 'web_search_options'],
    [{ top_k: 40 }, 'top_k'],
    [{ n: 9 }, 'n'],
    [{ temperature: 3 }, 'temperature'],
    [{ temperature: '1' }, 'temperature'],
    [{ top_p: 2 }, 'top_p'],
    [{ seed: 0.5 }, 'seed'],
    [{ stop: [5] }, 'stop'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 1, max_completion_tokens: 2 }, 'max_tokens'],
    [{ top_logprobs: 2 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ stream: true, stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: [image] }] }, 'messages[0].content[0].type'],
    [{ messages: [{ role: 'user', content: 'x', name: 'Ann' }] }, 'messages[0].name'],
    [{ messages: [{ role: 'assistant', content: 'x', tool_calls: [tool] }] }, 'messages[0].tool_calls'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ model: undefined }, 'model'],
  ])('%j of a chat', async (change, param) => {
    const { status, error } = await refusal({ ...chat, ...change })
    expect(status).toBe(400)
    expect(error).toMatchObject({ type: 'invalid_request_error', param })
    expect(error.message).toContain(`'${param}'`)
  })

  it.each([
    [{ suffix: 'x' }, 'suffix'],
    [{ best_of: 3 }, 'best_of'],
    [{ logprobs: 6 }, 'logprobs'],
    [{ echo: true, logprobs: 1 }, 'echo'],
    [{ prompt: [1, 2] }, 'prompt'],
    [{ prompt: ['a', 'b', 'c'], n: 3 }, 'prompt'],
    [{ messages }, 'messages'],
  ])('%j of a completion', async (change, param) => {
    const { status, error } = await refusal({ model: 'letters', prompt: 'x', ...change }, 'completions')
    expect([status, error.param]).toEqual([400, param])
  })

  it.each([
    [{ input: [1, 2] }, 'input'],
    [{ input: '' }, 'input'],
    [{ input: [] }, 'input'],
    [{ encoding_format: 'hex' }, 'encoding_format'],
    [{ surprise: 1 }, 'surprise'],
  ])('%j of embeddings', async (change, param) => {
    const { status, error } = await refusal({ model: 'letters', input: 'x', ...change }, 'embeddings')
    expect([status, error.param]).toEqual([400, param])
  })

  it('but what asks for nothing is taken', async () => {
    const nothing = {
      tools: [],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      modalities: ['text'],
      logit_bias: {},
      frequency_penalty: 0,
      presence_penalty: null,
      store: false,
      user: 'u',
      metadata: { a: 'b' },
      service_tier: 'auto',
      logprobs: false,
      seed: null,
      stream: null,
    }
    expect((await answered({ ...chat, ...nothing })).response.status).toBe(200)
  })
})

describe('a completion', () => {
  it('continues each prompt n times, and echoes where it is asked to', async () => {
    const network = new ToldNetwork()
    const response = network.fetch('completions', { model: 'letters', prompt: ['p', 'q'], n: 2, echo: true, seed: 1 })
    for (const [i, letters] of ['a', 'b', 'c', 'd'].entries()) {
      const session = await network.sessions.session(i + 1)
      session.say(`${letters}.`)
      session.end()
    }
    expect(await (await response).json()).toMatchObject({
      object: 'text_completion',
      choices: ['pa', 'pb', 'qc', 'qd'].map((text, index) => ({ index, text, finish_reason: 'stop' })),
      usage: { prompt_tokens: 4, completion_tokens: 8 },
    })
    expect(network.told.map(({ options }) => options.seed)).toEqual([1, expect.any(Number), 1, expect.any(Number)])
    expect(network.told[0]?.options.maxTokens).toBe(16)
  })

  it('streams, and echoes its prompt once', async () => {
    const { response } = await answered({ model: 'letters', prompt: 'p', echo: true, stream: true }, 'ab.', 'completions')
    const chunks = (await eventsOf(response)) as { choices: { text: string }[] }[]
    expect(chunks.map((c) => c.choices[0]?.text).join('')).toBe('pab')
  })
})

describe('a request', () => {
  it('that is not JSON, too large, elsewhere, or by another method says so', async () => {
    const network = new ToldNetwork()
    const told = async (asked: Promise<Response>) => {
      const response = await asked
      return [response.status, ((await response.json()) as { error: { code: string | null } }).error.code]
    }
    expect(await told(network.fetch('chat/completions', 0, { body: '{' }))).toEqual([400, null])
    expect(await told(network.fetch('chat/completions', 0, { body: '7' }))).toEqual([400, null])
    expect(await told(network.fetch('chat/completions', 0, { body: ' '.repeat(maxRequestBytes + 1) }))).toEqual([413, 'request_too_large'])
    expect(await told(network.fetch('responses', {}))).toEqual([404, 'unknown_url'])
    expect(await told(network.fetch('models', {}))).toEqual([405, 'method_not_allowed'])
    expect(await told(network.fetch('chat/completions', 0, { method: 'GET', body: null }))).toEqual([405, 'method_not_allowed'])
  })

  it('of a model that is not there is answered as OpenAI does', async () => {
    const network = {
      models: async () => [],
      generate: () => Promise.reject(new ManyhandsError('unknown-model', 'This server has no model.')),
    } as unknown as Network
    const response = await openaiFetch(network, 'https://any.example/models/x')
    expect([response.status, await response.json()]).toEqual([
      404,
      { error: { message: "This server has no model 'x'.", type: 'invalid_request_error', param: 'model', code: 'model_not_found' } },
    ])
  })
})

it('embeddings come as numbers, or as base64 of the same; other dimensions are refused', async () => {
  const vectors = [Float32Array.of(0.5, -1), Float32Array.of(0.25, 2)]
  const network = { embed: async () => ({ embeddings: vectors, promptTokens: 7 }) } as unknown as Network
  const ask = async (more: object) => {
    const body = JSON.stringify({ model: 'm', input: ['a', 'b'], ...more })
    return (await openaiFetch(network, 'https://any.example/v1/embeddings', { method: 'POST', body })).json() as Promise<unknown>
  }
  const data = (embeddings: unknown[]) => embeddings.map((embedding, index) => ({ object: 'embedding', index, embedding }))
  const usage = { prompt_tokens: 7, total_tokens: 7 }
  expect(await ask({})).toEqual({
    object: 'list',
    model: 'm',
    usage,
    data: data([
      [0.5, -1],
      [0.25, 2],
    ]),
  })
  const base64 = vectors.map((v) => Buffer.from(v.buffer).toString('base64'))
  expect(await ask({ encoding_format: 'base64', dimensions: 2 })).toEqual({ object: 'list', model: 'm', usage, data: data(base64) })
  expect(await ask({ dimensions: 3 })).toMatchObject({ error: { param: 'dimensions' } })
})
