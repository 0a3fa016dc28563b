#!/usr/bin/env node
/** `manyhands serve | models | …`: the package's commands. Each is loaded when it is asked for, and reads its own arguments. */
import { packageFiles } from '../signaling-server/package-files.ts'

interface Command {
  readonly about: string
  run(): Promise<unknown>
}

const commands: Readonly<Record<string, Command>> = {
  serve: {
    about: 'runs a server: the site, the models, and the network of their volunteers',
    run: () => import('../signaling-server/main.ts'),
  },
  gateway: { about: 'answers OpenAI’s API over HTTP, with keys and limits', run: () => import('../gateway/main.ts') },
  models: {
    about: 'adds models to a server’s library, lists, inspects, carves and removes them',
    run: () => import('../scripts/models.ts'),
  },
  volunteer: { about: 'gives this machine’s processor, from a terminal', run: () => import('../scripts/volunteer.ts') },
  project: { about: 'makes projects on a server, and manages them', run: () => import('../scripts/project.ts') },
  receipt: { about: 'checks a receipt that was saved with an answer', run: () => import('../scripts/receipt.ts') },
}

/** As in the commands: not understood. */
const misused = 2

const help = `Usage: manyhands COMMAND [options]

${Object.entries(commands)
  .map(([name, { about }]) => `  ${name.padEnd(10)} ${about}\n`)
  .join('')}
manyhands COMMAND --help says what a command takes; manyhands --version, which version this is.
`

const [name = '', ...args] = process.argv.slice(2)
const command = Object.hasOwn(commands, name) ? commands[name] : undefined
if (command) {
  process.argv = [process.execPath, `manyhands ${name}`, ...args]
  await command.run()
} else if (name === '--help' || name === '-h') process.stdout.write(help)
else if (name === '--version') process.stdout.write(`${packageFiles.version}\n`)
else {
  process.stderr.write(name === '' ? help : `manyhands has no command '${name}'.\n\n${help}`)
  process.exitCode = misused
}
