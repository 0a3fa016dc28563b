/**
 * What this package brings along for visitors: the built site, the widget and the SDK for pages. Found from the package's own folder,
 * whether its code runs as it is written (a clone) or as it was built (node_modules).
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The nearest folder above with a package.json: chunks of the built code lie deeper than these files do. */
function packageFolder(from: string): string {
  for (let at = from; ; at = dirname(at)) {
    if (existsSync(join(at, 'package.json'))) return at
    if (at === dirname(at)) throw new Error(`There is no package.json above ${from}.`)
  }
}

const folder = packageFolder(import.meta.dirname)
const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { readonly version: string }

export const packageFiles = {
  version,
  site: join(folder, 'dist/web'),
  /** The widget, a folder for each version. */
  widget: join(folder, 'dist/w'),
  /** ES modules for pages, served below the version. */
  sdk: join(folder, 'dist/package/browser'),
} as const
