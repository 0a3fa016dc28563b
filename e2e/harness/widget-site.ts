/** A site with the widget, of another origin than the server's, under the strictest policy that lets it be shown. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { FrameLocator, Page } from 'playwright'
import type { ManyHandsElement } from '../../web/widget/element.ts'
import { otherSite } from './other-site.ts'

export const { version } = JSON.parse(await readFile(fileURLToPath(new URL('../../package.json', import.meta.url)), 'utf8')) as {
  version: string
}

export interface WidgetSite {
  /** Of the site. */
  readonly origin: string
  /** Puts this tag's page at `/`; returns nothing else than before for pages that are open. */
  show(tag: string): void
  close(): Promise<void>
}

/** @param headers of its answers */
export async function widgetSite(server: string, headers: Readonly<Record<string, string>> = {}): Promise<WidgetSite> {
  const files: Record<string, string> = {}
  const { integrity } = (await (await fetch(`${server}/w/${version}/mh.json`)).json()) as { integrity: string }
  const script = `${server}/w/${version}/mh.js`
  const site = await otherSite(files, headers)
  return {
    origin: site.origin,
    show(tag) {
      files['/index.html'] = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src ${script}; frame-src ${server}; require-trusted-types-for 'script'" />
  <title>A garden</title>
  <script src="${script}" integrity="${integrity}" crossorigin></script>
  <p>Seeds, and how to sow them. <button id="own">Show more seeds</button></p>
  ${tag}
</html>`
    },
    close: () => site.close(),
  }
}

/** Opens the site and notes what its page is told: every change of state, and every message at all. */
export async function openSite(page: Page, origin: string): Promise<void> {
  await page.addInitScript(() => {
    const told: unknown[] = []
    const messages: string[] = []
    Object.assign(globalThis, { told, messages })
    addEventListener('statechange', (event) => told.push((event as CustomEvent).detail))
    if (window === window.top) addEventListener('message', ({ data }) => messages.push(JSON.stringify(data)))
  })
  await page.goto(origin)
}

export const widget = (page: Page) => page.locator('many-hands').first()
export const frameOf = (page: Page): FrameLocator => page.locator('many-hands').first().frameLocator('iframe')
export const stateOf = (page: Page): Promise<string> => widget(page).evaluate((element) => (element as ManyHandsElement).state)

/** A hand that comes to the button, stays, and clicks. */
export async function clickByHand(page: Page, button: string): Promise<void> {
  const box = await frameOf(page).locator(button).boundingBox()
  if (!box) throw new Error(`${button} is not shown.`)
  await page.mouse.move(box.x + 6, box.y + box.height / 2)
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 4 })
  await resting(page)
  await page.mouse.down()
  await page.mouse.up()
}

/** As long as a hand rests on a button before it clicks: the time is what is tested. */
export const resting = (page: Page) => page.evaluate(() => new Promise((rested) => setTimeout(rested, 650)))
