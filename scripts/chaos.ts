/**
 * `npm run chaos`: breaks a network in real browsers while it answers, and measures what the asker sees of it. Exit codes: 0
 * everything came right, 1 something did not, 2 not understood.
 */
import { openLibrary } from '../models/library.ts'
import { asError } from '../protocol/errors.ts'
import { Misuse } from './arguments.ts'
import { help, parseChaosOptions, type ChaosOptions } from './chaos/options.ts'
import { Pool } from './chaos/pool.ts'
import { processes } from './chaos/processes.ts'
import { reportLine, type Found } from './chaos/report.ts'
import { scenarios } from './chaos/scenarios.ts'
import { settlement } from './chaos/settlement.ts'

const misused = 2

async function chaos(options: ChaosOptions): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  const out = options.json ? process.stderr : process.stdout
  const say = (line: string) => void out.write(`  ${line}\n`)
  const all: Found[] = []
  const library = openLibrary(options.data)
  const model = (await library.models()).find(({ manifest }) => manifest.name === options.model) ?? (await library.add(options.model))
  const pool = await Pool.start(model, options.data, stop.signal)
  try {
    for (const name of options.only) {
      const one =
        name === 'settlement'
          ? await settlement(options, say)
          : name === 'processes'
            ? await processes(model, options, say, stop.signal)
            : await scenarios[name](pool, options, say)
      all.push(one)
      out.write(`${reportLine(one)}\n`)
    }
  } finally {
    await pool.close()
  }
  if (options.json) process.stdout.write(`${JSON.stringify(all)}\n`)
  return all.every(({ runs, right }) => runs === right) ? 0 : 1
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseChaosOptions(args)
    if (options) return await chaos(options)
    process.stdout.write(help)
    return 0
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Misuse ? `${thrown.message}\nSee npm run chaos -- --help` : asError(thrown).message}\n`)
    return thrown instanceof Misuse ? misused : 1
  }
}

process.exit(await main(process.argv.slice(2)))
