import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Hash } from '../protocol/ids.ts'
import type { NetworkOverview, WorkDay } from '../protocol/overview.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { WellKnown } from '../protocol/server-messages.ts'
import { createApp, type HttpDeps } from './http.ts'

const bytes = randomBytes(300_000)
const hash = createHash('sha256').update(bytes).digest('hex') as Hash
const session = 'ab'.repeat(16)
const ortDir = 'node_modules/onnxruntime-web/dist'
const wellKnown: WellKnown = {
  v: 1,
  serverKey: hash,
  pastKeys: [],
  socket: '/v1/socket',
  broker: '/',
  blobs: '/blobs/',
  manifests: '/manifests/',
  engine: '/ort/1.2.3/',
}

const overview: NetworkOverview = {
  v: 1,
  at: 1,
  models: [],
  volunteers: { online: 0, serving: 0, shown: [] },
  audits: { agreed: 0, lost: 0, split: 0, undone: 0 },
  quarantines: [],
}
const worked: WorkDay = { day: '2026-11-26', stage: 3, audit: 0, shadow: 0, standby: 0, pieces: 0 }

let dir: string
let app: Hono
let ready = true
const failures: unknown[] = []
const answers: string[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'http-'))
  await writeFile(join(dir, 'index.html'), '<!doctype html><title>Manyhands</title>')
  await writeFile(join(dir, 'blob'), bytes)
  await mkdir(join(dir, 'sdk/assets'), { recursive: true })
  for (const name of ['manyhands.js', 'assets/chat-0123abcd.js']) await writeFile(join(dir, 'sdk', name), 'export const here = true')
  const deps: HttpDeps = {
    site: dir,
    projects: new Hono(),
    widget: { dir, project: () => undefined, visited: () => undefined },
    ort: { dir: ortDir, version: '1.2.3' },
    sdk: { dir: join(dir, 'sdk'), version: '0.1.0' },
    blob: (asked) => (asked === hash ? { path: join(dir, 'blob'), bytes: bytes.length } : undefined),
    manifest: (asked) => ((asked as string) === hash ? '{"v":1}' : undefined),
    models: () => Promise.reject(new Error('the disk is on fire')),
    overview: { network: () => overview, work: async (peer, days) => ((peer as string) === hash ? [{ ...worked, pieces: days }] : []) },
    receipts: async (asked) => (asked === session ? [{ v: 1, request: session } as Receipt, { v: 1, status: 'settled' } as Receipt] : []),
    evidence: async (asked) => (asked === session ? Uint8Array.of(1, 2, 3) : undefined),
    wellKnown: () => wellKnown,
    ready: () => ready,
    metrics: () => 'peers 1\n',
    answered: (route, status) => answers.push(`${route} ${status}`),
    failed: (thrown) => failures.push(thrown),
  }
  app = createApp(deps)
})
afterAll(() => rm(dir, { recursive: true }))

const body = async (response: Response) => Buffer.from(await response.arrayBuffer())

