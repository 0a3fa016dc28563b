/** What `manyhands receipt …` (in a clone `npm run receipt -- …`) can be told. */
import { publicKeyPattern } from '../../protocol/keys.ts'
import { Misuse, readArguments, readNumber } from '../arguments.ts'

export const help = `Usage: manyhands receipt verify FILE [options]
       npm run receipt -- verify FILE [options]     in a clone

Checks a receipt as the Playground saved it: who signed what, that nothing is missing, and that it is about this very prompt
and answer. Needs no server, if you have its key.

  --replay            compute the answer again, from the model's files by their hashes, and say where it differs
  --server-key KEY    a key of the server that you trust (64 hexadecimal digits), as often as needed; by default the keys in
                      DIR, if the receipt is of that server, else those that the server gives
  --server URL        another server than the file names: for its key, and for the model's files
  --data DIR          a server's folder: its key, and a library with the model's files (.manyhands)
  --threads N         of the processor, for --replay; measured by default
  --json              the findings as JSON

Exit codes: 0 proved, 1 not proved, 2 not understood.
`

export interface ReceiptOptions {
  readonly file: string
  readonly replay: boolean
  readonly serverKeys: readonly string[]
  readonly server: string | undefined
  readonly data: string
  readonly threads: number | undefined
  readonly json: boolean
}

/** Undefined when help was asked for. @throws Misuse */
export function parseReceiptOptions(args: readonly string[]): ReceiptOptions | undefined {
  const { values, positionals } = parsed(args)
  if (values.help) return undefined
  const [command, file, ...rest] = positionals
  if (command !== 'verify' || file === undefined || rest.length > 0) throw new Misuse('It takes: verify FILE.')
  const serverKeys = (values['server-key'] ?? []).map((key) => key.toLowerCase())
  for (const key of serverKeys) if (!publicKeyPattern.test(key)) throw new Misuse(`--server-key takes 64 hexadecimal digits, not '${key}'.`)
  const threads = values.threads === undefined ? undefined : readNumber('threads', values.threads, { least: 1, most: 64, whole: true })
  return { file, replay: values.replay, serverKeys, server: values.server, data: values.data, threads, json: values.json }
}

const parsed = (args: readonly string[]) =>
  readArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      replay: { type: 'boolean', default: false },
      'server-key': { type: 'string', multiple: true },
      server: { type: 'string' },
      data: { type: 'string', default: '.manyhands' },
      threads: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
