/** The page's words: web/messages compiled into typed functions in web/paraglide, again when a message is newer. */
import { stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { withLock } from './lock.mjs'
import { newest } from './site.mjs'
import { root, runQuietly } from './steps.mjs'

const made = join(root, 'web', 'paraglide')
/** Written by every compilation, and dated when it has ended well. */
const mark = join(made, 'messages.js')
const project = join('web', 'project.inlang')
/** The compiler writes its settings anew, so that their date says nothing; who changes them changes messages too. */
const messages = join(root, 'web', 'messages')

export async function wordsAreThere() {
  const at = (await stat(mark).catch(() => undefined))?.mtimeMs
  return at !== undefined && (await newest(messages)) <= at
}

/** A program of its own: what it opens keeps a process alive for half a minute. */
export async function makeWords() {
  const start = new Date()
  // The page says itself which language it shows (web/app/words/language.svelte.ts), and there is no server that would.
  const how = [
    '--strategy',
    'globalVariable',
    'baseLocale',
    '--is-server',
    'false',
    '--disable-async-local-storage',
    '--emit-ts-declarations',
  ]
  const plain = ['--no-emit-git-ignore', '--no-emit-prettier-ignore', '--no-emit-readme', '--silent']
  const program = join(root, 'node_modules', '@inlang', 'paraglide-js', 'bin', 'run.js')
  await runQuietly(process.execPath, [program, 'compile', '--project', project, '--outdir', made, ...how, ...plain])
  await utimes(mark, start, start)
}

/** For vite and vitest, which may be started by themselves. */
export function words() {
  const ensure = async () => {
    if (await wordsAreThere()) return
    await withLock(async () => {
      if (!(await wordsAreThere())) await makeWords()
    })
  }
  return {
    name: 'words',
    config: ensure,
    /** @param {import('vite').ViteDevServer} server */
    configureServer({ watcher }) {
      watcher.add(messages)
      watcher.on('change', (path) => {
        if (path.startsWith(messages)) void ensure()
      })
    },
  }
}
