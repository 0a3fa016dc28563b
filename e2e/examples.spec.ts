/** The examples as they are copied: the files that stand in examples/, with the package as it is packed. */
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openLibrary } from '../models/library.ts'
import { tinyBert } from '../testing/tiny-bert.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { catalogueModel, sharedLibrary } from './harness/network.ts'
import { otherSite } from './harness/other-site.ts'
import { pack, projectWith, root, type Project } from './harness/packed.ts'
import { ProcessGroup } from './harness/process-group.ts'
import { serverData } from './harness/server-data.ts'
import { startServerProcess } from './harness/server-process.ts'

const run = promisify(execFile)
const answerMs = 60_000
const servingMs = 180_000
const example = (path: string) => readFile(join(root, 'examples', path), 'utf8')

/** What a test started, ended in the opposite order. */
const ends: (() => Promise<unknown>)[] = []
test.afterAll(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

/** A server with these models of a library, each served whole by a volunteer of its own. @returns its address */
async function networkOf(library: string, models: readonly string[]): Promise<string> {
  const found = await Promise.all(models.map((name) => openLibrary(library).find(name)))
  const data = await serverData(
    library,
    found.map(({ revision }) => revision),
  )
  ends.push(() => data.remove())
  const server = await startServerProcess({ data: data.directory, stages: 1 })
  ends.push(() => server.close())
  for (const model of models) {
    const weights = join(data.directory, `weights-${model}`)
    const args = ['--import', 'tsx', 'scripts/volunteer.ts', '--server', server.url, '--data', weights, '--model', model]
    const group = new ProcessGroup(`A volunteer of ${model}`, process.execPath, args)
    ends.push(() => group.end())
    await group.says(/^serving:/m, servingMs)
  }
  return server.url
}

test.describe('with models so small that they say nothing sensible', () => {
  let server: string
  /** An empty project with the package and WebRTC. */
  let project: Project

  test.beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
    ends.push(() => rm(folder, { recursive: true, force: true }))
    const library = openLibrary(folder)
    await library.addFile(tinyLlama({ layers: 2 }), { name: 'tiny-llama' })
    const { weights, beside } = tinyBert()
    await library.addFile(weights, { name: 'tiny-bert', beside })
    server = await networkOf(folder, ['tiny-llama', 'tiny-bert'])
    const packed = await pack()
    ends.push(packed.remove)
    project = await projectWith(packed, ['@roamhq/wrtc'])
    ends.push(project.remove)
  })

  test('chat-page: one file on a site of its own asks and shows the answer, and says what is wrong', async () => {
    await onSite('chat-page/index.html', server, async ({ page }) => {
      const [box, log, note] = [page.getByLabel('Your message'), page.getByRole('log'), page.getByRole('status')]
      await box.fill('Many hands')
      await page.getByRole('button', { name: 'Send' }).click()
      await expect(note).toHaveText('Computed by one volunteer.', { timeout: answerMs })
      await expect(log.locator('.user')).toHaveText('Many hands')
      await expect(log.locator('.assistant')).not.toBeEmpty()
      await box.fill('many '.repeat(2000))
      await page.getByRole('button', { name: 'Send' }).click()
      await expect(note).toContainText('Shorten it', { timeout: answerMs })
    })
  })

  test('node-script: a question from a terminal is answered there; a server that is not there is said', async () => {
    const ask = await script('node-script/ask.js')
    const { stdout, stderr } = await ask(server, 'Many hands')
    expect(stdout.length).toBeGreaterThan(0)
    expect(stderr).toContain('Tiny llama; volunteers: 1;')
    expect(await ask('http://localhost:9', 'Many hands').catch((error: unknown) => error)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^unavailable: localhost:9 could not be reached/),
    })
  })

  test('semantic-search: of a text the passage that says the same comes first', async () => {
    const search = await script('semantic-search/search.js')
    const passages = ['Many hands make light work.', 'Too many cooks spoil the broth.', 'A stitch in time saves nine.']
    const text = join(project.folder, 'proverbs.txt')
    await writeFile(text, passages.join('\n\n'))
    const { stdout } = await search(server, text, passages[1] as string)
    expect(stdout.split('\n')[0]).toBe(`1.00  ${passages[1]}`)
  })

  /** A script of the examples in the project. @returns how to run it */
  async function script(path: string) {
    const copied = join(project.folder, path.replaceAll('/', '-').replace(/\.js$/, '.mjs'))
    await copyFile(join(root, 'examples', path), copied)
    return (server: string, ...args: string[]) =>
      run(process.execPath, [copied, ...args], { cwd: project.folder, env: { ...process.env, MANYHANDS_SERVER: server } })
  }
})

test('ocr-photo: the lines of a photo are found and read', async () => {
  const models = ['pp-ocrv4-det', 'pp-ocrv2-cls', 'pp-ocrv4-rec']
  for (const model of models) await catalogueModel(model)
  const server = await networkOf(sharedLibrary, models)
  await onSite('ocr-photo/index.html', server, async ({ page }) => {
    const png = await page.evaluate(() => {
      const canvas = document.createElement('canvas')
      Object.assign(canvas, { width: 640, height: 320 })
      const context = canvas.getContext('2d') as CanvasRenderingContext2D
      context.fillStyle = '#fff'
      context.fillRect(0, 0, 640, 320)
      context.fillStyle = '#111'
      context.font = '40px "Liberation Sans", sans-serif'
      context.fillText('Many hands', 60, 110)
      context.fillText('make light work', 60, 230)
      return canvas.toDataURL('image/png')
    })
    const buffer = Buffer.from(png.slice(png.indexOf(',') + 1), 'base64')
    await page.getByLabel('A photo with printed text').setInputFiles({ name: 'photo.png', mimeType: 'image/png', buffer })
    await expect(page.getByRole('status')).toHaveText(/^2 lines/, { timeout: answerMs })
    await expect(page.getByTestId('text')).toHaveText(/Many hands\s+make light work/)
  })
})

/** An example's page, on a site of another origin than the server's, in a browser. */
async function onSite(path: string, server: string, use: (browser: BrowserProcess) => Promise<void>): Promise<void> {
  const text = await example(path)
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  expect(text).toContain(`/sdk/${version}/manyhands.js`)
  const site = await otherSite({ '/index.html': text.replaceAll('http://localhost:8080', server) })
  try {
    const browser = await startBrowser()
    try {
      await browser.page.goto(site.origin)
      await use(browser)
    } finally {
      await browser.close()
    }
  } finally {
    await site.close()
  }
}
