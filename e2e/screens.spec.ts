/** Every screen, for every kind of reader: axe in both themes, 320 pixels, keyboard alone, another language; and what each one is for. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright'
import { openLibrary, type LibraryModel } from '../models/library.ts'
import type { PeerId } from '../protocol/ids.ts'
import type { ModelInfo } from '../protocol/server-messages.ts'
import { networkOverview } from '../signaling-server/overview.ts'
import type { Ready, Volunteer } from '../signaling-server/swarm.ts'
import { holder, plainModel, usualReady } from '../testing/swarms.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { isAccessible } from './harness/accessible.ts'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { createProject } from './harness/project.ts'
import { shots } from './harness/screens.ts'

const servingMs = 60_000
const narrow = { width: 320, height: 740 }
const wide = { width: 1280, height: 900 }
const screens = {
  home: '/',
  give: '/give',
  playground: '/playground',
  network: '/network',
  models: '/models',
  impact: '/impact',
  trust: '/trust',
  project: '/project',
  missing: '/nowhere',
}

let folder: string
let model: LibraryModel
let network: TestNetwork
let browser: BrowserProcess
let page: Page

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  model = await openLibrary(folder).addFile(tinyLlama({ layers: 4 }), { name: 'tiny-llama' })
  network = await startNetwork({ model, library: folder, stages: 1, volunteers: [] })
})
test.afterAll(async () => {
  await network?.close()
  await rm(folder, { recursive: true, force: true })
})
test.beforeEach(async () => {
  browser = await startBrowser()
  page = browser.page
  await page.setViewportSize(wide)
})
test.afterEach('nothing went wrong in the console', async () => {
  const { problems } = browser
  await browser.close()
  // Chrome reports refusals and outages by itself; some tests make them.
  expect(problems.filter((problem) => !problem.startsWith('Failed to load resource'))).toEqual([])
})

/** The screen with all that it shows at first. */
async function open(path: string): Promise<void> {
  await page.goto(network.url + path)
  await page.locator('h1').waitFor()
  await expect(page.getByTestId('loading')).toHaveCount(0)
}

/** No rule of axe's is broken, on a dark phone and a light desktop; and nothing is wider than the screen. Leaves a light desktop. */
async function isForEverybody(name: string): Promise<void> {
  for (const { size, colorScheme } of [{ size: narrow, colorScheme: 'dark' } as const, { size: wide, colorScheme: 'light' } as const]) {
    await page.setViewportSize(size)
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    const width = await page.evaluate(() => document.documentElement.scrollWidth)
    expect(width, `${name} fits ${size.width} pixels`).toBeLessThanOrEqual(size.width)
    await isAccessible(page, `${name}, ${size.width} pixels, ${colorScheme}`)
  }
}

async function give(): Promise<void> {
  await open('/give')
  await page.getByTestId('start').click()
  await expect(page.getByTestId('phase')).toHaveAttribute('data-phase', 'serving', { timeout: servingMs })
}

