/** Giving as a person does it: one click, a line that always says why, pauses as chosen, one tab at a time, and what breaks around it mended. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CDPSession, Page } from 'playwright'
import { openLibrary, type LibraryModel } from '../models/library.ts'
import { connect } from '../sdk/node.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { isAccessible } from './harness/accessible.ts'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { createProject } from './harness/project.ts'
import { shots } from './harness/screens.ts'
import { slowLine } from './harness/slow-line.ts'
import { startUnwatched, type UnwatchedBrowser, type UnwatchedTab } from './harness/unwatched-browser.ts'

const servingMs = 60_000
const hourMs = 3_600_000
/** Nothing is held back: it is there to be torn. */
const goodLine = { bitsPerSecond: 1e12, delayMs: 0 }

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
  await page.setViewportSize({ width: 1280, height: 900 })
})
test.afterEach(async () => {
  const { problems, context } = browser
  // A tab whose browser is gone may be waited for until its lease ends.
  for (const open of context.pages()) await open.evaluate(leave)
  await browser.close()
  // Chrome reports by itself a network that it was told to lose.
  expect(
    problems.filter(
      (problem) => !/ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED/.test(problem),
    ),
  ).toEqual([])
})

const phaseIs = (of: Page, phase: string) => expect(of.getByTestId('phase')).toHaveAttribute('data-phase', phase, { timeout: servingMs })
const reasonIs = (of: Page, words: RegExp) => expect(of.getByTestId('reason')).toHaveText(words)

async function give(of: Page): Promise<void> {
  await of.goto(`${network.url}/give`)
  await of.getByTestId('start').click()
}

async function secondTab(): Promise<Page> {
  const second = await browser.context.newPage()
  await give(second)
  return second
}

/** A figure of the server's. */
async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${network.url}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

const volunteers = () => metric('manyhands_volunteers')
/** Those whose socket looks open. */
const peers = () => metric('manyhands_peers')

/** Whether a request would find somebody. */
async function serves(): Promise<boolean> {
  const asking = await connect({ server: network.url })
  try {
    return (await asking.models())[0]?.availability === 'available'
  } finally {
    await asking.close()
  }
}

/** An answer over whoever gives now. */
async function answer(maxTokens: number): Promise<number> {
  const asking = await connect({ server: network.url })
  try {
    return (await asking.generate('tiny-llama', 'Many hands', { maxTokens })).tokenIds.length
  } finally {
    await asking.close()
  }
}

/** Pictures of a state, and what axe finds in it. */
async function shown(of: Page, name: string): Promise<void> {
  await shots(of, name)
  for (const colorScheme of ['light', 'dark'] as const) {
    await of.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await isAccessible(of, `${name}, ${colorScheme}`)
  }
}

const leave = () => {
  for (const stop of document.querySelectorAll<HTMLElement>('[data-testid=stop]')) stop.click()
}

const cdp = (of: Page): Promise<CDPSession> => browser.context.newCDPSession(of)

test.describe('the first visit', () => {
  test('says what will happen and what this browser brings, and gives after one click', async () => {
    await page.goto(`${network.url}/give`)
    await expect(page.getByText('compute parts of other people’s AI requests')).toBeVisible()
    const findings = page.getByTestId('preflight').locator('[data-finding]')
    await expect(findings).toHaveCount(6)
    for (const [id, tone] of Object.entries({ secure: 'good', gpu: /good|wait/, processor: 'good', network: 'good', disk: 'good' }))
      await expect(page.locator(`[data-finding=${id}]`)).toHaveAttribute('data-tone', tone)
    await shown(page, 'give')
    await page.getByTestId('start').click()
    await phaseIs(page, 'serving')
    await reasonIs(page, /whenever somebody asks/)
    await expect(page.getByTestId('project')).toContainText('everyone who asks')
    await expect(page.getByTestId('now')).toContainText('Nobody asks')
    await answer(4)
    await expect(page.getByTestId('answers')).toHaveText('1')
    await expect(page.getByTestId('disk')).toHaveText(/\d [kM]B/)
    await expect(page.getByTestId('verified')).toHaveText(/^\d+ tokens?$/)
    await shown(page, 'giving')
  })

  test('from a project’s link is told whose requests come first', async () => {
    const cats = await createProject(network, { name: 'Cats', origins: ['https://cats.example'] })
    await page.goto(`${network.url}/give?project=${cats.id}`)
    await expect(page.getByTestId('project')).toContainText('Cats first, then everyone')
    await page.getByTestId('start').click()
    await phaseIs(page, 'serving')
    await expect(page.getByTestId('project')).toContainText('Cats first')
    await cats.revoke()
    await page.goto(`${network.url}/give?project=${cats.id}`)
    await expect(page.getByTestId('project')).toContainText('has ended')
  })

  test('loses its network before the click: it says so', async () => {
    await page.goto(`${network.url}/give`)
    await browser.context.setOffline(true)
    await expect(page.locator('[data-finding=network]')).toHaveAttribute('data-tone', 'bad')
    await browser.context.setOffline(false)
    await expect(page.locator('[data-finding=network]')).toHaveAttribute('data-tone', 'good')
  })

  test('keeps no choice that was not made; one that was is there again', async () => {
    const kept = () => page.evaluate(() => localStorage.getItem('manyhands-giving'))
    await give(page)
    await phaseIs(page, 'serving')
    expect(await kept()).toBeNull()
    await page.getByTestId('power').press('Home')
    await page.getByTestId('pause-whileHidden').check()
    expect(await kept()).not.toBeNull()
    await page.reload()
    await expect(page.getByTestId('power')).toHaveValue('10')
    await expect(page.getByTestId('pause-whileHidden')).toBeChecked()
  })
})

