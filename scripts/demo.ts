/**
 * `npm run demo`: the main job before one's eyes. A server, volunteers in real browsers, a model carved over them, and an
 * answer that streams in. Exit codes: 0 done, 1 failed, 2 not understood.
 */
import { asError } from '../protocol/errors.ts'
import { demoSite } from '../e2e/harness/demo-site.ts'
import { Misuse } from './arguments.ts'
import { ask } from './demo/ask.ts'
import { demoModel } from './demo/model.ts'
import { help, parseDemoOptions, type DemoOptions } from './demo/options.ts'
import { reportJson, reportTable } from './demo/report.ts'
import { Steps } from './demo/steps.ts'
import { startSwarm } from './demo/swarm.ts'

const done = 0
const failed = 1
const misused = 2
/** As shells count an interrupt. */
const interrupted = 130

async function demo(options: DemoOptions, stop: AbortController): Promise<number> {
  const steps = new Steps(options.json ? process.stderr : process.stdout)
  const { signal } = stop
  const cleanup: (() => Promise<unknown>)[] = []
  try {
    const model = await demoModel(options.model, options.data, steps, signal)
    const { server, data } = await startSwarm(model, options, cleanup, steps, signal)
    const answer = await ask(server.url, model, options, steps, signal)
    steps.line(reportTable(answer))
    if (options.json) process.stdout.write(`${reportJson(model.manifest.name, answer)}\n`)
    if (answer.receipt.custody.failed > 0)
      throw new Error(`${answer.receipt.custody.failed} hand-overs between stages did not agree: someone changed what passed on.`)
    if (!options.once) {
      if (model.manifest.task === 'text-generation') {
        const site = await demoSite({ url: server.url, data }, model.manifest.name)
        cleanup.push(() => site.close())
        steps.line(`A site of another origin, whose visitors help it by the widget: ${site.origin}`)
      }
      steps.line(`The site stays up at ${server.url}: give at ${server.url}/give, ask at ${server.url}/playground. Ctrl-C ends everything.`)
      await Promise.race([new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true })), server.group.ended])
      if (!signal.aborted) throw new Error(`The server ended by itself. It wrote: ${server.group.output.trim().slice(-2_000)}`)
    }
    return done
  } catch (thrown) {
    if (signal.aborted) return interrupted
    process.stderr.write(`\n${asError(thrown).message}\n`)
    return failed
  } finally {
    // Whatever is still starting stops too.
    stop.abort()
    await allEnded(cleanup)
  }
}

/** In reverse: browsers before the server that they would otherwise look for. */
async function allEnded(cleanup: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const end of cleanup.toReversed()) await end().catch(() => undefined)
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = await parseDemoOptions(args)
    if (!options) {
      process.stdout.write(help)
      return done
    }
    const stop = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        // Asked twice: at once; what was started is killed on the way out.
        if (stop.signal.aborted) process.exit(interrupted)
        stop.abort()
      })
    }
    return await demo(options, stop)
  } catch (thrown) {
    if (!(thrown instanceof Misuse)) throw thrown
    process.stderr.write(`${thrown.message}\nSee npm run demo -- --help\n`)
    return misused
  }
}

process.exit(await main(process.argv.slice(2)))
