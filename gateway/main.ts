/**
 * `manyhands gateway` (in a clone `npm run gateway`): OpenAI's API over HTTP, until SIGTERM or Ctrl-C. Exit codes: 0 stopped,
 * 1 failed, 2 not understood.
 */
import { asError, ManyhandsError } from '../protocol/errors.ts'
import { addKey, readKeys } from './keys.ts'
import { help, parseGatewayOptions, type GatewayOptions } from './options.ts'
import { startGateway } from './server.ts'

const misused = 2
const failed = 1

try {
  const command = parseGatewayOptions(process.argv.slice(2))
  if (command.do === 'help') process.stdout.write(help)
  else if (command.do === 'new key') {
    const key = await addKey(command.file, command.name)
    process.stdout.write(`${key}\n`)
    process.stderr.write(`The key of ${command.name}. Keep it: ${command.file} has only its hash.\n`)
  } else await serve(command.options)
} catch (thrown) {
  const error = asError(thrown)
  process.stderr.write(`${thrown instanceof ManyhandsError ? error.message : error.stack}\n`)
  if (error.code === 'bad-input') process.stderr.write('See manyhands gateway --help\n')
  process.exitCode = error.code === 'bad-input' ? misused : failed
}

async function serve(options: GatewayOptions): Promise<void> {
  const keys = options.keys === undefined ? undefined : await readKeys(options.keys)
  const apiKey = process.env['MANYHANDS_API_KEY']
  const gateway = await startGateway({
    ...options,
    keys,
    ...(apiKey ? { apiKey } : {}),
    log: (line) => process.stdout.write(`${new Date().toISOString()} ${line}\n`),
  })
  const who = keys ? `whoever has a key (${keys.size} in the file)` : 'anyone on this machine, with any key'
  process.stdout.write(`\nThe gateway is up at ${gateway.url}/v1, for ${who}.\n\n`)
  const stop = () => {
    gateway.close().then(
      () => process.exit(0),
      (thrown: unknown) => {
        process.stderr.write(`${asError(thrown).message}\n`)
        process.exit(failed)
      },
    )
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
}
