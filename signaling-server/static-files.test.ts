import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chooseEncoding, CompressedFiles } from './compressed-files.ts'
import { parseRange } from './file-body.ts'
import { fileName, StaticFiles } from './static-files.ts'

let root: string
let files: StaticFiles
const script = 'export const answer = 42\n'.repeat(200)

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'site-'))
  await mkdir(join(root, 'site/assets'), { recursive: true })
  await writeFile(join(root, 'secret.txt'), 'secret')
  await writeFile(join(root, 'site/.env'), 'secret')
  await writeFile(join(root, 'site/index.html'), '<!doctype html>')
  await writeFile(join(root, 'site/assets/index-BxR3k9_a.js'), script)
  await writeFile(join(root, 'site/logo.png'), new Uint8Array(3000))
  await symlink(join(root, 'secret.txt'), join(root, 'site/link.txt'))
  files = new StaticFiles({ dir: join(root, 'site'), headers: { 'x-class': 'app' }, fallback: 'index.html' })
})
afterAll(() => rm(root, { recursive: true }))

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  files.respond(new Request(`http://site.example${path}`, { headers, method }), path)

describe('static files', () => {
  it('serves files with their types, and the index for the root and for addresses of the site’s router', async () => {
    for (const path of ['/', '/index.html', '/playground', '/give/now']) {
      const page = await get(path)
      expect(page?.headers.get('content-type')).toBe('text/html; charset=utf-8')
      expect(page?.headers.get('x-class')).toBe('app')
      expect(await page?.text()).toBe('<!doctype html>')
    }
    const asset = await get('/assets/index-BxR3k9_a.js')
    expect(asset?.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    expect(asset?.headers.get('cache-control')).toContain('immutable')
    expect(await asset?.text()).toBe(script)
    expect(await get('/missing.js')).toBeUndefined()
  })

  it.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/..%5c..%5csecret.txt',
    '/.env',
    '/link.txt',
    '/%00',
    '/%ff',
    '//secret.txt',
    '/a/.git/config',
  ])('does not serve %s', async (path) =>
    expect(await (await files.respond(new Request('http://site.example/'), path))?.text()).not.toBe('secret'),
  )

  it('any address leads to a name inside, or to none', () => {
    const piece = fc.constantFrom('..', '.', '/', '%2e', '%2f', '%5c', '\\', 'a', '%00', '%', '~', ':')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const name = fileName(`/${pieces.join('')}`)
        return name === undefined || (!/[\\\0]|(^|\/)\.|\/\/|^\//.test(name) && name !== '')
      }),
    )
  })

  it('compresses text once, and answers 304 to the same ETag', async () => {
    for (const [encoding, unpack] of [['br', brotliDecompressSync] as const, ['gzip', gunzipSync] as const]) {
      const packed = await get('/assets/index-BxR3k9_a.js', { 'accept-encoding': encoding })
      expect(packed?.headers.get('content-encoding')).toBe(encoding)
      expect(packed?.headers.get('vary')).toBe('accept-encoding')
      const body = new Uint8Array((await packed?.arrayBuffer()) as ArrayBuffer)
      expect(packed?.headers.get('content-length')).toBe(String(body.length))
      expect(unpack(body).toString()).toBe(script)
      const again = await get('/assets/index-BxR3k9_a.js', {
        'accept-encoding': encoding,
        'if-none-match': packed?.headers.get('etag') ?? '',
      })
      expect(again?.status).toBe(304)
    }
    expect((await get('/logo.png', { 'accept-encoding': 'gzip' }))?.headers.has('content-encoding')).toBe(false)
  })

  it('answers a HEAD without a body', async () => {
    const head = await get('/assets/index-BxR3k9_a.js', {}, 'HEAD')
    expect(head?.headers.get('content-length')).toBe(String(script.length))
    expect(await head?.text()).toBe('')
  })

  it('reads Accept-Encoding as a client means it', () => {
    expect(chooseEncoding('gzip, deflate, br')).toBe('br')
    expect(chooseEncoding('gzip;q=0.5, br;q=0')).toBe('gzip')
    expect(chooseEncoding('identity')).toBeUndefined()
    expect(chooseEncoding(null)).toBeUndefined()
  })

  it('keeps compressed files under a bound, and compresses once for many who ask at once', async () => {
    const cache = new CompressedFiles(60)
    const path = join(root, 'site/assets/index-BxR3k9_a.js')
    const [a, b] = await Promise.all([cache.get(path, '1', 'gzip'), cache.get(path, '1', 'gzip')])
    expect(a).toBe(b)
    for (const version of ['2', '3', '4']) await cache.get(path, version, 'br')
    expect(cache.cachedBytes).toBeLessThanOrEqual(60)
    await expect(cache.get(join(root, 'none'), '1', 'br')).rejects.toThrow('ENOENT')
  })
})

describe('ranges', () => {
  it.each([
    ['bytes=0-0', { first: 0, last: 0 }],
    ['bytes=5-', { first: 5, last: 9 }],
    ['bytes=-3', { first: 7, last: 9 }],
    ['bytes=-30', { first: 0, last: 9 }],
    ['bytes=8-100', { first: 8, last: 9 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-4', undefined],
    ['bytes=0-1,3-4', undefined],
    ['bytes=-', undefined],
    ['rows=1-2', undefined],
  ])('%s of ten bytes', (header, range) => expect(parseRange(header, 10)).toEqual(range))
})
