/** The page as a person uses it: give with a click, ask in the playground, see who computed what; nothing before, nothing after. */
import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright'
import type { Network } from '../sdk/types.ts'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { catalogueModel, sharedLibrary, startNetwork } from './harness/network.ts'

const screens = 'test-results/screens'
const phone = { width: 360, height: 740 }
const desktop = { width: 1280, height: 800 }
const answerMs = 60_000
const servingMs = 120_000
const model = 'smollm2-135m-instruct'
const capital = 'What is the capital of France?'
const story = 'Tell me a very long story about a lighthouse.'

let visitor: BrowserProcess

test.beforeAll(async () => {
  visitor = await startBrowser()
})
test.afterAll(() => visitor?.close())
test.afterEach('nothing went wrong in the console', () => {
  // Chrome reports a server that is gone by itself; one test takes its server away.
  expect(visitor.problems.filter((problem) => !problem.includes('ERR_CONNECTION_REFUSED'))).toEqual([])
})

/** Both schemes on a phone and a desktop. */
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

/** A figure of the server's. */
async function metric(server: string, name: string): Promise<number> {
  const text = await (await fetch(`${server}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

async function openPlayground(server: string): Promise<Page> {
  const { page } = visitor
  await page.setViewportSize(desktop)
  await page.goto(`${server}/playground?model=${model}`)
  await page.locator('[data-testid=availability][data-availability=available]').waitFor({ timeout: answerMs })
  return page
}

async function ask(page: Page, question: string): Promise<void> {
  await page.getByTestId('prompt').fill(question)
  await page.getByTestId('send').click()
}

const answer = (page: Page, phase: string, nth = -1) => {
  const found = page.locator(`[data-testid=answer][data-phase=${phase}]`)
  return nth < 0 ? found.last() : found.nth(nth)
}

async function give(page: Page, server: string): Promise<void> {
  await page.goto(`${server}/give`)
  await page.getByTestId('start').click()
  await serving(page)
}

const serving = (page: Page) => expect(page.getByTestId('phase')).toHaveAttribute('data-phase', 'serving', { timeout: servingMs })

test.describe('before a click', () => {
  test('nothing connects, computes or is stored, and little is loaded', async ({ chat }) => {
    const page = await visitor.context.newPage()
    try {
      const begun: string[] = []
      page.on('websocket', (socket) => begun.push(`socket ${socket.url()}`))
      page.on('worker', (worker) => begun.push(`worker ${worker.url()}`))
      await page.addInitScript(() => {
        const calls: string[] = []
        Object.assign(globalThis, { calls })
        const watched = [
          [StorageManager.prototype, 'getDirectory'],
          [CacheStorage.prototype, 'open'],
          [IDBFactory.prototype, 'open'],
          [Storage.prototype, 'setItem'],
          [RTCPeerConnection.prototype, 'createDataChannel'],
          [WebAssembly, 'compile'],
          [WebAssembly, 'compileStreaming'],
          ['gpu' in navigator ? Object.getPrototypeOf(navigator.gpu) : {}, 'requestAdapter'],
        ]
        for (const [owner, name] of watched) {
          const original = owner[name]
          owner[name] = function (this: unknown, ...args: unknown[]) {
            calls.push(name)
            return Reflect.apply(original, this, args)
          }
        }
      })
      await page.goto(chat.url)
      await page.locator('a[href="/give"]').first().click()
      await page.getByTestId('power').press('Home')
      await page.getByTestId('memory').selectOption({ index: 0 })
      await expect(page.getByTestId('start')).toBeEnabled()
      expect(begun).toEqual([])
      expect(await page.evaluate(() => Reflect.get(globalThis, 'calls'))).toEqual([])

      await page.goto(`${chat.url}/give`)
      await page.evaluate(
        () => new Promise((painted) => new PerformanceObserver(() => painted(true)).observe({ type: 'paint', buffered: true })),
      )
      const loaded = await page.evaluate(() =>
        performance
          .getEntries()
          .flatMap((entry) => (entry instanceof PerformanceResourceTiming ? [{ name: entry.name, bytes: entry.encodedBodySize }] : [])),
      )
      expect(loaded.filter(({ name }) => /\/ort\/|\.wasm|volunteer|peer/.test(name))).toEqual([])
      expect(loaded.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(150_000)
    } finally {
      await page.close()
    }
  })

  test('home and give fit phone and desktop, in light and dark; another address says that nothing is there', async ({ chat }) => {
    const { page } = visitor
    for (const [path, name] of Object.entries({ '/': 'home', '/give': 'give', '/nowhere': 'missing' })) {
      await page.goto(chat.url + path)
      await shots(page, name)
    }
    await expect(page.locator('h1')).toHaveText('There is no such page')
  })

  test('every stop of the Tab key shows where one is, and comes to the button', async ({ chat }) => {
    const { page } = visitor
    await page.setViewportSize(desktop)
    await page.goto(`${chat.url}/give`)
    const stops: string[] = []
    do {
      await page.keyboard.press('Tab')
      const { name, outline } = await page.evaluate(() => {
        const focused = document.activeElement as HTMLElement
        return { name: focused.dataset['testid'] ?? focused.textContent?.trim() ?? '', outline: getComputedStyle(focused).outlineStyle }
      })
      expect(outline, name).toBe('solid')
      stops.push(name)
    } while (stops.at(-1) !== 'start' && stops.length < 20)
    expect(stops).toEqual(['Skip to the page', '', 'Give', 'Playground', 'Network', 'Models', 'Impact', 'Trust', 'start'])
  })

  test('nothing moves for those who asked for less motion', async ({ chat }) => {
    const { page } = visitor
    await page.goto(chat.url)
    expect(await page.evaluate(() => document.getAnimations().length)).toBeGreaterThan(0)
    await page.emulateMedia({ reducedMotion: 'reduce' })
    expect(await page.evaluate(() => document.getAnimations().length)).toBe(0)
    await page.emulateMedia({ reducedMotion: null })
  })
})

test.describe('giving', () => {
  test('it can be steered, paused and resumed, says what it does, and ends within the click', async ({ chat }) => {
    const { page } = visitor
    await page.setViewportSize(desktop)
    const sockets = new Set<unknown>()
    page.on('websocket', (socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    const phase = page.getByTestId('phase')
    await page.goto(`${chat.url}/give`)
    // By keyboard: focus goes on to what took the button's place, and back.
    await page.getByTestId('start').press('Enter')
    await serving(page)
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('What this tab does now')
    await expect(page.getByTestId('backend')).toHaveText('CPU (wasm)')
    await expect(page.getByTestId('fallback')).toContainText('Why not the GPU')
    await shots(page, 'giving')

    const told = await page.evaluate(async () => {
      const messages: string[] = []
      const { postMessage } = Worker.prototype
      Worker.prototype.postMessage = function (this: Worker, message: unknown, ...rest: never[]) {
        messages.push(JSON.stringify(message))
        postMessage.call(this, message, ...rest)
      }
      const power = document.querySelector('[data-testid=power]') as HTMLInputElement
      power.value = '40'
      power.dispatchEvent(new Event('input', { bubbles: true }))
      Worker.prototype.postMessage = postMessage
      return messages.join()
    })
    expect(told).toContain('setPower')
    expect(told).toContain('0.4')

    await page.getByTestId('pause').press('Enter')
    await expect(phase).toHaveAttribute('data-phase', 'paused')
    await expect(page.getByTestId('resume')).toBeFocused()
    await page.getByTestId('resume').press('Enter')
    await expect(phase).toHaveAttribute('data-phase', 'serving')

    const atOnce = await page.evaluate(() => {
      const ended: string[] = []
      const { terminate } = Worker.prototype
      Worker.prototype.terminate = function (this: Worker) {
        ended.push('worker')
        terminate.call(this)
      }
      ;(document.querySelector('[data-testid=stop]') as HTMLElement).click()
      return ended
    })
    expect(atOnce).toEqual(['worker'])
    await expect(page.getByTestId('thanks')).toBeVisible()
    await expect.poll(() => page.workers().length).toBe(0)
    await expect.poll(() => sockets.size).toBe(0)
    await shots(page, 'given')
  })

  test('another page of the site shows that this tab gives; a tab that reloads has left, and a second one waits meanwhile', async ({
    chat,
  }) => {
    const { page, context } = visitor
    const volunteers = () => metric(chat.url, 'manyhands_volunteers')
    const before = await volunteers()
    await give(page, chat.url)
    await page.locator('nav a[href="/playground"]').click()
    await expect(page.locator('header').getByText('Giving')).toBeVisible()
    await shots(page, 'playground-giving')
    expect(await volunteers()).toBe(before + 1)

    const second = await context.newPage()
    await second.goto(`${chat.url}/give`)
    await second.getByTestId('start').click()
    await expect(second.getByTestId('phase')).toHaveAttribute('data-phase', 'elsewhere', { timeout: servingMs })
    expect(await volunteers()).toBe(before + 1)
    await second.close({ runBeforeUnload: false })

    await page.reload()
    await expect.poll(volunteers).toBe(before)
    await page.goto(`${chat.url}/give`)
    await expect(page.getByTestId('start')).toHaveText('Start giving')
  })
})

test.describe('asking', () => {
  test('a question is answered by three browsers, with its receipt', async ({ chat }) => {
    const references = JSON.parse(await readFile(new URL('fixtures/greedy.json', import.meta.url), 'utf8')) as { text: string }[]
    const page = await openPlayground(chat.url)
    await ask(page, capital)
    await expect(answer(page, 'done')).toHaveText(references[0]?.text ?? '', { timeout: answerMs })
    await page.getByTestId('how-made').locator('summary').click()
    await expect(page.getByTestId('stage')).toHaveCount(3)
    await expect(page.getByTestId('receipt')).toHaveAttribute('data-status', /provisional|settled/, { timeout: answerMs })
    await shots(page, 'playground')
  })

  test('Enter sends, Shift+Enter breaks the line, earlier turns are kept, and the answer is spoken', async ({ chat, asking }) => {
    const page = await openPlayground(chat.url)
    const prompt = page.getByTestId('prompt')
    await prompt.fill('What is the capital')
    await prompt.press('Shift+Enter')
    await prompt.pressSequentially('of France?')
    await expect(prompt).toHaveValue('What is the capital\nof France?')
    await prompt.press('Enter')
    await expect(prompt).toHaveValue('')
    const first = await answer(page, 'done').innerText({ timeout: answerMs })
    await ask(page, 'And of Italy?')
    await answer(page, 'done', 1).waitFor({ timeout: answerMs })
    const { text } = await conversation(asking, first)
    await expect(answer(page, 'done', 1)).toHaveText(text)
    const spoken = await page.locator('[aria-live=polite]').last().textContent()
    expect(spoken).toMatch(/\S/)
    expect(text.endsWith(spoken ?? '?')).toBe(true)
    await page.getByTestId('new').click()
    await expect(page.getByTestId('answer')).toHaveCount(0)
  })

  const conversation = (network: Network, first: string) =>
    network.generate(model, [
      { role: 'user', content: 'What is the capital\nof France?' },
      { role: 'assistant', content: first },
      { role: 'user', content: 'And of Italy?' },
    ])

  test('Stop ends the answer at the volunteers too, and what was said stays', async ({ chat }) => {
    const page = await openPlayground(chat.url)
    await ask(page, story)
    await answer(page, 'answer').waitFor({ timeout: answerMs })
    expect(await metric(chat.url, 'manyhands_sessions')).toBe(1)
    await page.getByTestId('stop').click()
    await expect(answer(page, 'stopped')).toHaveText(/\w/)
    await expect(page.getByTestId('prompt')).toBeFocused()
    await expect.poll(() => metric(chat.url, 'manyhands_sessions')).toBe(0)
  })

  test('a long answer is followed as it grows, unless one has scrolled away', async ({ chat }) => {
    const page = await openPlayground(chat.url)
    await page.setViewportSize({ width: 360, height: 480 })
    await ask(page, story)
    const below = () => page.evaluate(() => document.documentElement.scrollHeight - innerHeight - scrollY)
    const grownPast = (height: number) =>
      page.waitForFunction((than) => document.documentElement.scrollHeight > than, height, { timeout: answerMs })
    const height = () => page.evaluate(() => document.documentElement.scrollHeight)
    await answer(page, 'answer').waitFor({ timeout: answerMs })
    await grownPast((await height()) + 60)
    await expect.poll(below).toBeLessThanOrEqual(1)
    await expect(page.getByTestId('prompt')).toBeInViewport()

    await page.evaluate(() => scrollTo(0, 0))
    await grownPast((await height()) + 60)
    expect(await page.evaluate(() => scrollY)).toBe(0)
    await page.getByTestId('stop').click()
    await answer(page, 'stopped').waitFor()
  })

  test('a question too long for the model is refused in words, and the page stays as wide as the screen', async ({ chat }) => {
    const page = await openPlayground(chat.url)
    await ask(page, 'The quick brown fox jumps over the lazy dog. '.repeat(900))
    await expect(page.getByTestId('error')).toHaveAttribute('data-code', 'context-overflow', { timeout: answerMs })
    await shots(page, 'overflow')
  })
})

test('without volunteers the playground says so and asks for a hand; without a server both pages say that too', async () => {
  const network = await startNetwork({ model: await catalogueModel(model), library: sharedLibrary, stages: 1, volunteers: [] })
  const { context, page } = visitor
  const giver = await context.newPage()
  try {
    await page.goto(`${network.url}/playground`)
    await expect(page.getByTestId('availability')).toHaveAttribute('data-availability', 'unavailable')
    await ask(page, 'Hello?')
    const error = page.getByTestId('error')
    await expect(error).toHaveAttribute('data-code', 'no-volunteers')
    await expect(error.getByText('Lend this tab')).toHaveAttribute('href', '/give')
    await shots(page, 'no-volunteers')

    // Memory for no part of the model: it says what would help.
    await giver.goto(`${network.url}/give`)
    await giver.getByTestId('memory').selectOption({ index: 0 })
    await giver.getByTestId('start').click()
    await expect(giver.getByTestId('reason')).toContainText('memory')
    await expect(giver.getByTestId('phase')).toHaveAttribute('data-phase', 'waiting')

    await network.server.close()
    await expect(page.getByTestId('degraded')).toBeVisible()
    await expect(giver.getByTestId('phase')).toHaveAttribute('data-phase', 'connecting')
    await shots(giver, 'server-gone')
    await giver.getByTestId('stop').click()
    await expect(giver.getByTestId('thanks')).toBeVisible()
  } finally {
    await giver.close()
    await network.close()
  }
})
