/**
 * Re-executions under way: each auditor has one at a time, is told whom to get the rows from, commits, and where backends
 * round differently sketches what it is then shown. Each ends exactly once, with a work or without. docs/protocol.md [AU].
 */
import { toHex } from '../protocol/bytes.ts'
import type { ClientMessage } from '../protocol/client-messages.ts'
import type { PeerId, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { sketchDistance, sketchSeedBytes } from '../protocol/sketch.ts'
import type { Party, StageJob } from './audit-plan.ts'
import { compareToProducer, type Reexecution, type Work } from './audit-case.ts'
import { auditTicket, fitsTicket, readSketches, revealing, runMs, sketchedRows, type Revealing } from './audit-run.ts'
import type { Serving } from './routing.ts'
import type { Rank } from './trust/standing.ts'
import { backendKey } from './trust/quarantine.ts'

/** What all re-executions of one case share. */
export interface Examination {
  readonly job: StageJob
  readonly producer: Work
  /** The same chunks under the same seed for all, so that their sketches can be compared with each other. */
  reveal?: { readonly seed: string } & Revealing
}

export type RunResult =
  | { readonly t: 'work'; readonly work: Reexecution }
  /** The rows were not those that the stage signed, or did not come. */
  | { readonly t: 'source' }
  /** The auditor went away, was too slow, or could not. */
  | { readonly t: 'auditor' }
  /** Nobody can show what the stage sent. */
  | { readonly t: 'holder' }

export interface Run {
  readonly shadow: SessionId
  readonly examination: Examination
  readonly auditor: Serving
  readonly rank: Rank
  readonly source: Party
  readonly over: (result: RunResult) => void
  /** The commitment, once it is there. */
  work?: Reexecution
  dueAt: number
}

export interface RunsPorts {
  readonly identity: Identity
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
  online(peer: PeerId): boolean
  /** Wall time, ms since 1970. */
  now(): number
  uptime(): number
  /** Uniform in [0, 1), not to be foreseen by anybody. */
  random(): number
  randomBytes(count: number): Uint8Array
  failed(thrown: unknown): void
}

const shadowBytes = 16
/** Fetching some chunks and sketching them. */
const revealMs = 20_000

type Of<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>

export class AuditRuns {
  readonly #ports: RunsPorts
  readonly #runs = new Map<SessionId, Run>()
  readonly #busy = new Map<PeerId, Run>()

  constructor(ports: RunsPorts) {
    this.#ports = ports
  }

  get size(): number {
    return this.#runs.size
  }

  isBusy(peer: PeerId): boolean {
    return this.#busy.has(peer)
  }

  start(examination: Examination, auditor: Serving, rank: Rank, source: Party, over: Run['over']): void {
    const shadow = toHex(this.#ports.randomBytes(shadowBytes)) as SessionId
    const { ready } = auditor.holding
    const ms = runMs(examination.job.rows, ready.msPerRow, auditor.power)
    const run: Run = { shadow, examination, auditor, rank, source, over, dueAt: this.#ports.uptime() + ms }
    this.#runs.set(shadow, run)
    this.#busy.set(auditor.peer, run)
    const issuedAt = this.#ports.now()
    const { peer, key } = auditor
    auditTicket(examination.job, shadow, { peer, key }, source, this.#ports.identity, {
      issuedAt,
      expiresAt: issuedAt + Math.ceil(ms) + revealMs,
    }).then(
      (ticket) => {
        if (this.#runs.get(shadow) === run && !this.#ports.send(peer, { t: 'shadow', ticket })) this.#end(run, { t: 'auditor' })
      },
      (thrown: unknown) => {
        this.#ports.failed(thrown)
        this.#end(run, { t: 'auditor' })
      },
    )
  }

  audited(peer: PeerId, { shadow, inputs, outputs }: Of<'audited'>): void {
    const run = this.#runs.get(shadow)
    if (run?.auditor.peer !== peer || run.work) return
    const { examination } = run
    const { job, producer } = examination
    if (inputs !== job.inputs) return this.#end(run, { t: 'source' })
    if (!fitsTicket(job, outputs)) return this.#end(run, { t: 'auditor' })
    const { backend, adapter } = run.auditor.holding.ready
    const key = backendKey(job.revision, backend, adapter)
    run.work = { shadow, peer, rank: run.rank, wasm: backend === 'wasm', backendKey: key, outputs }
    if (compareToProducer(producer, run.work) !== 'sketch') return this.#end(run, { t: 'work', work: run.work })
    this.#reveal(run, run.work)
  }

  sketched(peer: PeerId, message: Of<'sketched'>): void {
    const run = this.#runs.get(message.shadow)
    const reveal = run?.examination.reveal
    if (run?.auditor.peer !== peer || !run.work || !reveal) return
    const sketches = readSketches(message, sketchedRows(run.examination.job, reveal))
    if (!sketches) return this.#end(run, { t: 'auditor' })
    const { own, theirs } = sketches
    let worst: number
    try {
      ;({ worst } = sketchDistance(theirs, own))
    } catch {
      // A number that is none, in what it says are its own rows or the other's.
      return this.#end(run, { t: 'auditor' })
    }
    this.#end(run, { t: 'work', work: { ...run.work, own, worst } })
  }

  unaudited(peer: PeerId, { shadow, peer: named }: Of<'unaudited'>): void {
    const run = this.#runs.get(shadow)
    if (run?.auditor.peer !== peer) return
    const holder = run.work && named !== undefined && named === run.examination.reveal?.holder
    this.#end(run, { t: holder ? 'holder' : named === run.source.peer && !run.work ? 'source' : 'auditor' })
  }

  gone(peer: PeerId): void {
    const run = this.#busy.get(peer)
    if (run) this.#end(run, { t: 'auditor' })
  }

  tick(): void {
    const now = this.#ports.uptime()
    for (const run of this.#runs.values()) if (now > run.dueAt) this.#end(run, { t: 'auditor' })
  }

  // ------------------------------------------------------------------------------------------------------------------

  #reveal(run: Run, work: Reexecution): void {
    const { examination } = run
    if (examination.reveal === undefined || !this.#ports.online(examination.reveal.holder)) {
      const { online, random, randomBytes } = this.#ports
      const chosen = revealing(examination.job, work.outputs, online, random)
      if (chosen === undefined) return this.#end(run, { t: 'holder' })
      if (chosen === 'different') return this.#end(run, { t: 'work', work: { ...work, worst: Infinity } })
      examination.reveal = { ...(examination.reveal ?? { seed: toHex(randomBytes(sketchSeedBytes)), ...chosen }), holder: chosen.holder }
    }
    run.dueAt = this.#ports.uptime() + revealMs
    const { seed, holder, chunks } = examination.reveal
    if (!this.#ports.send(run.auditor.peer, { t: 'reveal', shadow: run.shadow, seed, holder, chunks })) this.#end(run, { t: 'auditor' })
  }

  /** The one place where a run ends. */
  #end(run: Run, result: RunResult): void {
    if (!this.#runs.delete(run.shadow)) return
    this.#busy.delete(run.auditor.peer)
    this.#ports.send(run.auditor.peer, { t: 'shadow-closed', shadow: run.shadow })
    run.over(result)
  }
}
