/** The page, built into dist/web: again when a source is newer than it. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { root, runQuietly } from './steps.mjs'

const built = join(root, 'dist', 'web', 'index.html')
const sources = ['web', 'sdk', 'worker', 'link', 'models', 'protocol', 'vite.config.ts', 'package-lock.json']

export async function siteIsThere() {
  const made = await stat(built).catch(() => undefined)
  if (!made) return false
  for (const source of sources) if ((await newest(join(root, source))) > made.mtimeMs) return false
  return true
}

/** @param {string} path @returns {Promise<number>} ms since 1970; tests don't count */
export async function newest(path) {
  const { mtimeMs } = await stat(path)
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
  const times = await Promise.all(
    files.map(async (entry) => (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.mtimeMs ?? 0),
  )
  return times.reduce((a, b) => Math.max(a, b), entries.length === 0 ? mtimeMs : 0)
}

export async function buildSite() {
  await runQuietly(process.execPath, [join(root, 'node_modules/vite/bin/vite.js'), 'build', '--logLevel', 'warn'])
}
