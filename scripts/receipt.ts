/** `manyhands receipt verify FILE` (in a clone `npm run receipt --`): checks what a requester saved of an answer. Exit codes: 0 proved, 1 not, 2 not understood. */
import { runReceipt } from './receipt/command.ts'

const code = await runReceipt(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
})
// wasm threads of a replay would keep the process; what is written to a pipe may still be under way.
process.stdout.write('', () => process.exit(code))
