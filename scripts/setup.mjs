/**
 * All that a command needs on a machine with nothing but Node, npm and git: packages, the built page, a browser, a database.
 * Plain JS without dependencies, since it runs before there are any. What is there already costs a few milliseconds.
 */
import { exit } from 'node:process'
import { pathToFileURL } from 'node:url'
import { findBrowser, installBrowser } from './setup/browser.mjs'
import { findPostgres, installPostgres } from './setup/database.mjs'
import { withLock } from './setup/lock.mjs'
import { installPackages, packagesAreThere } from './setup/packages.mjs'
import { buildPackage, packageIsThere } from './setup/package.mjs'
import { buildSite, siteIsThere } from './setup/site.mjs'
import { say, SetupError, stage } from './setup/steps.mjs'
import { makeWords, wordsAreThere } from './setup/words.mjs'

/** The oldest Node that has all that is used here. */
const [oldestMajor, oldestMinor] = [20, 19]

/** @typedef {{browser?: boolean, database?: boolean, package?: boolean, site?: boolean}} Needs */

/**
 * @param {Needs} needs
 * @throws SetupError with a sentence for people
 */
export async function setUp({ browser = false, database = false, package: packed = false, site = false } = {}) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new SetupError(`Manyhands needs Node ${oldestMajor}.${oldestMinor} or newer; this is ${process.versions.node}.`)
  }
  const steps = [
    { name: 'Packages', wanted: true, there: packagesAreThere, make: installPackages },
    { name: 'Words', wanted: true, there: wordsAreThere, make: makeWords },
    { name: 'Page', wanted: site, there: siteIsThere, make: buildSite },
    { name: 'Package', wanted: packed, there: packageIsThere, make: buildPackage },
    { name: 'Browser', wanted: browser, there: findBrowser, make: installBrowser },
    { name: 'Database', wanted: database, there: findPostgres, make: installPostgres },
  ]
  for (const { name, wanted, there, make } of steps) {
    if (!wanted || (await there())) continue
    // Another run may have made it while this one waited.
    await withLock(async () => {
      if (!(await there())) await stage(name, make)
    })
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await setUp({ browser: true, database: true, package: true, site: true })
    say('Everything is there.')
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    exit(1)
  }
}