test('every screen is for everybody, in both themes and languages, down to 320 pixels', async () => {
  for (const [name, path] of Object.entries(screens)) {
    await open(path)
    await isForEverybody(name)
    await shots(page, name)
  }
  await open('/')
  await page.getByTestId('language').selectOption('de')
  for (const [name, path] of Object.entries(screens)) {
    await open(path)
    await page.setViewportSize(narrow)
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} in German`).toBeLessThanOrEqual(narrow.width)
    await page.screenshot({ path: `test-results/screens/${name}-de.png`, fullPage: true })
  }
})

test('the language is the browser’s until it is switched, changes everything at once, and is kept from then on', async () => {
  await open('/')
  await expect(page.locator('html')).toHaveAttribute('lang', 'en')
  expect(await page.evaluate(() => Object.keys(localStorage))).toEqual([])
  await page.getByTestId('language').selectOption('de')
  await expect(page.locator('h1')).toHaveText('Viele Hände machen der Arbeit bald ein Ende')
  await expect(page.locator('html')).toHaveAttribute('lang', 'de')
  await page.locator('a[href="/give"]').first().click()
  await expect(page).toHaveTitle('Geben – Manyhands')
  await page.reload()
  await expect(page.locator('html')).toHaveAttribute('lang', 'de')

  await page.evaluate(() => localStorage.clear())
  await page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'languages', { get: () => ['fr', 'de-AT', 'en'] }))
  await open('/')
  await expect(page.locator('html')).toHaveAttribute('lang', 'de')
  expect(await page.evaluate(() => Object.keys(localStorage))).toEqual([])
})

test('by keyboard alone: every stop is seen, the menu opens and closes, a new page is announced by its heading', async () => {
  await page.setViewportSize(narrow)
  for (const path of Object.values(screens)) {
    await open(path)
    const stops = new Set<string>()
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab')
      const { stop, outline } = await page.evaluate(() => {
        const focused = document.activeElement as HTMLElement
        const name = focused === document.body ? '' : `${focused.tagName} ${focused.id} ${focused.textContent?.trim().slice(0, 40)}`
        return { stop: name, outline: getComputedStyle(focused).outlineStyle }
      })
      if (stop === '' || stops.has(stop)) break
      expect(outline, `${path}: ${stop}`).not.toBe('none')
      stops.add(stop)
    }
    expect(stops.size, path).toBeGreaterThan(4)
  }
  await open('/')
  const menu = page.getByRole('button', { name: 'Menu' })
  await expect(page.getByRole('link', { name: 'Network' })).toBeHidden()
  await menu.press('Enter')
  await expect(page.getByRole('link', { name: 'Network' })).toBeVisible()
  await isForEverybody('menu')
  await page.setViewportSize(narrow)
  await page.getByRole('link', { name: 'Network' }).press('Escape')
  await expect(menu).toBeFocused()
  await expect(page.getByRole('link', { name: 'Network' })).toBeHidden()
  await menu.press('Enter')
  await page.getByRole('link', { name: 'Network' }).press('Enter')
  await expect(page.locator('h1')).toBeFocused()
  await expect(page.getByRole('link', { name: 'Network' })).toBeHidden()
})

test('[OV1] [OV2] the network is readable with 5,000 volunteers', async () => {
  const onGpu: Ready = { ...usualReady, backend: 'webgpu', msPerRow: 4 }
  const big = plainModel(
    1,
    Array.from({ length: 300 }, () => 1),
  )
  const blocks = big.manifest.blocks.length
  const count = 5_000
  // Everybody holds up to 60 blocks, on either side of five that nobody holds.
  const members = Array.from({ length: count }, (_, n): Volunteer => {
    const [from, to] = n % 3 === 0 ? [214, blocks] : [0, 209]
    const first = from + ((n * 37) % (to - from))
    const held = holder(n, big.revision, { first, end: Math.min(to, first + 1 + (n % 60)) }, n % 5 === 0 ? onGpu : undefined)
    const peer = createHash('sha256').update(`volunteer ${n}`).digest('hex') as PeerId
    return { ...held, peer, since: n * 700, sessions: n % 3, paused: n % 23 === 0 }
  })
  const info: ModelInfo = {
    name: 'big',
    title: 'A model with a hole',
    task: 'text-generation',
    license: 'Apache-2.0',
    revision: big.revision,
    bytes: 4e9,
    context: 8192,
    availability: 'unavailable',
    volunteers: count,
    blocks,
    stages: [],
    publication: { v: 1, revision: big.revision, publisher: 'a'.repeat(64), issuedAt: 1, signature: 'b'.repeat(128) },
  }
  const overview = networkOverview({
    models: [info],
    swarms: new Map([[big.revision, { model: big, members: new Set(members) }]]),
    volunteers: members,
    trustOf: (peer) => (peer < '8' ? 'proven' : 'new'),
    busyness: () => ({ sessions: 812, queued: 31, rowsPerSecond: 5_400.5 }),
    audits: { agreed: 1204, lost: 3, split: 1, undone: 17 },
    quarantines: [{ revision: big.revision, backend: 'webgpu', adapter: 'vendor device driver' }],
    now: Date.now(),
    uptime: 4e6,
  })
  await page.route('**/v1/network', (route) => route.fulfill({ json: overview }))
  await open('/network')
  await expect(page.getByTestId('online')).toHaveText('5,000')
  await expect(page.getByText('200 of 5,000 volunteers')).toBeVisible()
  await expect(page.getByTestId('coverage')).toHaveAttribute('aria-label', /nobody serves blocks 210–214 now/)
  await expect(page.getByTestId('quarantines')).toContainText('A model with a hole on webgpu vendor device driver')
  expect(await page.locator('main *').count()).toBeLessThan(1_500)
  await isForEverybody('network of 5,000')
  await shots(page, 'network-5000')
  await page.getByTestId('later').click()
  await expect(page.getByText('Page 2 of 10')).toBeVisible()
  await page.getByTestId('filter').selectOption('barred')
  await expect(page.getByText('None of those shown is so.')).toBeVisible()
})

test('a screen says when the server is away, keeps what it knew, and finds back by itself', async () => {
  let away = true
  await page.route('**/v1/network', (route) => (away ? route.abort() : route.continue()))
  await open('/network')
  await expect(page.getByTestId('error')).toHaveAttribute('data-code', 'unavailable')
  await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible()
  await isForEverybody('network without a server')
  away = false
  await expect(page.getByTestId('online')).toHaveText('0', { timeout: 20_000 })
  away = true
  await expect(page.getByTestId('stale')).toBeVisible({ timeout: 20_000 })
  await isForEverybody('network as it was')
  away = false
  await expect(page.getByTestId('stale')).toHaveCount(0, { timeout: 20_000 })
})

test('[OV3] what a browser gave is shown by day; everything that it kept is removed with one button', async () => {
  await open('/impact')
  await expect(page.getByTestId('empty')).toContainText('Nothing yet')
  await open('/trust')
  await expect(page.getByTestId('nothing-stored')).toHaveText('Nothing is kept on this device.')
  await give()
  await open('/network')
  await expect(page.getByTestId('online')).toHaveText('0')

  await give()
  await page.getByRole('link', { name: 'Playground' }).first().click()
  await expect(page.getByTestId('availability')).toHaveAttribute('data-availability', 'available')
  await page.getByTestId('prompt').fill('one two three')
  await page.getByTestId('send').click()
  await expect(page.locator('[data-testid=answer][data-phase=done]')).toBeVisible({ timeout: servingMs })
  await page.getByTestId('how-made').locator('summary').click()
  await expect(page.getByTestId('receipt')).not.toHaveAttribute('data-status', 'none')
  await isForEverybody('playground with an answer')
  await shots(page, 'playground-answer')
  const other = await browser.context.newPage()
  await other.goto(`${network.url}/network`)
  await expect(other.getByTestId('online')).toHaveText('1')
  await expect(other.getByTestId('volunteers')).toContainText('serves')
  await other.goto(`${network.url}/models`)
  await expect(other.getByTestId('model')).toHaveAttribute('data-availability', 'available')
  await expect(other.getByRole('link', { name: 'Ask it' })).toHaveAttribute('href', '/playground?model=tiny-llama')
  await other.goto(`${network.url}/trust`)
  await expect(other.getByTestId('stored')).toContainText('1 kept')
  await other.close()

  await page.locator('a[href="/impact"]').first().click()
  await expect(page.getByTestId('tokens')).not.toHaveText('0')
  await page.locator('details summary').first().click()
  await isForEverybody('impact')
  await shots(page, 'impact-given')

  await page.getByRole('link', { name: 'Trust', exact: true }).first().click()
  await expect(page.getByTestId('remove')).toHaveCount(0)
  await open('/trust')
  await isForEverybody('trust with weights')
  await shots(page, 'trust-stored')
  await page.getByTestId('remove').click()
  await page.getByTestId('remove-yes').click()
  await expect(page.getByTestId('nothing-stored')).toHaveText('Removed: nothing is kept here any more.')
  const left = await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory()
    const files: string[] = []
    const list = async (folder: FileSystemDirectoryHandle): Promise<void> => {
      for await (const entry of folder.values()) {
        if (entry.kind === 'directory') await list(entry)
        else files.push(entry.name)
      }
    }
    await list(root)
    return { files, databases: (await indexedDB.databases()).length, settings: Object.keys(localStorage) }
  })
  expect(left).toEqual({ files: [], databases: 0, settings: [] })
})

test('[PJ] a project’s owner sees what came of it, replaces its key and ends it', async () => {
  const { id, ownerKey } = await createProject(network, { name: 'The seed library', origins: ['https://seeds.example', 'server'] })
  await open('/project')
  await page.getByTestId('open-project').click()
  await expect(page.getByTestId('project-id')).toHaveAttribute('aria-invalid', 'true')
  await isForEverybody('project, wrong')
  await page.getByTestId('project-id').fill(id)
  await page.getByTestId('owner-key').fill(`mo_${'a'.repeat(43)}`)
  await page.getByTestId('open-project').click()
  await expect(page.getByTestId('error')).toHaveAttribute('data-code', 'forbidden')
  await page.getByTestId('owner-key').fill(ownerKey)
  await page.getByTestId('open-project').click()
  await expect(page.locator('h1')).toHaveText('The seed library')
  await expect(page.getByTestId('widget-tag')).toContainText(`<many-hands project="${id}"></many-hands>`)
  await page.reload()
  await expect(page.locator('h1')).toHaveText('The seed library')
  await isForEverybody('project, nothing counted')

  const day = new Date().toISOString().slice(0, 10)
  const counters = { visitors: 240, consents: 31, rows: 91_000, requests: 52, byAudience: 40 }
  await page.route('**/v1/projects/*/days*', (route) => route.fulfill({ json: { days: [{ day, ...counters }] } }))
  await page.reload()
  await page.getByTestId('measure').selectOption('rows')
  await expect(page.getByTestId('chart')).toHaveAttribute('aria-label', /91,000/)
  await page.getByTestId('rotate').click()
  await isForEverybody('project')
  await shots(page, 'project-opened')
  await page.getByTestId('rotate-yes').click()
  await expect(page.getByTestId('new-key')).toHaveText(/^mh_/)
  await page.getByTestId('revoke').click()
  await expect(page.getByTestId('revoke-yes')).toBeDisabled()
  await page.getByTestId('revoke-name').fill('The seed library')
  await isForEverybody('project, about to end')
  await page.getByTestId('revoke-yes').click()
  await expect(page.getByText('This project is revoked')).toBeVisible()
  expect(await (await fetch(`${network.url}/v1/projects/${id}`)).json()).toMatchObject({ revoked: true })
})
