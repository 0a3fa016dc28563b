/** What others wrote and a bundle carries along: their licences go with it, in one file beside it. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Plugin } from 'vite'

interface Named {
  readonly name: string
  readonly version: string
  readonly license?: string
}

/** Writes `licences.txt` with each package of which anything is in the bundle, its workers' included. */
export function licences(): Plugin {
  const folders = new Set<string>()
  return {
    name: 'manyhands:licences',
    apply: 'build',
    moduleParsed({ id }) {
      const [, folder] = /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id) ?? []
      if (folder !== undefined) folders.add(folder)
    },
    async generateBundle() {
      const texts = await Promise.all([...folders].sort().map(licenceOf))
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: texts.join(`\n${'-'.repeat(80)}\n\n`) })
    },
  }
}

async function licenceOf(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Named
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry))
  const text = file === undefined ? `Licence: ${license ?? 'not named'}` : (await readFile(join(folder, file), 'utf8')).trim()
  return `${name} ${version}\n\n${text}\n`
}
