/** Photos are read whole over browsers, each of which holds one of the three models that it takes. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { connect } from '../sdk/node.ts'
import { readPhoto, type PhotoProgress } from '../sdk/ocr/index.ts'
import { readPng } from '../testing/png.ts'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { catalogueModel, sharedLibrary, startNetwork, type TestNetwork } from './harness/network.ts'

const page = (name: string) => fileURLToPath(new URL(`fixtures/pages/${name}`, import.meta.url))
const texts = JSON.parse(readFileSync(page('texts.json'), 'utf8')) as Record<'letter' | 'columns', string[]>
/** On a busy machine. */
const answerMs = 60_000
let network: TestNetwork

test.describe.configure({ mode: 'serial' })
test.beforeAll(async () => {
  test.setTimeout(600_000)
  const [model, ...others] = await Promise.all([
    catalogueModel('pp-ocrv4-rec'),
    catalogueModel('pp-ocrv4-det'),
    catalogueModel('pp-ocrv2-cls'),
  ])
  network = await startNetwork({ model, others, library: sharedLibrary, stages: 1, volunteers: ['tab', 'tab', 'tab'] })
})
test.afterAll(() => network.close())

test('a letter that lies at an angle is read line by line, and every hand-over was checked', async () => {
  const net = await connect({ server: network.url })
  const seen: PhotoProgress[] = []
  try {
    const { text, lines, runs } = await readPhoto(net, readPng(page('letter-tilted-15.png')), { onProgress: (p) => seen.push(p) })
    expect(text.split('\n')).toEqual(texts.letter)
    expect(lines).toHaveLength(texts.letter.length)
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['finding', 'turning', 'reading']))
    // One volunteer for each model.
    expect(new Set(runs.flatMap(({ stages }) => stages.map(({ peer }) => peer))).size).toBe(3)
    for (const { receipt } of runs) expect((await receipt).custody.failed).toBe(0)
  } finally {
    await net.close()
  }
})

test('a picture that is upside down has its text the right way up', async () => {
  const net = await connect({ server: network.url })
  try {
    const { text } = await readPhoto(net, readPng(page('letter-upside-down.png')))
    expect(text.split('\n')).toEqual(texts.letter)
  } finally {
    await net.close()
  }
})

test('the playground draws the lines on the picture and gives their text, column by column', async () => {
  const { page: tab, problems, close } = await startBrowser()
  try {
    await tab.goto(`${network.url}/playground?model=pp-ocrv4-rec`)
    await tab.locator('[data-testid=availability][data-availability=available]').waitFor()
    await tab.getByTestId('picture').setInputFiles(page('columns.png'))
    const answer = tab.locator('[data-testid=answer][data-phase=done]')
    await expect(answer.locator('p')).toHaveText(texts.columns, { timeout: answerMs })
    await expect(tab.getByTestId('box')).toHaveCount(texts.columns.length)
    await tab.getByTestId('how-made').locator('summary').click()
    // Found once, turned and read in batches.
    expect(await tab.getByTestId('run').count()).toBeGreaterThanOrEqual(3)
    await tab.getByTestId('example').click()
    await expect(answer).toContainText('lighthouse', { timeout: answerMs })
    expect(problems).toEqual([])
  } finally {
    await close()
  }
})
