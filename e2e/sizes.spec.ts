/** What people load before they have anything of it: limits that the project has set itself. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Page } from 'playwright'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { otherSite } from './harness/other-site.ts'
import { root } from './harness/packed.ts'
import { startServerProcess, type ServerProcess } from './harness/server-process.ts'

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

test('a page that asks loads at most 30 kB before it connects; no engine is among it', async () => {
  const bytes = await staticWeight(join(root, 'dist/package/browser/manyhands.js'))
  process.stdout.write(`  manyhands: ${(bytes / kilobyte).toFixed(1)} kB\n`)
  expect(bytes).toBeLessThanOrEqual(30 * kilobyte)
})

test.describe('in a browser', () => {
  let data: string
  let server: ServerProcess
  let browser: BrowserProcess

  test.beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'manyhands-empty-'))
    server = await startServerProcess({ data })
    browser = await startBrowser()
  })
  test.afterAll(async () => {
    await browser?.close()
    await server?.close()
    await rm(data, { recursive: true, force: true })
  })

  /** All that a page loads while `use` lasts, as it travels: compressed. */
  async function loaded(use: (page: Page) => Promise<unknown>): Promise<{ readonly bytes: number; readonly paths: readonly string[] }> {
    const page = await browser.context.newPage()
    const finished: Promise<{ path: string; bytes: number }>[] = []
    page.on('requestfinished', (request) => {
      finished.push(request.sizes().then(({ responseBodySize }) => ({ path: new URL(request.url()).pathname, bytes: responseBodySize })))
    })
    await use(page)
    const all = await Promise.all(finished)
    await page.close()
    return { bytes: all.reduce((sum, { bytes }) => sum + bytes, 0), paths: all.map(({ path }) => path) }
  }

  test('a page that is connected has loaded at most 45 kB, with PeerJS', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string }
    const site = await otherSite({
      '/index.html': `<!doctype html><link rel="icon" href="data:," /><script type="module">
        import { connect } from '${server.url}/sdk/${version}/manyhands.js'
        const net = await connect({ server: '${server.url}' })
        document.title = net.state
      </script>`,
    })
    try {
      const { bytes, paths } = await loaded(async (page) => {
        await page.goto(site.origin)
        await expect(page).toHaveTitle('ready')
        await page.waitForLoadState('networkidle')
      })
      process.stdout.write(`  connected: ${(bytes / kilobyte).toFixed(1)} kB in ${paths.length} files\n`)
      expect(bytes).toBeLessThanOrEqual(45 * kilobyte)
    } finally {
      await site.close()
    }
  })

  test('Give loads at most 150 kB before the click, and nothing of the engine', async () => {
    const { bytes, paths } = await loaded(async (page) => {
      await page.goto(`${server.url}/give`, { waitUntil: 'networkidle' })
      await page.getByTestId('start').waitFor()
    })
    process.stdout.write(`  Give: ${(bytes / kilobyte).toFixed(1)} kB in ${paths.length} files\n`)
    expect(bytes).toBeGreaterThan(10 * kilobyte)
    expect(bytes).toBeLessThanOrEqual(150 * kilobyte)
    expect(paths.filter((path) => path.startsWith('/ort/'))).toEqual([])
  })
})
