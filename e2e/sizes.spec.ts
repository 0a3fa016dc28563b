/** What people load before they have anything of it: limits that the project has set itself. Sizes are as they travel, compressed. */
import { readFile, rm, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { root } from './harness/packed.ts'
import { startServerProcess } from './harness/server-process.ts'

const kilobyte = 1000

/** Gzipped bytes of a module and of all that it imports before it can run; what it imports later by itself is not in it. */
async function staticWeight(entry: string, seen = new Set<string>()): Promise<number> {
  if (seen.has(entry)) return 0
  seen.add(entry)
  const code = await readFile(entry)
  let bytes = gzipSync(code, { level: 9 }).length
  for (const [, path] of code.toString().matchAll(/(?:\bfrom|\bimport)\s*["'](\.\.?\/[^"']+)["']/g))
    bytes += await staticWeight(join(dirname(entry), path as string), seen)
  return bytes
}

test('a page that asks loads at most 30 kB until it is connected but for PeerJS; no engine is among it', async () => {
  const bytes = await staticWeight(join(root, 'dist/package/browser/manyhands.js'))
  process.stdout.write(`  manyhands: ${(bytes / kilobyte).toFixed(1)} kB\n`)
  expect(bytes).toBeLessThanOrEqual(30 * kilobyte)
})

test('Give loads at most 150 kB before the click, and nothing of the engine', async () => {
  const data = await mkdtemp(join(tmpdir(), 'manyhands-empty-'))
  const server = await startServerProcess({ data })
  const browser = await startBrowser()
  try {
    const { page } = browser
    const finished: Promise<{ path: string; bytes: number }>[] = []
    page.on('requestfinished', (request) => {
      finished.push(request.sizes().then(({ responseBodySize }) => ({ path: new URL(request.url()).pathname, bytes: responseBodySize })))
    })
    await page.goto(`${server.url}/give`, { waitUntil: 'networkidle' })
    await page.getByTestId('start').waitFor()
    const loaded = await Promise.all(finished)
    const bytes = loaded.reduce((sum, { bytes }) => sum + bytes, 0)
    process.stdout.write(`  Give: ${(bytes / kilobyte).toFixed(1)} kB in ${loaded.length} files\n`)
    expect(bytes).toBeGreaterThan(10 * kilobyte)
    expect(bytes).toBeLessThanOrEqual(150 * kilobyte)
    expect(loaded.filter(({ path }) => path.startsWith('/ort/'))).toEqual([])
  } finally {
    await browser.close()
    await server.close()
    await rm(data, { recursive: true, force: true })
  }
})
