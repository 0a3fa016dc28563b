/**
 * `npm run demo` and the like: the set-up that a command needs, then the command itself, in this same process.
 */
import { fileURLToPath } from 'node:url'
import { setUp } from './setup.mjs'
import { say, SetupError } from './setup/steps.mjs'

/** @type {Record<string, {file: string, needs?: import('./setup.mjs').Needs}>} */
const commands = {
  bench: { file: '../bench/main.ts', needs: { browser: true, site: true } },
  chaos: { file: './chaos.ts', needs: { browser: true, database: true, site: true } },
  check: { file: './check.ts', needs: { database: true } },
  demo: { file: './demo.ts', needs: { browser: true, site: true } },
  gateway: { file: '../gateway/main.ts' },
  models: { file: './models.ts' },
  package: { file: '../package/build.ts', needs: { site: true } },
  project: { file: './project.ts' },
  receipt: { file: './receipt.ts' },
  sim: { file: './simulate.ts' },
  start: { file: '../signaling-server/main.ts', needs: { site: true } },
  test: { file: './test.ts', needs: { browser: true, database: true, package: true, site: true } },
  volunteer: { file: './volunteer.ts' },
}

const [name = '', ...args] = process.argv.slice(2)
const command = commands[name]
if (!command) {
  say(`Which one? ${Object.keys(commands).join(', ')}`)
  process.exit(2)
}
try {
  await setUp(command.needs)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exit(1)
}
const { register } = await import('tsx/esm/api')
register()
const file = new URL(command.file, import.meta.url)
process.argv = [process.execPath, fileURLToPath(file), ...args]
await import(file.href)
