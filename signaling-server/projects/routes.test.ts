/** Projects over HTTP: who may do what, and what it changes. */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ownedProjectSchema, projectDaysSchema, projectInfoSchema } from '../../protocol/projects.ts'
import { cats, made, site } from '../../testing/projects.ts'
import { startServer, type RunningServer } from '../server.ts'

let data: string
let server: RunningServer
let token: string

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'manyhands-project-routes-'))
  server = await startServer({ data, port: 0, site: data })
  token = (await readFile(join(data, 'operator.token'), 'utf8')).trim()
})
afterAll(async () => {
  await server.close()
  await rm(data, { recursive: true })
})

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown> & { error?: { code: string; message: string } }
}

async function ask(method: string, path: string, key?: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${server.url}/v1/projects${path}`, {
    method,
    headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Answer['body'] }
}

const create = async (change: object = {}) => {
  const { status, body } = await ask('POST', '', token, { name: 'Cats', origins: [site], ...change })
  expect(status).toBe(201)
  return body as unknown as { id: string; key: string; ownerKey: string }
}

describe('the operator’s token', () => {
  it('[PJ1] is for the server’s own user alone', async () => {
    expect((await stat(join(data, 'operator.token'))).mode & 0o777).toBe(0o600)
    expect(token).toMatch(/^mt_[\w-]{43}$/)
  })

  it('[PJ1] makes projects; nothing else does', async () => {
    const { id, key, ownerKey } = await create()
    for (const other of [undefined, key, ownerKey, `${token}x`, token.slice(0, -1), token.replace('mt_', 'mo_')]) {
      const { status, body } = await ask('POST', '', other, { name: 'Cats', origins: [site] })
      expect([status, body.error?.code]).toEqual([403, 'forbidden'])
    }
    const { body } = await ask('GET', '', token)
    expect((body['projects'] as { id: string }[]).map((p) => p.id)).toContain(id)
    expect((await ask('GET', '', ownerKey)).status).toBe(403)
  })
})

describe('a project', () => {
  it('[PJ8] is known by name to everybody, and in full to its owner', async () => {
    const { id, ownerKey } = await create({ audience: 'only' })
    const open = await ask('GET', `/${id}`)
    expect(v.parse(projectInfoSchema, open.body)).toMatchObject({ id, name: 'Cats', audience: 'only', revoked: false })
    const full = await ask('GET', `/${id}`, ownerKey)
    expect(v.parse(ownedProjectSchema, full.body)).toMatchObject({ origins: [site], keys: [{ until: null }] })
    expect(v.parse(projectDaysSchema, (await ask('GET', `/${id}/days`, ownerKey)).body)).toEqual({ days: [] })
    expect(JSON.stringify([open, full])).not.toMatch(/hash/i)
  })

  it('[PJ8] is managed by its owner and the operator, by nobody else', async () => {
    const [one, other] = [await create(), await create()]
    const tries = [
      ['GET', '/days'],
      ['PATCH', '', { name: 'Dogs' }],
      ['POST', '/rotate', {}],
      ['POST', '/revoke', {}],
    ] as const
    for (const [method, path, body] of tries) {
      for (const key of [undefined, one.key, other.ownerKey, made().ownerKey])
        expect((await ask(method, `/${one.id}${path}`, key, body)).status).toBe(403)
    }
    expect((await ask('PATCH', `/${one.id}`, token, { audience: 'only' })).body).toMatchObject({ name: 'Cats', audience: 'only' })
    expect((await ask('PATCH', `/${one.id}`, one.ownerKey, { name: 'Big cats', origins: ['server'] })).body).toMatchObject({
      name: 'Big cats',
      origins: ['server'],
      audience: 'only',
    })
  })

  it('[PJ5] has its keys rotated, and is ended for good', async () => {
    const { id, key, ownerKey } = await create()
    const rotated = (await ask('POST', `/${id}/rotate`, ownerKey)).body['key']
    expect(rotated).toMatch(/^mh_[\w-]{43}$/)
    expect(rotated).not.toBe(key)
    const { keys } = v.parse(ownedProjectSchema, (await ask('GET', `/${id}`, ownerKey)).body)
    expect(keys).toEqual([{ until: null }, { until: expect.any(Number) as number }])
    await ask('POST', `/${id}/rotate`, ownerKey, { now: true })
    expect(v.parse(ownedProjectSchema, (await ask('GET', `/${id}`, ownerKey)).body).keys).toEqual([{ until: null }])
    const owner = (await ask('POST', `/${id}/rotate`, ownerKey, { of: 'ownerKey' })).body['ownerKey'] as string
    expect((await ask('GET', `/${id}`, ownerKey)).status).toBe(403)
    expect((await ask('POST', `/${id}/revoke`, owner)).body).toMatchObject({ revoked: true, keys: [] })
    expect((await ask('POST', `/${id}/rotate`, owner)).body.error?.message).toContain('has ended')
    expect((await ask('GET', `/${id}`)).body).toMatchObject({ revoked: true })
  })
})

describe('a request that makes no sense', () => {
  it.each([
    ['no JSON', 'PATCH', '{"name":', 400],
    ['no name', 'PATCH', { name: '' }, 400],
    ['a wildcard', 'PATCH', { origins: ['*'] }, 400],
    ['another audience', 'PATCH', { audience: 'everybody' }, 400],
    ['what is not the owner’s to say', 'PATCH', { revoked: false }, 400],
    ['too much', 'PATCH', { name: 'x'.repeat(20_000) }, 400],
    ['no such thing to do', 'POST', {}, 404],
    ['another method', 'DELETE', {}, 405],
  ])('and has %s changes nothing', async (_, method, body, status) => {
    const { id, ownerKey } = await create()
    expect((await ask(method, `/${id}`, ownerKey, body)).status).toBe(status)
    expect((await ask('GET', `/${id}`)).body).toMatchObject({ name: 'Cats', audience: 'first', revoked: false })
  })

  it('is told which project there is not', async () => {
    expect((await ask('GET', `/${cats}`)).status).toBe(404)
    expect((await ask('GET', '/cats')).status).toBe(400)
    expect((await ask('GET', `/${(await create()).id}/days?days=1000`, token)).status).toBe(400)
  })

  it('[PJ8] has a key in its address', async () => {
    const { id, ownerKey } = await create()
    const { status, body } = await ask('GET', `/${id}?key=${ownerKey}`)
    expect(status).toBe(400)
    expect(body.error?.message).toContain('rotate this one')
    expect(JSON.stringify(body)).not.toContain(ownerKey)
  })
})

describe('other sites’ pages', () => {
  it('[PJ8] may ask, with a key that they have: nothing goes along by itself', async () => {
    const { id } = await create()
    const preflight = await fetch(`${server.url}/v1/projects/${id}`, {
      method: 'OPTIONS',
      headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'PATCH' },
    })
    expect(Object.fromEntries(preflight.headers)).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': expect.stringContaining('PATCH') as string,
      'access-control-allow-headers': 'authorization, content-type',
    })
    expect(preflight.headers.get('access-control-allow-credentials')).toBeNull()
    const { headers } = await ask('GET', `/${id}`)
    expect(headers.get('cache-control')).toBe('no-store')
    expect((await fetch(`${server.url}/v1/models`, { method: 'POST' })).status).toBe(405)
  })
})

it('[PJ8] one network that asks too much is told when to come again', async () => {
  const { id } = await create()
  let last: Answer | undefined
  for (let i = 0; i < 400 && last?.status !== 429; i++) last = await ask('GET', `/${id}`)
  expect(last).toMatchObject({ status: 429, body: { error: { code: 'rate-limited' } } })
  expect(Number(last?.headers.get('retry-after'))).toBeGreaterThan(0)
})
