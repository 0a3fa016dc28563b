/** What breaks under a volunteer is said, and mended without it: a crashed or hung worker, a lost GPU, a full disk. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page, Worker } from 'playwright'
import { openLibrary, type LibraryModel } from '../models/library.ts'
import { connect } from '../sdk/node.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { joinAsVolunteer, type VolunteerTab } from './harness/volunteer-tab.ts'

const servingMs = 120_000

let folder: string
let model: LibraryModel
let network: TestNetwork

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  model = await openLibrary(folder).addFile(tinyLlama({ layers: 2 }), { name: 'tiny-llama' })
})
test.beforeEach(async () => {
  network = await startNetwork({ model, library: folder, stages: 1, volunteers: [] })
})
test.afterEach(() => network?.close())
test.afterAll(() => rm(folder, { recursive: true, force: true }))

const phase = (page: Page, name: string) => page.locator(`[data-testid=phase][data-phase=${name}]`).waitFor({ timeout: servingMs })

/** The compute worker, not the engine's own threads. */
function computeWorker({ browser }: VolunteerTab): Worker {
  const worker = browser.page.workers().find((w) => w.url().includes('entry'))
  if (!worker) throw new Error('The page has no compute worker.')
  return worker
}

async function answers(): Promise<void> {
  const asking = await connect({ server: network.url })
  try {
    for (const maxTokens of [1, 4]) {
      const generation = asking.generate('tiny-llama', 'Many hands', { maxTokens })
      expect((await generation).tokenIds.length).toBeGreaterThan(0)
      expect((await generation.receipt).custody.failed).toBe(0)
    }
  } finally {
    await asking.close()
  }
}

test('a crashed worker is replaced', async () => {
  const tab = await joinAsVolunteer(network.url)
  network.onClose(() => tab.browser.close())
  await tab.serving(servingMs)
  await computeWorker(tab).evaluate(() => void setTimeout(() => Promise.reject(new Error('no more')).catch(reportError)))
  await phase(tab.browser.page, 'failed')
  await phase(tab.browser.page, 'serving')
  await answers()
})

test('a hung worker is noticed and replaced', async () => {
  const tab = await joinAsVolunteer(network.url)
  const { page } = tab.browser
  network.onClose(() => tab.browser.close())
  await tab.serving(servingMs)
  await page.getByTestId('stop').click()
  // From here on the page's minutes pass when we say so.
  await page.clock.install()
  await page.getByTestId('start').click()
  await phase(page, 'serving')
  computeWorker(tab)
    .evaluate(() => {
      for (;;);
    })
    .catch(() => undefined)
  await page.clock.runFor(140_000)
  await phase(page, 'serving')
  await answers()
})

test('a lost GPU is said, and the volunteer serves again', async () => {
  const tab = await joinAsVolunteer(network.url, { webgpu: true })
  const { page, context } = tab.browser
  network.onClose(() => tab.browser.close())
  expect((await tab.serving(servingMs)).backend).toMatch(/gpu/i)
  const browser = await context.browser()?.newBrowserCDPSession()
  await browser?.send('Browser.crashGpuProcess')
  await phase(page, 'failed')
  expect((await tab.state()).reason).toMatch(/GPU/)
  await phase(page, 'serving')
  await answers()
})

test('a full disk keeps nobody from serving', async () => {
  const before = async (page: Page) => {
    const session = await page.context().newCDPSession(page)
    await session.send('Storage.overrideQuotaForOrigin', { origin: network.url, quotaSize: 20_000 })
  }
  const tab = await joinAsVolunteer(network.url, { before })
  network.onClose(() => tab.browser.close())
  await tab.serving(servingMs)
  await expect(tab.browser.page.getByTestId('not-kept')).toContainText(/full/)
  await answers()
})