test.describe('it pauses', () => {
  test('for an hour, and goes on by itself', async () => {
    await page.clock.install()
    await give(page)
    await phaseIs(page, 'serving')
    await page.getByTestId('pause-hour').click()
    await phaseIs(page, 'paused')
    await reasonIs(page, /goes on by itself at \d/)
    await page.getByTestId('language').selectOption('de')
    await reasonIs(page, /geht es von selbst weiter/)
    await shown(page, 'paused-hour')
    await expect(answer(1)).rejects.toMatchObject({ code: 'no-volunteers' })
    await page.clock.runFor(hourMs)
    await phaseIs(page, 'serving')
    expect(await answer(1)).toBe(1)
  })

  test('on battery, unless the person wants it all the same', async () => {
    await page.addInitScript(() => {
      const battery = Object.assign(new EventTarget(), { charging: true })
      Object.assign(globalThis, { battery })
      Object.assign(Navigator.prototype, { getBattery: async () => battery })
    })
    const plugged = (charging: boolean) =>
      page.evaluate((value) => {
        const battery = Reflect.get(globalThis, 'battery') as EventTarget & { charging: boolean }
        battery.charging = value
        battery.dispatchEvent(new Event('chargingchange'))
      }, charging)
    await give(page)
    await phaseIs(page, 'serving')
    await plugged(false)
    await phaseIs(page, 'paused')
    await reasonIs(page, /battery.*goes on when it is plugged in/)
    await shown(page, 'paused-battery')
    await plugged(true)
    await phaseIs(page, 'serving')
    await plugged(false)
    await phaseIs(page, 'paused')
    await page.getByTestId('resume').click()
    await phaseIs(page, 'serving')
    await expect(page.getByTestId('pause-onBattery')).not.toBeChecked()
  })

  test('on Save-Data before a byte of weights has come', async () => {
    const device = await cdp(page)
    await device.send('Emulation.setDataSaverOverride', { dataSaverEnabled: true })
    await page.goto(`${network.url}/give`)
    await expect(page.locator('[data-finding=network]')).toHaveAttribute('data-tone', 'wait')
    const fetched: string[] = []
    browser.context.on('request', (request) => fetched.push(request.url()))
    await page.getByTestId('start').click()
    await phaseIs(page, 'paused')
    await reasonIs(page, /save data/)
    expect(fetched.filter((url) => url.includes('/blobs/'))).toEqual([])
    await page.getByTestId('resume').click()
    await phaseIs(page, 'serving')
  })

  test('under pressure where that was chosen, and goes on when it has eased for a while', async () => {
    const device = await cdp(page)
    await device.send('Emulation.setPressureSourceOverrideEnabled', { source: 'cpu', enabled: true })
    await page.clock.install()
    await give(page)
    await phaseIs(page, 'serving')
    await page.getByTestId('pause-onPressure').check()
    await device.send('Emulation.setPressureStateOverride', { source: 'cpu', state: 'critical' })
    await phaseIs(page, 'paused')
    await reasonIs(page, /busy.*calm/)
    await device.send('Emulation.setPressureStateOverride', { source: 'cpu', state: 'nominal' })
    // The page hears of it some moments later, and a minute counts from then.
    await expect(async () => {
      await page.clock.runFor(61_000)
      await expect(page.getByTestId('phase')).toHaveAttribute('data-phase', 'serving', { timeout: 1_000 })
    }).toPass({ timeout: servingMs })
  })
})

test.describe('a second tab', () => {
  test('does not give beside the first, and takes over when that one ends', async () => {
    await give(page)
    await phaseIs(page, 'serving')
    const second = await secondTab()
    await phaseIs(second, 'elsewhere')
    await reasonIs(second, /takes over/)
    await shown(second, 'elsewhere')
    expect(await volunteers()).toBe(1)
    await page.close()
    await phaseIs(second, 'serving')
    expect(await volunteers()).toBe(1)
    expect(await answer(1)).toBe(1)
  })

  test('gives instead of the first at its person’s word', async () => {
    await give(page)
    await phaseIs(page, 'serving')
    const second = await secondTab()
    await phaseIs(second, 'elsewhere')
    await second.getByTestId('give-here').click()
    await phaseIs(second, 'serving')
    await phaseIs(page, 'elsewhere')
    await expect.poll(volunteers).toBe(1)
  })
})

