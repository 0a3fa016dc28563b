/** `npm run receipt`: the file in, the findings out, an exit code. */
import { readFile, stat } from 'node:fs/promises'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import { maxReceiptFileChars, readReceiptFile, type ReceiptFile } from '../../protocol/receipt-file.ts'
import { Misuse } from '../arguments.ts'
import { judged, open, type Check } from './checks.ts'
import { modelFiles } from './model-files.ts'
import { help, parseReceiptOptions, type ReceiptOptions } from './options.ts'
import { replay } from './replay.ts'
import { reportJson, reportText } from './report.ts'
import { trustedKeys } from './trust.ts'
import { isProved, verifyReceipt, type Verified } from './verify.ts'

export interface CommandOutput {
  out(text: string): void
  /** Progress and errors. */
  err(text: string): void
}

/** Exit codes: proved; not proved; not understood. */
const proved = 0
const notProved = 1
const misused = 2

/** @returns the exit code; never throws */
export async function runReceipt(args: readonly string[], { out, err }: CommandOutput): Promise<number> {
  try {
    const options = parseReceiptOptions(args)
    if (!options) {
      out(help)
      return proved
    }
    const file = await readFileOf(options.file)
    const verified = await verifyReceipt(file, await trustedKeys(file, options))
    const checks = [...verified.checks, ...(options.replay ? await replayed(file, verified, options, err) : [])]
    const findings = { proved: isProved({ checks }), receipt: verified.receipt, checks }
    out(options.json ? reportJson(findings) : reportText(findings))
    return findings.proved ? proved : notProved
  } catch (thrown) {
    err(`${asError(thrown).message}\n`)
    if (thrown instanceof Misuse) err(`\n${help}`)
    return misused
  }
}

/** @throws ManyhandsError bad-input, bad-message */
async function readFileOf(path: string): Promise<ReceiptFile> {
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile()) throw new ManyhandsError('bad-input', `There is no file ${path}.`)
  if (found.size > maxReceiptFileChars) throw new ManyhandsError('bad-input', `${path} is larger than any receipt file.`)
  return readReceiptFile(await readFile(path, 'utf8'))
}

/** A replay compares with what was signed: where that is wrong already, there is nothing to compare with. */
async function replayed(
  file: ReceiptFile,
  { receipt, checks, proven }: Verified,
  { data, server, threads }: ReceiptOptions,
  err: CommandOutput['err'],
): Promise<readonly Check[]> {
  if (checks.some(({ verdict }) => verdict === 'wrong'))
    return [judged('replay', ['not done: what it would be compared with is wrong already'], '')]
  try {
    const { manifest, from, load } = await modelFiles(receipt.revision, data, server ?? file.server, threads)
    err(`Computing the answer again with ${manifest.title}, from ${from}.\n`)
    return await replay(file, proven, { manifest, load, progress: throttled((line) => err(`  ${line}\n`)) })
  } catch (thrown) {
    return [open('replay', asError(thrown).message)]
  }
}

/** A line a second tells enough. */
function throttled(say: (line: string) => void): (line: string) => void {
  let saidAt = Number.NEGATIVE_INFINITY
  return (line) => {
    const now = performance.now()
    if (now - saidAt < 1000) return
    saidAt = now
    say(line)
  }
}
