/** The pages, built into dist/web, the widget, into dist/w, and the SDK for pages, into dist/package/browser: again when a source is newer than they are. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { root, runQuietly } from './steps.mjs'

const configs = ['vite.config.ts', 'vite.widget.config.ts', 'vite.sdk.config.ts']
const sources = ['web', 'sdk', 'worker', 'link', 'models', 'protocol', 'package', ...configs, 'package-lock.json']

export async function siteIsThere() {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  return upToDate(['web/index.html', `w/${version}/mh.json`, 'package/browser/manyhands.js'], sources)
}

/** Whether all of `built`, paths in dist, are there and no source is newer. @param {string[]} built @param {string[]} sources */
export async function upToDate(built, sources) {
  const made = await Promise.all(built.map((path) => stat(join(root, 'dist', path)))).catch(() => undefined)
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
  for (const config of configs) await runQuietly(process.execPath, [vite, 'build', '--config', config, '--logLevel', 'warn'])
}
