/**
 * A Chromium for the demo and the browser tests: one that is there already, else Debian's, else Playwright's.
 */
import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { aptInstall, isDebianRoot } from './debian.mjs'
import { root, runQuietly, say, SetupError } from './steps.mjs'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
/** A browser that can't say its version by then is a stub or broken. */
const versionMs = 20_000

/** @type {string | undefined} */
let found

/** Path of a Chromium that runs, or undefined. `MANYHANDS_BROWSER` names one outright. */
export async function findBrowser() {
  found ??= await search()
  return found
}

async function search() {
  const named = process.env['MANYHANDS_BROWSER']
  if (named) {
    if (await runs(named)) return named
    throw new SetupError(`MANYHANDS_BROWSER names ${named}, which does not run.`)
  }
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean)
  const candidates = names.flatMap((name) => folders.map((folder) => join(folder, name)))
  for (const candidate of [...candidates, await playwrightsOwn()]) if (candidate && (await runs(candidate))) return candidate
  return undefined
}

async function playwrightsOwn() {
  const { chromium } = await import('playwright')
  return chromium.executablePath()
}

/** @param {string} path */
async function runs(path) {
  try {
    await access(path, constants.X_OK)
    await promisify(execFile)(path, ['--version'], { timeout: versionMs })
    return true
  } catch {
    return false
  }
}

export async function installBrowser() {
  if (await isDebianRoot()) {
    say('Browser: apt-get install chromium …')
    await aptInstall(['chromium', 'fonts-liberation'])
  } else {
    say("Browser: Playwright's Chromium …")
    await runQuietly(process.execPath, [join(root, 'node_modules/playwright/cli.js'), 'install', 'chromium'])
  }
  const path = await findBrowser()
  if (!path) {
    throw new SetupError(
      'A Chromium was installed but does not run: libraries of the system may be missing. Install one by hand (Debian: apt-get install chromium) ' +
        'or name one in MANYHANDS_BROWSER.',
    )
  }
  return path
}
