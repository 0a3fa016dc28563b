/** Pictures of a page for people to look at: both schemes on a phone and a desktop, none wider than its screen. */
import { expect } from '@playwright/test'
import type { Page } from 'playwright'

const folder = 'test-results/screens'
const sizes = { phone: { width: 320, height: 740 }, desktop: { width: 1280, height: 900 } }

/** Leaves the page as a light one on a desktop. */
export async function shots(page: Page, name: string): Promise<void> {
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme })
    for (const [kind, size] of Object.entries(sizes)) {
      await page.setViewportSize(size)
      await page.evaluate(() => document.getAnimations().forEach((animation) => animation.finish()))
      await page.screenshot({ path: `${folder}/${name}-${kind}-${colorScheme}.png`, fullPage: true })
      expect(
        await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
        `${name} on a ${kind} is no wider than the screen`,
      ).toBeLessThanOrEqual(0)
    }
  }
}
