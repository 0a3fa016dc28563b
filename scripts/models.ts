/** `manyhands models` (in a clone `npm run models --`): the library's command line in this process, until it is done or interrupted. */
import { runCli } from '../models/cli.ts'

const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
process.exitCode = await runCli(
  process.argv.slice(2),
  {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    live: process.stderr.isTTY,
  },
  stop.signal,
)
