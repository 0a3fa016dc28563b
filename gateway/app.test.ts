import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ToldNetwork } from '../testing/told-network.ts'
import { gateway, type GatewayPorts } from './app.ts'
import { parseKeys } from './keys.ts'
import { RequestLimits } from './limits.ts'

const keys = parseKeys(`ann ${createHash('sha256').update('mg_ann').digest('hex')}`)
const chat = { model: 'letters', messages: [{ role: 'user', content: 'hi' }] }

function start(change: Partial<GatewayPorts> = {}) {
  const told = new ToldNetwork()
  const log: string[] = []
  const closing = new AbortController()
  const limits = new RequestLimits({ perMinute: 60, atOnce: 2 })
  const app = gateway({
    network: { fetch: told.api, state: 'ready' },
    keys,
    limits,
    perMinute: 60,
    timeoutMs: 60_000,
    allowedOrigins: [],
    closing: closing.signal,
    draining: () => false,
    log: (line) => log.push(line),
    now: () => performance.now(),
    ...change,
  })
  const ask = (body: object, headers: Record<string, string> = {}, init: RequestInit = {}) => {
    const all = { authorization: 'Bearer mg_ann', 'content-type': 'application/json', ...headers }
    return Promise.resolve(
      app.fetch(new Request('http://127.0.0.1/v1/chat/completions', { method: 'POST', headers: all, body: JSON.stringify(body), ...init })),
    )
  }
  return { app, ask, log, closing, sessions: told.sessions, network: told }
}

const codeOf = async (response: Response) => [response.status, ((await response.json()) as { error: { code: string } }).error.code]

describe('who may ask', () => {
  it('has a key; others are told to bring one, and asked nobody', async () => {
    const { ask, network } = start()
    for (const authorization of ['', 'Bearer mg_bob', 'Bearer '])
      expect(await codeOf(await ask(chat, { authorization }))).toEqual([401, 'invalid_api_key'])
    expect(network.told).toEqual([])
  })

  it('is anyone where there are no keys, but no page of another site', async () => {
    const { ask } = start({ keys: undefined })
    expect(await codeOf(await ask(chat, { origin: 'https://evil.example' }))).toEqual([403, 'origin_not_allowed'])
    expect(await codeOf(await ask(chat, { 'content-type': 'text/plain' }))).toEqual([415, 'unsupported_media_type'])
  })

  it('is a page of a site that is allowed, which is told so', async () => {
    const { ask, app, sessions } = start({ allowedOrigins: ['https://app.example'] })
    const asked = ask(chat, { origin: 'https://app.example' })
    const session = await sessions.session(1)
    session.say('hi.')
    session.end()
    expect((await asked).headers.get('access-control-allow-origin')).toBe('https://app.example')
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    const answer = await app.fetch(new Request('http://127.0.0.1/v1/chat/completions', { method: 'OPTIONS', headers: preflight }))
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://app.example')
    const other = await app.fetch(
      new Request('http://127.0.0.1/v1/models', { method: 'OPTIONS', headers: { ...preflight, origin: 'https://evil.example' } }),
    )
    expect(other.headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('a key’s limits', () => {
  it('are told with every answer, and past them when to come again', async () => {
    const { ask, sessions } = start({ limits: new RequestLimits({ perMinute: 1, atOnce: 2 }), perMinute: 1 })
    const asked = ask(chat)
    const session = await sessions.session(1)
    session.say('hi.')
    session.end()
    const { headers } = await asked
    expect([headers.get('x-ratelimit-limit-requests'), headers.get('x-ratelimit-remaining-requests')]).toEqual(['1', '0'])
    const second = await ask(chat)
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await codeOf(second)).toEqual([429, 'rate_limit_exceeded'])
  })

  it('count a stream until its last byte has gone', async () => {
    const { ask, app, sessions } = start({ limits: new RequestLimits({ perMinute: 60, atOnce: 1 }) })
    const asked = ask({ ...chat, stream: true })
    const session = await sessions.session(1)
    session.say('hi.')
    const response = await asked
    expect([app.underWay(), (await ask(chat)).status]).toEqual([1, 429])
    session.end()
    await response.text()
    expect(app.underWay()).toBe(0)
  })
})

describe('an answer', () => {
  it('that takes too long ends with a sentence, streamed or not, and stops the volunteers', async () => {
    const { ask, sessions } = start({ timeoutMs: 20 })
    expect(await codeOf(await ask(chat))).toEqual([504, 'timeout'])
    const asked = ask({ ...chat, stream: true })
    const session = await sessions.session(2)
    session.say('he')
    const text = await (await asked).text()
    expect(JSON.parse(text.trim().split('\n\n').at(-1)?.slice(6) ?? '')).toMatchObject({ error: { code: 'timeout' } })
    expect(session.failed?.code).toBe('aborted')
  })

  it('that nobody waits for any more stops the volunteers, and is no longer under way', async () => {
    const { ask, app, sessions, log } = start()
    const leave = new AbortController()
    const asked = ask({ ...chat, stream: true }, {}, { signal: leave.signal })
    const session = await sessions.session(1)
    session.say('he')
    await (await asked).body?.cancel()
    await expect.poll(() => session.failed?.code).toBe('aborted')
    expect([app.underWay(), log.at(-1)]).toEqual([0, expect.stringMatching(/^ann POST \/v1\/chat\/completions 200 cut off \d+ ms$/)])
  })

  it('that nobody waits for before it begins is logged as that', async () => {
    const { ask, app, sessions, log } = start()
    const leave = new AbortController()
    const asked = ask(chat, {}, { signal: leave.signal })
    const session = await sessions.session(1)
    leave.abort()
    await asked
    expect([session.failed?.code, app.underWay(), log.at(-1)]).toEqual(['aborted', 0, expect.stringContaining(' 499 ')])
  })

  it('under way when the gateway closes is ended', async () => {
    const { ask, sessions, closing } = start()
    const asked = ask({ ...chat, stream: true })
    const session = await sessions.session(1)
    session.say('he')
    const text = (await asked).text()
    closing.abort()
    await expect(text).rejects.toThrow('gone')
    expect(session.failed?.code).toBe('aborted')
  })
})

it('its health is that of its connection, without a key; while it stops it takes nothing new', async () => {
  const { app } = start()
  const healthy = await app.fetch(new Request('http://127.0.0.1/health'))
  expect([healthy.status, await healthy.json()]).toEqual([200, { status: 'ok', network: 'ready' }])
  const { app: stopping, ask } = start({ draining: () => true })
  expect((await stopping.fetch(new Request('http://127.0.0.1/health'))).status).toBe(503)
  expect(await codeOf(await ask(chat))).toEqual([503, 'closed'])
})

it('elsewhere is nothing', async () => {
  const { app } = start()
  expect(await codeOf(await app.fetch(new Request('http://127.0.0.1/')))).toEqual([404, 'unknown_url'])
})
