/** `manyhands project`: requests to a running server, and what it answers as lines for people or as JSON. */
import { asError } from '../../protocol/errors.ts'
import { Misuse } from '../arguments.ts'
import { help, parseProjectOptions, type Command } from './options.ts'
import { ProjectServer } from './project-server.ts'
import { createdText, daysText, listText, projectText } from './report.ts'

export interface CommandOutput {
  out(text: string): void
  err(text: string): void
}

/** Exit codes: done; refused; not understood. */
const done = 0
const refused = 1
const misused = 2

/** @returns the exit code; never throws */
export async function runProject(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: CommandOutput,
): Promise<number> {
  try {
    const options = parseProjectOptions(args, env)
    if (!options) {
      out(help)
      return done
    }
    const { answer, text } = await carriedOut(options.command, await ProjectServer.of(options))
    out(options.json ? `${JSON.stringify(answer, undefined, 2)}\n` : text)
    return done
  } catch (thrown) {
    err(`${asError(thrown).message}\n`)
    if (!(thrown instanceof Misuse)) return refused
    err(`\n${help}`)
    return misused
  }
}

interface Outcome {
  readonly answer: unknown
  /** The same for people. */
  readonly text: string
}

async function carriedOut(command: Command, server: ProjectServer): Promise<Outcome> {
  switch (command.t) {
    case 'create':
      return outcome(await server.create(command), createdText)
    case 'list':
      return outcome(await server.list(), listText)
    case 'show':
      return outcome(await server.show(command.id), projectText)
    case 'days':
      return outcome(await server.days(command.id, command.days), daysText)
    case 'change':
      return outcome(await server.change(command.id, command.change), projectText)
    case 'rotate': {
      const before = command.now ? 'The one before is good no more.' : 'The one before is good for another day.'
      return outcome(await server.rotate(command.id, { now: command.now }), ({ key }) => `New key: ${key}\n${before}\n`)
    }
    case 'rotate-owner':
      return outcome(
        await server.rotateOwner(command.id),
        ({ ownerKey }) => `New owner key: ${ownerKey}\nThe one before is good no more.\n`,
      )
    case 'revoke':
      return outcome(await server.revoke(command.id), ({ name }) => `${name} has ended. What was under way is finished.\n`)
  }
}

const outcome = <T>(answer: T, text: (answer: T) => string): Outcome => ({ answer, text: text(answer) })
