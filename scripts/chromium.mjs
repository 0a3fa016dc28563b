/**
 * Which Chromium the tests, the demo and the bench start, and how: one that is on the machine first, else Playwright's own.
 * Plain JavaScript, since scripts/setup.mjs asks before anything is installed.
 */
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const names = ['chromium', 'chromium-browser', 'google-chrome']

/** A browser's own traffic must not be in what is measured; QUIC would go around a measured link. */
const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic']

/** @param {string} path */
const runs = (path) => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * The path of a Chromium on this machine's PATH; undefined where there is none.
 *
 * @returns {string | undefined}
 */
export function systemChromium(path = process.env.PATH ?? '') {
  return path
    .split(delimiter)
    .filter(Boolean)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find(runs)
}

/**
 * The path of the Chromium that Playwright installed for itself; undefined where it has not, or Playwright isn't installed yet.
 *
 * @returns {Promise<string | undefined>}
 */
export async function playwrightChromium() {
  try {
    const { chromium } = await import('playwright')
    return existsSync(chromium.executablePath()) ? chromium.executablePath() : undefined
  } catch {
    return undefined
  }
}

/**
 * Options for Playwright's `chromium.launch`: this machine's Chromium where there is one, and only the flags that every use needs.
 *
 * @param {readonly string[]} [flags] further flags of this use
 * @returns {{ executablePath?: string, args: string[] }}
 */
export function launchChromium(flags = []) {
  const executablePath = systemChromium()
  // Chromium's sandbox refuses to start for root.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return { ...(executablePath === undefined ? {} : { executablePath }), args: [...sandbox, ...quiet, ...flags] }
}
