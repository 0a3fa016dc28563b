/** The pages, built into dist/web, and the widget, into dist/w: again when a source is newer than they are. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { root, runQuietly } from './steps.mjs'

const sources = ['web', 'sdk', 'worker', 'link', 'models', 'protocol', 'vite.config.ts', 'vite.widget.config.ts', 'package-lock.json']

export async function siteIsThere() {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const built = ['web/index.html', `w/${version}/mh.json`].map((path) => stat(join(root, 'dist', path)))
  const made = await Promise.all(built).catch(() => undefined)
  if (!made) return false
  const at = Math.min(...made.map(({ mtimeMs }) => mtimeMs))
  for (const source of sources) if ((await newest(join(root, source))) > at) return false
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
  const vite = join(root, 'node_modules/vite/bin/vite.js')
  for (const config of ['vite.config.ts', 'vite.widget.config.ts'])
    await runQuietly(process.execPath, [vite, 'build', '--config', config, '--logLevel', 'warn'])
}
