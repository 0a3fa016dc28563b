/** `manyhands project` (in a clone `npm run project`): makes projects on a running server, and manages them. Exit codes: 0 done, 1 refused, 2 not understood. */
import { runProject } from './project/command.ts'

process.exitCode = await runProject(process.argv.slice(2), process.env, {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
})
