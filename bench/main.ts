/**
 * `npm run bench`: measures what the README and docs/benchmarks.md say, and writes the latter. Takes half an hour on two cores.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { installPackages, packagesAreThere } from '../scripts/setup/packages.mjs'
import { runQuietly, stage } from '../scripts/setup/steps.mjs'
import { machineText } from './machine.ts'
import { makeMaterial } from './material.ts'
import { audits } from './parts/audits.ts'
import { bareChannel } from './parts/bare-channel.ts'
import { carving } from './parts/carving.ts'
import { engineAlone } from './parts/engine-alone.ts'
import { giving } from './parts/giving.ts'
import { honest } from './parts/honest.ts'
import { manyAnswers } from './parts/many-answers.ts'
import { pipeline } from './parts/pipeline.ts'
import { visits } from './parts/visits.ts'
import { wire } from './parts/wire.ts'
import { partText, withParts, type Part } from './report.ts'
import { benchSite } from './site.ts'

const help = `Usage: npm run bench -- [options]

  --rounds N      runs of each kind, 5 or more (5)
  --only PARTS    some of: network, channel, several, giving, engine, engine2, wire, visits, graph, audits, honest (with commas)
  --write         docs/benchmarks.md has them in the place of those it had; without --only it is written in any case
  --data DIR      models and what is made of them (.manyhands)
`

const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
    write: { type: 'boolean', default: false },
    data: { type: 'string', default: `${root}.manyhands` },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
if (values.help) {
  process.stdout.write(help)
  process.exit(0)
}

const say = (line: string) => void process.stderr.write(`  ${line}\n`)
const own = fileURLToPath(new URL('.', import.meta.url))
if (!(await packagesAreThere(own))) await stage('Yardsticks', () => installPackages(own))
await stage('Bench page', async () => {
  await runQuietly(process.execPath, [
    `${root}node_modules/vite/bin/vite.js`,
    'build',
    '--config',
    'bench/vite.config.ts',
    '--logLevel',
    'warn',
  ])
})
const material = await makeMaterial(values.data, 'smollm2-135m-instruct', [64, 256], say)
const site = await benchSite(material.folders)
const rounds = Number(values.rounds)
const { model } = material

const parts: Readonly<Record<string, () => Promise<Part>>> = {
  network: () => pipeline(site.url, model, values.data, rounds, say),
  channel: () => bareChannel(site.url, model, rounds),
  several: () => manyAnswers(model, values.data, rounds, say),
  giving: () => giving(model, values.data, rounds, say),
  engine: () => engineAlone(site.url, rounds, 1, say),
  engine2: () => engineAlone(site.url, rounds, 2, say),
  wire: () => wire(model, values.data),
  visits: () => visits(model, values.data, rounds, say),
  graph: () => carving(site.url, rounds),
  audits: () => audits(model, values.data, say),
  honest: () => honest(root, say),
}
const names = values.only?.split(',') ?? Object.keys(parts)

const texts: string[] = []
let broken = 0
for (const name of names) {
  const part = parts[name]
  if (!part) throw new Error(`There is no part '${name}'.\n\n${help}`)
  say(`${name} …`)
  const found = await part()
  broken += found.promises.filter((promised) => !promised.holds).length
  texts.push(partText(found))
  process.stdout.write(`${texts.at(-1)}\n\n`)
}
await site.close()

if (values.only === undefined || values.write) {
  const file = `${root}docs/benchmarks.md`
  const report = withParts(await readFile(file, 'utf8'), texts)
  const head = `# Benchmarks

Written by \`npm run bench\` (the last part by hand, from \`npm run chaos\`). What is compared ran turn by turn; figures are medians of ${rounds} runs, ratios the median of the rounds' own.

${await machineText()}
`
  await writeFile(file, values.only === undefined ? head + report.slice(report.indexOf('\n## ')) : report)
}
process.stdout.write(`${broken === 0 ? 'Every promise holds.' : `${broken} of the promises do not hold.`}\n`)
process.exit(0)
