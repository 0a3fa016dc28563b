/**
 * What follows the end of an examination: all that it changes in one commit, the receipt or the requester who is told that its
 * answer is wrong, and which other work is looked at since. docs/protocol.md [AU].
 */
import type { PeerId, SessionId } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { Case, Why } from './audit-choice.ts'
import { changesOf, type Changes, type Conclusion } from './audit-outcome.ts'
import type { StageJob } from './audit-plan.ts'
import type { AuditReceipts } from './audit-receipts.ts'
import type { Job, KeptSession, KeptSessions } from './kept-sessions.ts'
import { workTallies, type GaveFor } from './projects/tally.ts'
import type { Standings } from './standings.ts'
import { afterAudit, agreementWeight, quietNetwork, recheckShareOf, type NetworkStanding } from './trust/audit-policy.ts'
import { jobsToRecheck } from './trust/backtrack.ts'
import type { Withheld } from './withheld.ts'

export interface AftermathPorts {
  readonly standings: Standings
  readonly kept: KeptSessions
  readonly receipts: AuditReceipts
  readonly withheld: Withheld
  examine(of: Job, why: Why): void
  /** Wall time, ms since 1970. */
  now(): number
  uptime(): number
  /** Uniform in [0, 1), not to be foreseen by anybody. */
  random(): number
  /** Its requester is told; its correction must do without these. */
  wrong(session: SessionId, reason: string, without: readonly PeerId[]): void
  /** A backend is not to serve a model any more. */
  doubted(backendKey: string): void
  readonly gaveFor: GaveFor
  log(line: string): void
  failed(thrown: unknown): void
}

/** Peers whose strikes may turn out to be their backend's. */
const maxStruck = 1_000

export class Aftermath {
  /** Totals since the start. */
  readonly counts = { agreed: 0, lost: 0, auditorsLost: 0, split: 0, void: 0, strikes: 0, barred: 0, quarantined: 0, wrong: 0 }
  readonly #ports: AftermathPorts
  /** By backend, who was found wrong with it. */
  readonly #struck = new Map<string, PeerId[]>()
  #network = quietNetwork

  constructor(ports: AftermathPorts) {
    this.#ports = ports
  }

  /** What audits have found lately, of everybody. */
  get network(): NetworkStanding {
    return this.#network
  }

  /** Everything that is written, in one commit; what is looked at next, after it. */
  async conclude(c: Case, conclusion: Conclusion): Promise<void> {
    const { of, job, producer, works } = c
    const kept = of.of
    const { standings, receipts, withheld, gaveFor, now } = this.#ports
    const before = of.agreed.filter((w) => w.wasm && producer.wasm)
    const involved = [producer.peer, ...works.map((w) => w.peer), ...before.map((w) => w.peer)]
    const producerLost = conclusion.t === 'lost' && conclusion.losers.includes(producer.peer)
    const isWrong = producerLost || conclusion.t === 'split'
    const isNews = isWrong && !kept.wrong
    if (isWrong) kept.wrong = true
    const right =
      isWrong || conclusion.t === 'void' ? [] : works.filter((w) => conclusion.t !== 'lost' || !conclusion.losers.includes(w.peer))
    of.open = false
    const weight = agreementWeight(this.#network)
    let changes: Changes | undefined
    let receipt: Receipt | undefined
    const written = await standings
      .commit(kept.revision, involved, async (draft) => {
        // In turn, so that a receipt never counts what is not written before it.
        kept.pending -= 1
        of.agreed.push(...right)
        const struck = (key: string) => this.#struck.get(key) ?? []
        const decided = changesOf(draft, { job, producer, works, before, conclusion, weight }, struck, now())
        changes = decided
        receipt = await receipts.due(kept)
        return [...decided.writes, ...workTallies(decided.writes, gaveFor), ...(receipt ? [{ t: 'receipt', receipt } as const] : [])]
      })
      .catch((thrown: unknown) => {
        this.#ports.failed(thrown)
        return false
      })
    for (const peer of c.sides) standings.dispute(peer, false)
    if (!written) of.agreed = of.agreed.filter((w) => !right.some((r) => r === w))
    if (right.length > 0 && written) {
      of.checked ||= right.some((w) => w.rank === 'proven' || w.rank === 'anchor')
      withheld.forgive(producer.peer)
    }
    this.counts[conclusion.t === 'lost' ? (producerLost ? 'lost' : 'auditorsLost') : conclusion.t] += 1
    if (isNews) this.#tellWrong(kept, job, changes?.losers ?? [], producerLost)
    if (!written || !changes) return
    if (receipt) receipts.send(kept, receipt)
    this.#follow(c, conclusion, changes)
  }

  #tellWrong(kept: KeptSession, job: StageJob, losers: readonly PeerId[], producerLost: boolean): void {
    this.counts.wrong += 1
    const reason = producerLost
      ? `Blocks ${job.first + 1} to ${job.end} of the model were computed wrongly.`
      : `Blocks ${job.first + 1} to ${job.end} of the model came out differently each time they were computed.`
    this.#ports.log(`session ${kept.session.slice(0, 8)}: ${reason}`)
    this.#ports.wrong(kept.session, reason, producerLost ? losers : [job.peer])
  }

  /** Other work of those who lost, backends that are doubted, and who is watched because of what newcomers found. */
  #follow(c: Case, conclusion: Conclusion, { losers, barred, quarantined, writes }: Changes): void {
    const { kept, now, uptime, random, standings } = this.#ports
    const { of, producer, works } = c
    if (conclusion.t !== 'void') this.#network = afterAudit(this.#network, barred.includes(producer.peer))
    this.counts.barred += barred.length
    this.counts.strikes += writes.filter((w) => w.t === 'strike').length
    for (const key of quarantined) {
      this.counts.quarantined += 1
      this.#struck.delete(key)
      this.#ports.log(`a backend is doubted: ${key}`)
      this.#ports.doubted(key)
    }
    for (const peer of losers) {
      const { backendKey: key } = [producer, ...works, ...of.agreed].find((w) => w.peer === peer) ?? producer
      if (!quarantined.includes(key)) this.#struck.set(key, [...(this.#struck.get(key) ?? []), peer].slice(-maxStruck))
      this.#ports.log(
        `${peer.slice(0, 8)} was found wrong at session ${of.of.session.slice(0, 8)}, blocks ${of.job.first + 1}-${of.job.end}`,
      )
      const others = kept.workOf(peer, uptime()).filter((job) => job !== of && !job.open && !job.of.wrong)
      for (const job of jobsToRecheck(others, of.at, barred.includes(peer))) this.#ports.examine(job, 'backtrack')
    }
    const [first] = works
    if (
      c.why === 'drawn' &&
      conclusion.t === 'agreed' &&
      first &&
      !of.of.wrong &&
      random() < recheckShareOf(standings.known(first.peer), now())
    )
      this.#ports.examine(of, 'recheck')
  }
}
