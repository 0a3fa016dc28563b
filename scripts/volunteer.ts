/**
 * `manyhands volunteer` (in a clone `npm run volunteer`): gives this machine's processor from a terminal, until interrupted.
 * Exit codes: 0 stopped, 1 failed for good, 2 not understood.
 */
import { parseArgs } from 'node:util'
import { asError } from '../protocol/errors.ts'
import { donate, type Donation, type DonationState, type NodeDonateOptions } from '../sdk/volunteer-node.ts'

const help = `Usage: manyhands volunteer --server URL [options]
       npm run volunteer -- --server URL [options]     in a clone

Computes parts of other people's AI requests on this machine, until Ctrl-C.

  --server URL     the signaling server, such as http://localhost:8080
  --model MODEL    a model to serve, by name or revision, as often as needed; any by default
  --project ID     a project whose requests are served first: p_…
  --memory MB      for weights and for the answers under way, at most (1024)
  --power P        share of time to compute, 0.1 to 1 (1)
  --threads N      of the processor; measured by default
  --data DIR       where fetched weights are kept (.manyhands/weights)
`

const values = parsed(process.argv.slice(2))
if (values === undefined || values.help || values.server === undefined) {
  process[values?.help ? 'stdout' : 'stderr'].write(help)
  process.exit(values?.help ? 0 : 2)
}

const megabyte = 2 ** 20
const numbers = {
  memory: Number(values.memory),
  power: Number(values.power),
  threads: values.threads === undefined ? undefined : Number(values.threads),
}
if (!(numbers.memory > 0) || !(numbers.power >= 0.1 && numbers.power <= 1) || (numbers.threads !== undefined && !(numbers.threads >= 1))) {
  process.stderr.write(`--memory, --power or --threads is out of its range.\n\n${help}`)
  process.exit(2)
}

const donation = join({
  server: values.server,
  models: values.model ?? [],
  maxMemory: numbers.memory * megabyte,
  power: numbers.power,
  weightsFolder: values.data,
  ...(values.project === undefined ? {} : { project: values.project }),
  ...(numbers.threads === undefined ? {} : { threads: numbers.threads }),
})

let told = ''
donation.addEventListener('change', () => {
  const line = lineOf(donation.state)
  if (line !== told) process.stdout.write(`${line}\n`)
  told = line
  if (donation.state.phase === 'stopped') process.exit(0)
  // With a moment to try again it says so, and goes on.
  if (donation.state.phase === 'failed' && !donation.state.reason.includes('Trying again')) process.exit(1)
})

let asked = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    const mode = asked ? 'now' : 'finish'
    asked = true
    void donation.stop(mode)
  })
}

function join(options: NodeDonateOptions): Donation {
  try {
    return donate(options)
  } catch (thrown) {
    process.stderr.write(`${asError(thrown).message}\n`)
    process.exit(1)
  }
}

/** What changed for a person; figures that grow with every token don't make a line. */
function lineOf({ phase, reason, model, blocks, totalBlocks, backend, threads, answers }: DonationState): string {
  const part = model && blocks ? ` ${model.title}, blocks ${blocks[0] + 1} to ${blocks[1]} of ${totalBlocks ?? '?'}` : ''
  const how = phase === 'serving' && backend ? ` on ${backend}, ${threads === 1 ? '1 thread' : `${threads} threads`}` : ''
  const helped = answers > 0 ? `; helped with ${answers === 1 ? 'one answer' : `${answers} answers`}` : ''
  return `${phase}:${part}${how}${helped}. ${reason}`
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        server: { type: 'string' },
        model: { type: 'string', multiple: true },
        project: { type: 'string' },
        memory: { type: 'string', default: '1024' },
        power: { type: 'string', default: '1' },
        threads: { type: 'string' },
        data: { type: 'string', default: '.manyhands/weights' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n\n`)
    return undefined
  }
}
