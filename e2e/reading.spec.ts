/** A model that is no decoder, over three browsers by the same path: a picture of a printed line is read. */
import { Tensor } from 'onnxruntime-common'
import { connect } from '../sdk/node.ts'
import { linesFeed, parseCharacters, readLines, readPhoto, type PhotoRun } from '../sdk/ocr/index.ts'
import type { MapCheckpoint, RunResult } from '../sdk/types.ts'
import { printedLine, printedText } from '../testing/printed-line.ts'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'

const model = 'pp-ocrv4-rec'

test('a picture of a line of text is read by three browsers', async ({ reading }) => {
  const network = await connect({ server: reading.url })
  try {
    const { text, runs } = await readPhoto(network, printedLine(), { models: { find: null, turn: null } })
    expect(text).toBe(printedText)
    const [{ stages, receipt }] = runs as readonly [PhotoRun]
    expect(new Set(stages.map((stage) => stage.peer)).size).toBe(3)
    expect((await receipt).custody.failed).toBe(0)
  } finally {
    await network.close()
  }
})

test('many lines go by map: several at once, in order, and on from a checkpoint', async ({ reading }) => {
  const network = await connect({ server: reading.url })
  const lines = [0, 1, 2, 3, 4, 5]
  const feeds = () => {
    const { data, dims } = linesFeed([printedLine()])
    return { x: new Tensor('float32', data, [...dims]) }
  }
  try {
    const characters = parseCharacters(await network.file(model, 'characters'))
    const text = ({ outputs }: RunResult) => {
      const output = Object.values(outputs)[0] as Tensor
      return readLines(output.data as Float32Array, output.dims, characters)[0]?.text
    }
    let most = 0
    const mapping = network.map(model, lines, { feeds, onProgress: ({ underWay }) => (most = Math.max(most, underWay)) })
    const seen: number[] = []
    for await (const { index, result } of mapping) {
      expect(text(result)).toBe(printedText)
      seen.push(index)
      if (index === 3) break
    }
    expect(seen).toEqual([0, 1, 2, 3])
    // A line for each stage, so that none of them waits.
    expect(most).toBeGreaterThanOrEqual(3)
    const resume = JSON.parse(JSON.stringify(mapping.checkpoint())) as MapCheckpoint
    const rest = await network.map(model, lines, { feeds, resume })
    expect(rest.map(({ index, result }) => [index, text(result)])).toEqual([3, 4, 5].map((index) => [index, printedText]))
  } finally {
    await network.close()
  }
})

test('the playground reads its example, and a picture that is chosen', async ({ reading }) => {
  const { page, problems, close } = await startBrowser()
  try {
    await page.goto(`${reading.url}/playground`)
    await page.locator('[data-testid=availability][data-availability=available]').waitFor()
    const answer = page.locator('[data-testid=answer][data-phase=done]')
    await page.getByTestId('example').click()
    // Which words exactly depends on the fonts of the machine that draws them.
    await expect(answer).toHaveText(/hands/)
    const read = await answer.innerText()
    const first = await answer.elementHandle()
    const png = await page.locator('canvas').evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL('image/png'))
    const buffer = Buffer.from(png.slice(png.indexOf(',') + 1), 'base64')
    await page.getByTestId('picture').setInputFiles({ name: 'line.png', mimeType: 'image/png', buffer })
    await first?.waitForElementState('hidden')
    await expect(answer).toHaveText(read)
    await page.getByTestId('how-made').locator('summary').click()
    await expect(page.getByTestId('stage')).toHaveCount(3)
    await page.getByTestId('picture').setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') })
    await expect(page.getByTestId('error')).toHaveAttribute('data-code', 'bad-input')
    expect(problems).toEqual([])
  } finally {
    await close()
  }
})

test('feeds that do not fit are refused by name before anything travels', async ({ reading }) => {
  const network = await connect({ server: reading.url })
  const line = new Float32Array(3 * 48 * 320)
  try {
    await expect(network.run(model, {})).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining("'x'") })
    await expect(network.run(model, { y: new Tensor('float32', line, [1, 3, 48, 320]) })).rejects.toMatchObject({ code: 'bad-input' })
    await expect(network.run(model, { x: new Tensor('float32', line, [3, 48, 320]) })).rejects.toMatchObject({ code: 'bad-input' })
    await expect(network.run(model, { x: new Tensor('int32', new Int32Array(line.length), [1, 3, 48, 320]) })).rejects.toMatchObject({
      code: 'bad-input',
    })
    line[5] = Number.NaN
    await expect(network.run(model, { x: new Tensor('float32', line, [1, 3, 48, 320]) })).rejects.toMatchObject({ code: 'not-finite' })
  } finally {
    await network.close()
  }
})
