/** The examples as they are copied: the files that stand in examples/, against a network of a tiny model. */
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openLibrary } from '../models/library.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { otherSite } from './harness/other-site.ts'
import { pack, projectWith, root, type Project } from './harness/packed.ts'

const run = promisify(execFile)
const answerMs = 60_000
const example = (path: string) => join(root, 'examples', path)

let network: TestNetwork
/** An empty project with the package and WebRTC. */
let project: Project

test.beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  const model = await openLibrary(folder).addFile(tinyLlama({ layers: 2 }), { name: 'tiny-llama' })
  network = await startNetwork({ model, library: folder, stages: 1, volunteers: ['node'] })
  network.onClose(() => rm(folder, { recursive: true, force: true }))
  const packed = await pack()
  network.onClose(packed.remove)
  project = await projectWith(packed, ['@roamhq/wrtc'])
  network.onClose(project.remove)
})
test.afterAll(() => network?.close())

test('chat-page: one file on a site of its own asks and shows the answer, and says what is wrong', async () => {
  const text = await readFile(example('chat-page/index.html'), 'utf8')
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  expect(text).toContain(`/sdk/${version}/manyhands.js`)
  const site = await otherSite({ '/index.html': text.replaceAll('http://localhost:8080', network.url) })
  const browser = await startBrowser()
  try {
    const { page } = browser
    await page.goto(site.origin)
    const [box, log, note] = [page.getByLabel('Your message'), page.getByRole('log'), page.getByRole('status')]
    await box.fill('Many hands')
    await page.getByRole('button', { name: 'Send' }).click()
    await expect(note).toHaveText('Computed by one volunteer.', { timeout: answerMs })
    await expect(log.locator('.user')).toHaveText('Many hands')
    await expect(log.locator('.assistant')).not.toBeEmpty()
    await box.fill('many '.repeat(2000))
    await page.getByRole('button', { name: 'Send' }).click()
    await expect(note).toContainText('Shorten it', { timeout: answerMs })
  } finally {
    await browser.close()
    await site.close()
  }
})

test('node-script: a question from a terminal is answered there; a server that is not there is said', async () => {
  await copyFile(example('node-script/ask.js'), join(project.folder, 'ask.mjs'))
  const ask = (server: string) =>
    run(process.execPath, ['ask.mjs', 'Many hands'], { cwd: project.folder, env: { ...process.env, MANYHANDS_SERVER: server } })
  const { stdout, stderr } = await ask(network.url)
  expect(stdout.length).toBeGreaterThan(0)
  expect(stderr).toContain('Tiny llama; volunteers: 1;')
  expect(await ask('http://localhost:9').catch((error: unknown) => error)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^unavailable: localhost:9 could not be reached/),
  })
})
