/** Two pipelines that share nobody agree before anything is given out; how sure an answer is shows in the playground. */
import { readFile } from 'node:fs/promises'
import { connect } from '../sdk/node.ts'
import type { Message } from '../sdk/types.ts'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { catalogueModel, sharedLibrary, startNetwork } from './harness/network.ts'

const name = 'smollm2-135m-instruct'
const answerMs = 60_000
const references = JSON.parse(await readFile(new URL('fixtures/greedy.json', import.meta.url), 'utf8')) as readonly {
  readonly messages: readonly Message[]
  readonly text: string
}[]

test('two volunteers who each hold the whole model agree, in code and in the playground; three can’t be had', async () => {
  const model = await catalogueModel(name)
  const network = await startNetwork({ model, library: sharedLibrary, stages: 1, volunteers: ['tab', 'tab'] })
  try {
    const asking = await connect({ server: network.url })
    network.onClose(() => asking.close())
    const [{ messages, text }] = references as [(typeof references)[number]]
    const generation = asking.generate(name, messages, { maxTokens: 64, verify: { quorum: 2 } })
    let streamed = ''
    for await (const piece of generation) streamed += piece
    expect(streamed).toBe(text)
    expect((await generation).text).toBe(text)
    const receipts = await generation.receipts
    expect(receipts).toHaveLength(2)
    expect(new Set(receipts.flatMap(({ stages }) => stages.map(({ peer }) => peer))).size).toBe(2)
    await expect(generation.settled).resolves.toMatchObject({ status: 'settled' })
    const file = await generation.record()
    expect(file.receipts.at(-1)?.status).toBe('settled')
    await expect(asking.generate(name, messages, { verify: { quorum: 3 } })).rejects.toMatchObject({
      code: 'no-volunteers',
      message: expect.stringContaining('there are volunteers for 2'),
    })

    const { page, close } = await startBrowser()
    network.onClose(close)
    await page.goto(`${network.url}/playground?model=${name}`)
    await page.getByTestId('checking').selectOption('two')
    await page.getByTestId('prompt').fill('What is the capital of France?')
    await page.getByTestId('send').click()
    const checked = page.getByTestId('checked')
    await expect(page.locator('[data-testid=answer][data-phase=done]')).toContainText('Paris', { timeout: answerMs })
    await expect(checked).toHaveAttribute('data-state', 'agreed')
    await page.getByTestId('how-made').locator('summary').click()
    await expect(page.getByTestId('stage')).toHaveCount(2, { timeout: answerMs })

    await page.getByTestId('checking').selectOption('audit')
    await page.getByTestId('prompt').fill('Name three animals that live in the sea.')
    await page.getByTestId('send').click()
    await expect(checked.last()).toHaveAttribute('data-state', 'settled', { timeout: answerMs })
    await expect(checked.last()).toContainText(/\d+ of \d+ chunks computed again by others|was not drawn/)
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      (async () => {
        await page.getByTestId('how-made').last().locator('summary').click()
        await page.getByTestId('save-receipt').last().click()
      })(),
    ])
    expect(JSON.parse(await readFile(await download.path(), 'utf8'))).toMatchObject({ v: 1, receipts: [{}, { status: 'settled' }] })
  } finally {
    await network.close()
  }
})
