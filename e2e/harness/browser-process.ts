/**
 * One Chromium of its own, with its own processes and profile, driven over its debugging port, so that it can be killed or
 * frozen like a stranger's machine.
 */
import { networkInterfaces } from 'node:os'
import { chromium as playwright, type Browser, type BrowserContext, type Page } from 'playwright'
import { startChromium, startMs, type ChromiumOptions } from './chromium.ts'
import type { ProcessGroup } from './process-group.ts'

export interface BrowserOptions extends ChromiumOptions {
  readonly colorScheme?: 'light' | 'dark'
}

export interface BrowserProcess {
  readonly group: ProcessGroup
  readonly context: BrowserContext
  readonly page: Page
  /** Errors that the console showed, and uncaught ones. */
  readonly problems: readonly string[]
  /** Ends it and removes what it left behind. Safe to call twice. */
  close(): Promise<void>
}

export async function startBrowser(options: BrowserOptions = {}): Promise<BrowserProcess> {
  const { colorScheme = 'light', signal } = options
  signal?.throwIfAborted()
  const chromium = await startChromium(options)
  const { group, url } = chromium
  let browser: Browser | undefined
  const close = async () => {
    await chromium.close(() => {
      const asked = browser?.newBrowserCDPSession().then((session) => session.send('Browser.close'))
      if (asked) asked.catch(() => undefined)
      else group.signal('SIGTERM')
    })
    await browser?.close().catch(() => undefined)
  }
  try {
    browser = await playwright.connectOverCDP(url, { timeout: startMs })
    const context = browser.contexts()[0]
    if (!context) throw new Error('Chromium started without a window.')
    // Without a default route Chromium names its addresses only to pages that may use camera and microphone.
    if (onLoopbackAlone()) await context.grantPermissions(['camera', 'microphone'])
    // A machine that happens to run on its battery would pause every volunteer.
    await context.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, 'getBattery'))
    const problems: string[] = []
    context.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    context.on('weberror', (error) => problems.push(String(error.error())))
    const page = context.pages()[0] ?? (await context.newPage())
    await page.emulateMedia({ colorScheme })
    return { group, context, page, problems, close }
  } catch (error) {
    await close()
    throw error
  }
}

export const onLoopbackAlone = () =>
  Object.values(networkInterfaces())
    .flat()
    .every((address) => address?.internal ?? true)