test('its network goes and comes back: it says so, and gives again by itself', async () => {
  const line = await slowLine(network.url, goodLine)
  try {
    await page.goto(`${line.url}/give`)
    await page.getByTestId('start').click()
    await phaseIs(page, 'serving')
    line.setTorn(true)
    await reasonIs(page, /out of reach/)
    await phaseIs(page, 'serving')
    line.setTorn(false)
    await expect(page.getByTestId('reason')).toHaveText(/whenever somebody asks/, { timeout: servingMs })
    expect(await answer(1)).toBe(1)
  } finally {
    await line.close()
  }
})

/** Tabs of a browser where one is in front and the others are not, as a person has them. */
test.describe('behind another tab', () => {
  let unwatched: UnwatchedBrowser
  const tabs: UnwatchedTab[] = []
  test.beforeEach(async () => {
    unwatched = await startUnwatched()
  })
  test.afterEach(async () => {
    for (const tab of tabs.splice(0)) await tab.evaluate(leave)
    await unwatched?.close()
  })

  const shows = {
    serving: () => document.querySelector('[data-phase=serving]') !== null,
    paused: () => document.querySelector('[data-paused=hidden]') !== null,
    elsewhere: () => document.querySelector('[data-phase=elsewhere]') !== null,
    start: () => document.querySelector('[data-testid=start]') !== null,
  }
  const press = {
    start: () => (document.querySelector('[data-testid=start]') as HTMLElement).click(),
    here: () => (document.querySelector('[data-testid=give-here]') as HTMLElement).click(),
    pauseHidden: () => (document.querySelector('[data-testid=pause-whileHidden]') as HTMLElement).click(),
  }

  async function giving(): Promise<UnwatchedTab> {
    const tab = await unwatched.open(`${network.url}/give`)
    tabs.push(tab)
    await tab.until(shows.start)
    await tab.evaluate(press.start)
    return tab
  }

  async function hide(tab: UnwatchedTab): Promise<UnwatchedTab> {
    const front = await unwatched.open(network.url)
    await front.bringToFront()
    await tab.until(() => document.visibilityState === 'hidden')
    return front
  }

  test('it gives on, or pauses where that was chosen', async () => {
    const tab = await giving()
    await tab.until(shows.serving)
    await hide(tab)
    expect(await answer(8)).toBe(8)
    await tab.evaluate(press.pauseHidden)
    await tab.until(shows.paused)
    await tab.bringToFront()
    await tab.until(shows.serving)
    expect(await answer(1)).toBe(1)
  })

  test('a tab that the browser froze is missed, and gives again by itself when it is thawed', async () => {
    const tab = await giving()
    await tab.until(shows.serving)
    await hide(tab)
    await tab.setFrozen(true)
    // Its socket looks open as long as it is frozen; its lease runs out.
    await expect.poll(serves, { timeout: servingMs }).toBe(false)
    await tab.setFrozen(false)
    await expect.poll(serves, { timeout: servingMs }).toBe(true)
    await tab.until(shows.serving)
    expect(await answer(1)).toBe(1)
  })

  test('a frozen tab does not keep another one from giving, and stands back when it is thawed', async () => {
    const frozen = await giving()
    await frozen.until(shows.serving)
    await hide(frozen)
    await frozen.setFrozen(true)
    const second = await giving()
    await second.until(shows.elsewhere)
    await second.evaluate(press.here)
    await second.until(shows.serving)
    await frozen.setFrozen(false)
    await frozen.until(shows.elsewhere)
    expect(await peers()).toBe(1)
    expect(await answer(1)).toBe(1)
  })
})

test.describe('it ends', () => {
  test('with the answers that it holds, where the person lets it finish', async () => {
    await give(page)
    await phaseIs(page, 'serving')
    await page.getByTestId('power').press('Home')
    const asked = answer(480)
    await expect(page.getByTestId('now')).toContainText('1 answer')
    await page.getByTestId('finish').click()
    await reasonIs(page, /Handing over/)
    await page.getByTestId('power').press('End')
    expect(await asked).toBe(480)
    await expect(page.getByTestId('thanks')).toContainText('helped with 1 answer')
    await shown(page, 'given')
  })

  test('and its weights can be removed with one button, though not while it gives', async () => {
    await give(page)
    await phaseIs(page, 'serving')
    await expect(page.getByTestId('kept-remove')).toBeDisabled()
    await page.getByTestId('stop').click()
    await expect(page.getByTestId('kept')).toHaveText(/\d [kM]B/)
    await page.getByTestId('kept-remove').click()
    await expect(page.getByTestId('kept')).toHaveText('No weights are kept here.')
    await page.getByTestId('start').click()
    await phaseIs(page, 'serving')
    await expect(page.getByTestId('weights').locator('..')).toContainText('all downloaded now')
  })
})
