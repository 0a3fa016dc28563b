/**
 * The overview of this server's network, from the parts that know: put together once a second at most, however many ask, with
 * totals turned into what happened lately. The adding up is overview.ts's.
 */
import type { Revision } from '../protocol/ids.ts'
import type { NetworkOverview } from '../protocol/overview.ts'
import type { ModelInfo } from '../protocol/server-messages.ts'
import type { Coordinator } from './coordinator.ts'
import { Lately } from './lately.ts'
import { networkOverview } from './overview.ts'
import { backendOf } from './trust/quarantine.ts'

/** Made for everybody who asks within it. */
const freshMs = 1_000
/** What is called lately of speed, and of audits, which are few. */
const speedWindowMs = 60_000
const speedStepMs = 5_000
const auditWindowMs = 3_600_000
const auditStepMs = 60_000

type AuditCount = 'agreed' | 'lost' | 'auditorsLost' | 'split' | 'void'

export interface LiveOverviewPorts {
  readonly coordinator: Coordinator
  /** Every model of the network. */
  models(): readonly ModelInfo[]
  /** Wall time, ms since 1970. */
  now(): number
  uptime(): number
}

export class LiveOverview {
  readonly #ports: LiveOverviewPorts
  readonly #rows = new Lately<Revision>(speedWindowMs, speedStepMs)
  readonly #audits = new Lately<AuditCount>(auditWindowMs, auditStepMs)
  #made: { readonly at: number; readonly overview: NetworkOverview } | undefined

  constructor(ports: LiveOverviewPorts) {
    this.#ports = ports
    this.tick()
  }

  /** To be called often. */
  tick(): void {
    const { coordinator, uptime } = this.#ports
    this.#rows.note(uptime(), () => new Map(coordinator.sessions.rows))
    this.#audits.note(uptime(), () => new Map(Object.entries(this.#counts()) as [AuditCount, number][]))
  }

  now(): NetworkOverview {
    const at = this.#ports.uptime()
    if (!this.#made || at - this.#made.at >= freshMs) this.#made = { at, overview: this.#make(at) }
    return this.#made.overview
  }

  #make(uptime: number): NetworkOverview {
    const { coordinator, models, now } = this.#ports
    const counts = this.#counts()
    const lately = (key: AuditCount) => this.#audits.of(key, counts[key], uptime).growth
    return networkOverview({
      models: models(),
      swarms: coordinator.swarms,
      volunteers: coordinator.everybody(),
      trustOf: (peer) => coordinator.trust.trustOf(peer),
      busyness: (revision) => {
        const { growth, ms } = this.#rows.of(revision, coordinator.sessions.rows.get(revision) ?? 0, uptime)
        // Before its first sample a server has been up for no time at all.
        return { ...coordinator.sessions.busyness(revision), rowsPerSecond: ms > 0 ? (growth * 1000) / ms : 0 }
      },
      audits: { agreed: lately('agreed'), lost: lately('lost') + lately('auditorsLost'), split: lately('split'), undone: lately('void') },
      quarantines: coordinator.trust.quarantines().map((key) => {
        const { revision, backend, adapter } = backendOf(key)
        return { revision: revision as Revision, backend, adapter: adapter.slice(0, 300) }
      }),
      now: now(),
      uptime,
    })
  }

  #counts(): Record<AuditCount, number> {
    const { agreed, lost, auditorsLost, split, void: undone } = this.#ports.coordinator.trust.audits.counts
    return { agreed, lost, auditorsLost, split, void: undone }
  }
}
