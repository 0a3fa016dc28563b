/** What axe finds on a page as it is now: nothing, or the test says what and where. */
import { AxeBuilder } from '@axe-core/playwright'
import { expect } from '@playwright/test'
import type { Page } from 'playwright'

/** @param what the page and how it is shown, for the failure's text */
export async function isAccessible(page: Page, what: string): Promise<void> {
  const { violations, passes } = await new AxeBuilder({ page }).setLegacyMode().analyze()
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ''}`).join(' | ')}`)
  expect(found, what).toEqual([])
  // It has looked: there is text to judge on every page.
  expect(passes.map(({ id }) => id)).toContain('color-contrast')
}
