/** A volunteer as a person makes one: a browser, the Give page, a click. */
import type { Page } from 'playwright'
import { startBrowser, type BrowserOptions, type BrowserProcess } from './browser-process.ts'

export interface VolunteerTab {
  readonly browser: BrowserProcess
  /** When its page was asked for, by performance.now(). */
  readonly openedAt: number
  /** What its page shows. */
  state(): Promise<GiveState>
  /** Until it serves. Rejects with the page's own reason when it fails, or after `timeoutMs`. */
  serving(timeoutMs: number, signal?: AbortSignal): Promise<GiveState>
}

export interface GiveState {
  readonly phase: string
  readonly reason: string
  /** [first, endExclusive], where it holds any. */
  readonly blocks: readonly [number, number] | undefined
  /** In the page's words. */
  readonly backend: string | undefined
  /** Bytes of its weights and where they came from, in the page's words. */
  readonly weights: string | undefined
}

export interface JoinOptions extends BrowserOptions {
  /** False: the page gets no shared memory, and so computes on one thread. */
  readonly isolated?: boolean
  /** What is done to its browser before the page is opened. */
  readonly before?: (page: Page) => Promise<unknown>
}

/** A page that has not loaded by then won't. */
const pageMs = 60_000

/** Opens the page and clicks; resolves once the click has been taken. */
export async function joinAsVolunteer(server: string, options: JoinOptions = {}): Promise<VolunteerTab> {
  const browser = await startBrowser(options)
  try {
    await options.before?.(browser.page)
    if (options.isolated === false) await withoutIsolation(browser.page)
    const openedAt = performance.now()
    await browser.page.goto(`${server}/give`, { timeout: pageMs })
    await browser.page.getByTestId('start').click({ timeout: pageMs })
    await browser.page.getByTestId('phase').waitFor({ timeout: pageMs })
    return { browser, openedAt, state: () => giveState(browser.page), serving: (timeoutMs, signal) => serving(browser, timeoutMs, signal) }
  } catch (error) {
    await browser.close()
    throw error
  }
}

async function withoutIsolation(page: Page): Promise<void> {
  // A page that was handed to the browser has no address, and so has to ask before it speaks to this machine.
  await page.context().grantPermissions(['local-network-access'])
  await page.route('**/give', async (route) => {
    const response = await route.fetch()
    const { 'cross-origin-opener-policy': _, 'cross-origin-embedder-policy': __, ...headers } = response.headers()
    await route.fulfill({ response, headers })
  })
}

async function serving({ page, group }: BrowserProcess, timeoutMs: number, signal?: AbortSignal): Promise<GiveState> {
  const settled = page.locator('[data-testid=phase][data-phase=serving], [data-testid=phase][data-phase=failed]')
  const waited = new AbortController()
  const stopped = new Promise<never>((_, reject) => {
    if (signal?.aborted) reject(signal.reason)
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true, signal: waited.signal })
    void group.ended.then(() => reject(new Error("A volunteer's browser ended.")))
  })
  try {
    await Promise.race([settled.waitFor({ timeout: timeoutMs }), stopped])
  } catch (error) {
    if (signal?.aborted || !group.running) throw error
    const { phase, reason } = await giveState(page)
    throw new Error(`A volunteer did not serve within ${timeoutMs / 1000} s; its page says: ${phase}, ${reason}`, { cause: error })
  } finally {
    waited.abort()
  }
  const state = await giveState(page)
  if (state.phase !== 'serving') throw new Error(`A volunteer can't serve: ${state.reason}`)
  return state
}

async function giveState(page: Page): Promise<GiveState> {
  // What runs in the page names no function: the loader that runs us without a build would add a helper that isn't there.
  const parts = await page.locator('[data-testid]').evaluateAll((found) =>
    found.map((element) => ({
      data: Object.fromEntries(Object.entries((element as HTMLElement).dataset)),
      text: element.textContent?.trim() ?? '',
      around: element.parentElement?.textContent?.trim() ?? '',
    })),
  )
  const find = (id: string) => parts.find((part) => part.data['testid'] === id)
  const blocks = find('blocks')?.data
  return {
    phase: find('phase')?.data['phase'] ?? 'stopped',
    reason: find('reason')?.text ?? '',
    blocks: blocks ? [Number(blocks['first']), Number(blocks['end'])] : undefined,
    backend: find('backend')?.text || undefined,
    weights: find('weights')?.around,
  }
}
