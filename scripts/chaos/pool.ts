/** The network that is broken: a server, and for every stage two volunteers, filled up again after each loss. */
import { serverData, type ServerData } from '../../e2e/harness/server-data.ts'
import { startServerProcess, type ServerProcess } from '../../e2e/harness/server-process.ts'
import type { LibraryModel } from '../../models/library.ts'
import { connect } from '../../sdk/node.ts'
import type { Network } from '../../sdk/types.ts'
import { joinWatched, type WatchedTab } from './watched-tab.ts'

export const stageCount = 3
/** Fetching, lowering and checking, while others do the same on the same processor. */
const servingMs = 300_000
const lookMs = 100

export class Pool {
  readonly model: LibraryModel
  server: ServerProcess
  network: Network
  readonly #data: ServerData
  readonly #signal: AbortSignal
  #tabs: WatchedTab[] = []

  static async start(model: LibraryModel, library: string, signal: AbortSignal): Promise<Pool> {
    const data = await serverData(library, [model.revision])
    const server = await startServerProcess({ data: data.directory, stages: stageCount, signal })
    return new Pool(model, data, server, await connect({ server: server.url }), signal)
  }

  private constructor(model: LibraryModel, data: ServerData, server: ServerProcess, network: Network, signal: AbortSignal) {
    this.model = model
    this.#data = data
    this.server = server
    this.network = network
    this.#signal = signal
  }

  /** Until every stage has two who serve. Those that ended are let go. */
  async fill(): Promise<void> {
    for (const { tab } of this.#tabs) if (!tab.browser.group.running) await tab.browser.close()
    this.#tabs = this.#tabs.filter(({ tab }) => tab.browser.group.running)
    while (this.#tabs.length < 2 * stageCount) {
      const joined = await joinWatched(this.server.url, this.#signal)
      this.#tabs.push(joined)
      await joined.tab.serving(servingMs, this.#signal)
    }
    const until = performance.now() + servingMs
    for (;;) {
      const models = await this.network.models().catch(() => [])
      if (models[0]?.stages.every(({ ready }) => ready >= 2)) return
      if (performance.now() > until) throw new Error('Some stage found no second volunteer.')
      await new Promise((resume) => setTimeout(resume, lookMs))
    }
  }

  /** Who computes the stage of the session that began last. */
  stage(i: number): WatchedTab {
    const live = this.#tabs.filter(({ ticket }) => ticket !== undefined)
    const latest = live.reduce((a, b) => (newer(b, a) ? b : a))
    const found = this.#tabs.find(({ peer }) => peer === latest.ticket?.stages[i]?.peer)
    if (!found) throw new Error(`Nobody of ours computes stage ${i}.`)
    return found
  }

  /** Kills the server and starts it again on the same port and folder. */
  async restartServer(awayMs: number): Promise<void> {
    const port = Number(new URL(this.server.url).port)
    await this.server.group.kill()
    await new Promise((resume) => setTimeout(resume, awayMs))
    this.server = await startServerProcess({ data: this.#data.directory, port, stages: stageCount, signal: this.#signal })
  }

  async close(): Promise<void> {
    await this.network.close()
    for (const { tab } of this.#tabs) await tab.browser.close()
    await this.server.close()
    await this.#data.remove()
  }
}

const newer = (a: WatchedTab, b: WatchedTab) =>
  ((a.ticket?.issuedAt ?? 0) - (b.ticket?.issuedAt ?? 0) || (a.ticket?.generation ?? 0) - (b.ticket?.generation ?? 0)) > 0