describe('blobs', () => {
  it('are served whole, for anyone, for ever', async () => {
    const response = await app.request(`/blobs/${hash}`)
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'cache-control': expect.stringContaining('immutable'),
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
      'content-length': String(bytes.length),
      etag: `"${hash}"`,
    })
    expect((await body(response)).equals(bytes)).toBe(true)
  })

  it('are served from where a download broke off', async () => {
    const response = await app.request(`/blobs/${hash}`, { headers: { range: 'bytes=100000-', 'if-range': `"${hash}"` } })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes 100000-299999/300000`)
    expect((await body(response)).equals(bytes.subarray(100_000))).toBe(true)
    const other = await app.request(`/blobs/${hash}`, { headers: { range: 'bytes=100000-', 'if-range': '"other"' }, method: 'HEAD' })
    expect(other.status).toBe(200)
    const past = await app.request(`/blobs/${hash}`, { headers: { range: 'bytes=300000-' } })
    expect([past.status, past.headers.get('content-range')]).toEqual([416, 'bytes */300000'])
  })

  it('are not sent again to who has them, and HEAD sends none', async () => {
    expect((await app.request(`/blobs/${hash}`, { headers: { 'if-none-match': `W/"x", "${hash}"` } })).status).toBe(304)
    const head = await app.request(`/blobs/${hash}`, { method: 'HEAD' })
    expect(head.headers.get('content-length')).toBe(String(bytes.length))
    expect(await body(head)).toHaveLength(0)
  })
})

describe('errors', () => {
  it.each([
    [`/blobs/${'0'.repeat(64)}`, 404, 'not-found'],
    ['/blobs/../../etc/passwd', 404, undefined],
    [`/blobs/${hash.toUpperCase()}x`, 400, 'bad-input'],
    [`/manifests/${'0'.repeat(64)}`, 404, 'unknown-model'],
    ['/manifests/x', 400, 'bad-input'],
    ['/v1/receipts/x', 400, 'bad-input'],
    [`/v1/receipts/${'0'.repeat(32)}`, 404, 'not-found'],
    ['/v1/receipts/x/evidence', 400, 'bad-input'],
    [`/v1/receipts/${'0'.repeat(32)}/evidence`, 404, 'not-found'],
    ['/v1/peers/x/work', 400, 'bad-input'],
    [`/v1/peers/${hash}/work?days=0`, 400, 'bad-input'],
    [`/v1/peers/${hash}/work?days=401`, 400, 'bad-input'],
    [`/v1/peers/${hash}/work?days=all`, 400, 'bad-input'],
    ['/v1/nothing', 404, 'not-found'],
    ['/ort/9.9.9/ort.wasm.bundle.min.mjs', 404, 'not-found'],
    ['/ort/1.2.3/ort.all.js', 404, 'not-found'],
    ['/missing.js', 404, 'not-found'],
    [`/${'x'.repeat(3000)}`, 414, 'bad-input'],
    ['/v1/models', 500, 'internal'],
  ])('%s', async (path, status, code) => {
    const response = await app.request(path)
    if (code === undefined) return expect(await response.text()).toContain('Manyhands')
    expect(response.status).toBe(status)
    expect(await response.json()).toEqual({ error: { code, message: expect.not.stringContaining('fire') } })
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  it('a bug of ours reaches the log, not the client', () => expect(failures).toEqual([new Error('the disk is on fire')]))

  it.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s is not for here', async (method) => {
    const response = await app.request(`/blobs/${hash}`, { method, ...(method === 'DELETE' ? {} : { body: 'x' }) })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
    expect(answers.at(-1)).toBe('blob 405')
  })

  it('a preflight from any page is answered', async () => {
    const response = await app.request(`/blobs/${hash}`, {
      method: 'OPTIONS',
      headers: { origin: 'https://other.example', 'access-control-request-headers': 'range' },
    })
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-headers')).toContain('range')
  })
})

describe('the rest', () => {
  it('[CS1] first contact says where everything is', async () => {
    const response = await app.request('/.well-known/manyhands.json')
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(await response.json()).toEqual(wellKnown)
  })

  it('manifests go out as the very text that was hashed', async () => {
    const response = await app.request(`/manifests/${hash}`)
    expect(response.headers.get('content-type')).toContain('application/json')
    expect(await response.text()).toBe('{"v":1}')
  })

  it('[RC4] receipts come with their successors, and their evidence as bytes, for anyone and never cached', async () => {
    expect(await (await app.request(`/v1/receipts/${session}`)).json()).toEqual({
      receipts: [
        { v: 1, request: session },
        { v: 1, status: 'settled' },
      ],
    })
    const evidence = await app.request(`/v1/receipts/${session}/evidence`)
    expect(Object.fromEntries(evidence.headers)).toMatchObject({
      'access-control-allow-origin': '*',
      'cache-control': 'no-store',
      'content-type': 'application/octet-stream',
    })
    expect([...(await body(evidence))]).toEqual([1, 2, 3])
  })

  it('[OV1] [OV3] the network as it is, and what a peer gave, for anyone and never cached', async () => {
    const network = await app.request('/v1/network')
    expect(Object.fromEntries(network.headers)).toMatchObject({ 'access-control-allow-origin': '*', 'cache-control': 'no-store' })
    expect(await network.json()).toEqual(overview)
    expect(await (await app.request(`/v1/peers/${hash}/work`)).json()).toEqual({ peer: hash, days: [{ ...worked, pieces: 90 }] })
    expect(await (await app.request(`/v1/peers/${hash}/work?days=400`)).json()).toMatchObject({ days: [{ pieces: 400 }] })
    expect(await (await app.request(`/v1/peers/${'0'.repeat(64)}/work`)).json()).toMatchObject({ days: [] })
  })

  it('health and metrics', async () => {
    expect(await (await app.request('/healthz')).text()).toBe('ok\n')
    expect(await (await app.request('/metrics')).text()).toBe('peers 1\n')
    expect((await app.request('/readyz')).status).toBe(200)
    ready = false
    expect((await app.request('/readyz')).status).toBe(503)
  })

  it('the site is cross-origin isolated and runs only its own scripts', async () => {
    const page = await app.request('/playground')
    expect(await page.text()).toContain('Manyhands')
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'content-security-policy': expect.stringContaining("script-src 'self' 'wasm-unsafe-eval'"),
      'referrer-policy': 'no-referrer',
    })
  })

  it('the SDK is served to any page: its chunks for ever, its entries until there are newer ones', async () => {
    const entry = await app.request('/sdk/0.1.0/manyhands.js')
    expect(await entry.text()).toContain('here')
    expect(Object.fromEntries(entry.headers)).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'cache-control': 'no-cache',
      etag: expect.any(String),
    })
    const chunk = await app.request('/sdk/0.1.0/assets/chat-0123abcd.js')
    expect(chunk.headers.get('cache-control')).toContain('immutable')
    expect((await app.request('/sdk/0.0.9/manyhands.js')).status).toBe(404)
    expect((await app.request('/sdk/0.1.0/../blob')).status).toBe(404)
    expect((await app.request('/sdk/0.1.0/nothing.js')).status).toBe(404)
  })

  it('over a real socket, the engine goes out compressed and may start threads', async () => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server
    await once(server, 'listening')
    try {
      const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const name = 'ort.wasm.bundle.min.mjs'
      const script = await fetch(`${base}/ort/1.2.3/${name}`, { headers: { 'accept-encoding': 'br' } })
      expect(Object.fromEntries(script.headers)).toMatchObject({
        'content-type': 'text/javascript; charset=utf-8',
        'content-encoding': 'br',
        'cross-origin-embedder-policy': 'require-corp',
        'cross-origin-resource-policy': 'cross-origin',
        'cache-control': expect.stringContaining('immutable'),
      })
      expect(await script.text()).toBe(await readFile(join(ortDir, name), 'utf8'))
      const blob = await fetch(`${base}/blobs/${hash}`)
      expect((await body(blob)).equals(bytes)).toBe(true)
    } finally {
      server.close()
    }
  })

  it('the engine’s wasm shrinks to less than a third', async () => {
    const response = await app.request('/ort/1.2.3/ort-wasm-simd-threaded.wasm', { headers: { 'accept-encoding': 'gzip, br' } })
    expect(response.headers.get('content-type')).toBe('application/wasm')
    const packed = await body(response)
    const plain = brotliDecompressSync(packed)
    expect(plain.equals(await readFile(join(ortDir, 'ort-wasm-simd-threaded.wasm')))).toBe(true)
    expect(packed.length).toBeLessThan(plain.length / 3)
  })
})
