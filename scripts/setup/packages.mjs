/** npm's packages, exactly as package-lock.json names them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root, runQuietly, say, SetupError } from './steps.mjs'

/**
 * True when what npm last put into `folder` is what the lock asks for. npm writes its own list there as the last thing, so a
 * broken-off install is not taken for a whole one.
 */
export async function packagesAreThere(folder = root) {
  const wanted = await packagesIn(join(folder, 'package-lock.json'))
  const held = await packagesIn(join(folder, 'node_modules', '.package-lock.json'))
  if (!wanted) throw new SetupError('package-lock.json is missing: this checkout is not whole.')
  if (!held) return false
  return Object.entries(wanted).every(([path, entry]) => {
    const there = held[path]
    // Optional ones are for other platforms, mostly.
    return path === '' || (there ? there.version === entry.version : entry.optional === true || entry.devOptional === true)
  })
}

/** @param {string} path @returns {Promise<Record<string, {version?: string, optional?: boolean, devOptional?: boolean}> | undefined>} */
async function packagesIn(path) {
  try {
    return JSON.parse(await readFile(path, 'utf8')).packages
  } catch {
    return undefined
  }
}

/** No package's own install script is needed, so none is run: the same on every version of npm. */
export async function installPackages(folder = root) {
  say('Packages: npm ci …')
  await runQuietly('npm', ['ci', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
}
