/** The page as a person uses it: give with a click, ask in the playground, see who computed what. */
import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'

const screens = 'test-results/screens'
const phone = { width: 390, height: 844 }
const desktop = { width: 1280, height: 800 }
const answerMs = 60_000

let visitor: BrowserProcess

test.beforeAll(async () => {
  visitor = await startBrowser()
})
test.afterAll(() => visitor?.close())
test.afterEach('nothing went wrong in the console', () => expect(visitor.problems).toEqual([]))

async function shots(page: Page, name: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    for (const [kind, size] of Object.entries({ phone, desktop })) {
      await page.setViewportSize(size)
      await page.screenshot({ path: `${screens}/${name}-${kind}-${colorScheme}.png` })
      expect(
        await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
        `${name} on a ${kind} is no wider than the screen`,
      ).toBeLessThanOrEqual(0)
    }
  }
}

test('a question in the playground is answered by three browsers, with its receipt', async ({ chat }) => {
  const { page } = visitor
  const references = JSON.parse(await readFile(new URL('fixtures/greedy.json', import.meta.url), 'utf8')) as { text: string }[]
  await page.goto(`${chat.url}/playground`)
  await page.locator('[data-testid=availability][data-availability=available]').waitFor({ timeout: answerMs })
  await page.getByTestId('prompt').fill('What is the capital of France?')
  await page.getByTestId('send').click()
  const answer = page.locator('[data-testid=answer][data-phase=done]')
  await answer.waitFor({ timeout: answerMs })
  await expect(answer).toHaveText(references[0]?.text ?? '')
  await page.getByTestId('how-made').locator('summary').click()
  await expect(page.getByTestId('stage')).toHaveCount(3)
  await expect(page.getByTestId('receipt')).toHaveAttribute('data-status', /provisional|settled/, { timeout: answerMs })
  await shots(page, 'playground')
})

test('a picture in the playground is read by three browsers', async ({ reading }) => {
  const { page } = visitor
  await page.goto(`${reading.url}/playground`)
  await page.locator('[data-testid=availability][data-availability=available]').waitFor({ timeout: answerMs })
  await page.getByTestId('example').click()
  const answer = page.locator('[data-testid=answer][data-phase=done]')
  await answer.waitFor({ timeout: answerMs })
  expect((await answer.textContent())?.length).toBeGreaterThan(3)
  await shots(page, 'reading')
})

test('home and give fit phone and desktop, in light and dark', async ({ chat }) => {
  const { page } = visitor
  await page.goto(chat.url)
  await shots(page, 'home')
  await page.goto(`${chat.url}/give`)
  await shots(page, 'give')
})

test('giving can be paused, resumed and stopped, and says what it does', async ({ chat }) => {
  const { page } = visitor
  await page.setViewportSize(desktop)
  await page.goto(`${chat.url}/give`)
  await page.getByTestId('start').click()
  const phase = page.getByTestId('phase')
  await expect(phase).toHaveAttribute('data-phase', 'serving', { timeout: 180_000 })
  await shots(page, 'giving')
  await page.getByTestId('pause').click()
  await expect(phase).toHaveAttribute('data-phase', 'paused')
  await page.getByTestId('resume').click()
  await expect(phase).toHaveAttribute('data-phase', 'serving')
  await page.getByTestId('stop').click()
  await expect(page.getByTestId('thanks')).toBeVisible()
})
