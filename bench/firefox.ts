/** Debian's Firefox, driven by WebDriver BiDi, with its software GPU: what Playwright can't drive. */
import { stat } from 'node:fs/promises'
import { launch, type Browser, type Page } from 'puppeteer-core'

const places = ['/usr/bin/firefox-esr', '/usr/bin/firefox']

/** Undefined where there is none. */
export async function startFirefox(): Promise<{ page: Page; close(): Promise<void> } | undefined> {
  for (const executablePath of places) {
    if (!(await stat(executablePath).catch(() => undefined))) continue
    const browser: Browser = await launch({
      browser: 'firefox',
      executablePath,
      headless: true,
      extraPrefsFirefox: { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true, 'dom.webgpu.workers.enabled': true },
    })
    return { page: await browser.newPage(), close: () => browser.close() }
  }
  return undefined
}
