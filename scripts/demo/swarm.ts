/** The server and its volunteers: every one a process of its own, each browser with its own profile. */
import { createServer } from 'node:net'
import { serverData } from '../../e2e/harness/server-data.ts'
import { startServerProcess, type ServerProcess } from '../../e2e/harness/server-process.ts'
import { joinAsVolunteer, type VolunteerTab } from '../../e2e/harness/volunteer-tab.ts'
import type { LibraryModel } from '../../models/library.ts'
import type { Steps } from './steps.ts'

export interface Swarm {
  readonly server: ServerProcess
  /** The server's folder. */
  readonly data: string
  readonly volunteers: readonly VolunteerTab[]
}

/** Where the site is, unless something else is there. */
const usualPort = 8080
/** Fetching from this machine, lowering and checking take seconds; several browsers share its processor. */
const servingMs = 300_000

/** What was started is put into `cleanup` at once, so that a failure half way leaves nothing running. */
export async function startSwarm(
  model: LibraryModel,
  options: { readonly data: string; readonly port: number | undefined; readonly stages: number },
  cleanup: (() => Promise<unknown>)[],
  steps: Steps,
  signal: AbortSignal,
): Promise<Swarm> {
  const { server, data } = await steps.step('Server', async () => {
    const port = options.port ?? ((await isFree(usualPort)) ? usualPort : 0)
    // The demo's own, with this model alone: volunteers have nothing else to serve, and another demo is not disturbed.
    const data = await serverData(options.data, [model.revision])
    cleanup.push(() => data.remove())
    const started = await startServerProcess({ data: data.directory, port, stages: options.stages, signal })
    cleanup.push(() => started.close())
    return [{ server: started, data: data.directory }, started.url] as const
  })
  const volunteers = await steps.step('Volunteers', async (progress) => {
    let joined = 0
    let serving = 0
    const told = () =>
      progress(serving === 0 ? `${joined} of ${options.stages} browsers have joined` : `${serving} of ${options.stages} serve`)
    const tabs = await Promise.all(
      Array.from({ length: options.stages }, async () => {
        const tab = await joinAsVolunteer(server.url, { signal })
        cleanup.push(() => tab.browser.close())
        joined++
        told()
        await tab.serving(servingMs, signal)
        serving++
        told()
        return tab
      }),
    )
    return [tabs, `${tabs.length} browsers, each its own process`] as const
  })
  return { server, data, volunteers }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, () => probe.close(() => resolve(true)))
  })
}
