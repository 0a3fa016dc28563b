/**
 * A PostgreSQL for the tests: Debian's package, whose programs they run in folders of their own. Where it is missing and can't
 * be installed, those tests fail and say why; everything else goes on.
 */
import { access, constants, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { aptInstall, isDebianRoot } from './debian.mjs'
import { say, SetupError } from './steps.mjs'

/** Debian puts the programs of every version in a folder of their own, out of the way of PATH. */
const versions = '/usr/lib/postgresql'

export const missingPostgres =
  'There is no PostgreSQL on this machine, so what needs one is not tested. Debian: apt-get install postgresql, as root; then again.'

/** The folder of the newest version's programs, or undefined. */
export async function findPostgres() {
  const found = (await readdir(versions).catch(() => [])).sort((a, b) => Number(b) - Number(a))
  for (const version of found) {
    const bin = join(versions, version, 'bin')
    const there = await Promise.all(['initdb', 'postgres'].map((name) => isProgram(join(bin, name))))
    if (there.every(Boolean)) return bin
  }
  return undefined
}

export async function installPostgres() {
  try {
    if (!(await isDebianRoot())) throw new SetupError(missingPostgres)
    say('Database: apt-get install postgresql …')
    await aptInstall(['postgresql'])
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    return 'left out'
  }
}

/** @param {string} path */
const isProgram = (path) =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
