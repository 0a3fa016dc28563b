/**
 * `npm run sim`: what cheats get through, what it costs to find them, and who is hurt by mistake. docs/simulation.md.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import { networkShare } from '../signaling-server/trust/audit-policy.ts'
import { simulate } from '../testing/simulation/network.ts'
import { parseOptions } from '../testing/simulation/options.ts'

const args = process.argv.slice(2)
try {
  const options = parseOptions(args)
  const json = args.includes('--json')
  const percent = (x: number, digits = 3) => `${(100 * x).toFixed(digits)} %`
  const began = performance.now()
  const figures = simulate(options, ({ minutes, figures, barRate, proven }) => {
    if (json || minutes % 360 >= 60) return
    const { stageJobs, wrongAtDelivery, wrongAfterCorrection, overhead } = figures()
    const soFar =
      stageJobs === 0
        ? 'warming up'
        : `wrong ${percent(wrongAtDelivery)}, left ${percent(wrongAfterCorrection)}, overhead ${percent(overhead, 1)}`
    console.log(`hour ${Math.floor(minutes / 60)}: ${soFar}; audits ${percent(networkShare({ barRate }), 1)}, ${proven} proven`)
  })
  console.log(`${options.peers} peers, ${figures.stageJobs} stage-jobs counted, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  console.log(JSON.stringify(figures))
} catch (error) {
  if (!(error instanceof ManyhandsError)) throw error
  console.error(error.message)
  process.exit(2)
}
