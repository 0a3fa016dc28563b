/** A whole network for a test: a server with a model or several, and volunteers that serve them, each a process of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openLibrary, type LibraryModel } from '../../models/library.ts'
import { ProcessGroup } from './process-group.ts'
import { serverData } from './server-data.ts'
import { startServerProcess, type ServerProcess } from './server-process.ts'
import { joinAsVolunteer, type JoinOptions, type VolunteerTab } from './volunteer-tab.ts'

export interface NetworkPlan {
  readonly model: LibraryModel
  /** Further models that the server offers; volunteers take what is wanted. */
  readonly others?: readonly LibraryModel[]
  /** The library that has them. */
  readonly library: string
  /** Stages that each model is cut into; as many as there are volunteers when absent. */
  readonly stages?: number
  /** In the order in which they join, so that the first one gets the first stage. */
  readonly volunteers: readonly ('tab' | 'gpu tab' | 'node' | JoinOptions)[]
}

export interface TestNetwork {
  readonly url: string
  readonly server: ServerProcess
  /** The server's folder: its keys, its database, its operator's token. */
  readonly data: string
  readonly model: LibraryModel
  readonly tabs: readonly VolunteerTab[]
  /** Ends everything that was started for it, by this or by `onClose`. */
  close(): Promise<void>
  onClose(end: () => Promise<unknown>): void
}

/** Models that the tests fetch are kept here, as the demo keeps them. */
export const sharedLibrary = fileURLToPath(new URL('../../.manyhands', import.meta.url))

/** A model of the catalogue; fetched the first time. */
export const catalogueModel = (name: string): Promise<LibraryModel> => openLibrary(sharedLibrary).add(name)

/** Until a volunteer serves: it fetches, lowers and checks while others do the same on the same processor. */
const servingMs = 180_000

export async function startNetwork(plan: NetworkPlan): Promise<TestNetwork> {
  const ends: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  }
  try {
    const data = await serverData(
      plan.library,
      [plan.model, ...(plan.others ?? [])].map(({ revision }) => revision),
    )
    ends.push(() => data.remove())
    const server = await startServerProcess({ data: data.directory, stages: plan.stages ?? plan.volunteers.length })
    ends.push(() => server.close())
    const tabs: VolunteerTab[] = []
    const serving: Promise<unknown>[] = []
    for (const kind of plan.volunteers) {
      if (kind === 'node') {
        const node = await startNodeVolunteer(server.url)
        ends.push(() => node.close())
        serving.push(node.serving())
        continue
      }
      const options = kind === 'tab' ? {} : kind === 'gpu tab' ? { webgpu: true } : kind
      const tab = await joinAsVolunteer(server.url, options)
      ends.push(() => tab.browser.close())
      tabs.push(tab)
      serving.push(tab.serving(servingMs))
    }
    await Promise.all(serving)
    return { url: server.url, server, data: data.directory, model: plan.model, tabs, close, onClose: (end) => void ends.push(end) }
  } catch (error) {
    await close()
    throw error
  }
}

export interface NodeVolunteer {
  readonly group: ProcessGroup
  serving(): Promise<unknown>
  close(): Promise<void>
}

/** `npm run volunteer`, without the set-up before it. Resolves once it has an assignment. */
export async function startNodeVolunteer(url: string): Promise<NodeVolunteer> {
  const weights = await mkdtemp(join(tmpdir(), 'manyhands-weights-'))
  const group = new ProcessGroup('A volunteer in Node', process.execPath, [
    '--import',
    'tsx',
    'scripts/volunteer.ts',
    '--server',
    url,
    '--data',
    weights,
  ])
  const close = async () => {
    await group.end()
    await rm(weights, { recursive: true, force: true })
  }
  try {
    await group.says(/^(fetching|preparing|checking|serving):/m, servingMs)
  } catch (error) {
    await close()
    throw error
  }
  return { group, serving: () => group.says(/^serving:/m, servingMs), close }
}
