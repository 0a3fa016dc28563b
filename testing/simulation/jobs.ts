/**
 * Requests and their stage-jobs as the simulation keeps them, and the tally of what became of them.
 */
import type { Peer } from './population.ts'
import { isWrong, type Work } from './work.ts'

export interface Request {
  readonly rows: number
  readonly minutes: number
  readonly jobs: Job[]
  /** Falls within what is counted. */
  readonly counted: boolean
  /** Milliseconds that it was kept waiting, for a place or a replacement. */
  delayMs: number
  rerun: boolean
}

export interface Job {
  readonly request: Request
  readonly stage: number
  readonly producer: Peer
  readonly work: Work
  readonly at: number
  readonly chunks: number
  readonly unproven: boolean
  checked: boolean
  /** Being audited again after its producer's or auditor's loss. */
  rechecking: boolean
}

/** What rows were executed for, beside the useful ones. */
export const purposes = [
  'audits',
  'canaries',
  'referees',
  'rechecks',
  'backtracking',
  'reruns',
  'replays',
  'standbys',
  'abandoned',
] as const
export type Purpose = (typeof purposes)[number]

export interface Tally {
  requests: number
  failed: number
  /** Keys of honest people barred, and struck once. */
  honestBars: number
  honestStrikes: number
  attackerBars: number
  delivered(request: Request): void
  /** Run again: its jobs were these, and are those. */
  corrected(request: Request, better: readonly Work[]): void
  spend(purpose: Purpose, rows: number, counted: boolean): void
  checked(afterMs: number): void
  figures(): Figures
}

export interface Figures {
  readonly wrongAtDelivery: number
  readonly wrongAfterCorrection: number
  readonly overhead: number
  readonly honestBansPerMillionJobs: number
  readonly heldBack: number
  readonly completed: number
  readonly p95DelayMs: number
  readonly stageJobs: number
  /** Stage-jobs of producers that were not proven. */
  readonly unproven: number
  /** Stage-jobs of the operator's own. */
  readonly anchored: number
  /** The same without honest people's faults. */
  readonly liesAtDelivery: number
  readonly liesAfterCorrection: number
  readonly liesBy: Readonly<Record<string, number>>
  readonly honestStrikesPerMillionJobs: number
  readonly attackerBansPerMillionJobs: number
  /** From an answer's end to its last audit. */
  readonly p95CheckedMs: number
  readonly overheadBy: Record<Purpose, number>
}

export function createTally(): Tally {
  let jobs = 0
  let unproven = 0
  let anchored = 0
  let useful = 0
  let [wrong, left, lies, liesLeft] = [0, 0, 0, 0]
  const spent = Object.fromEntries(purposes.map((p) => [p, 0])) as Record<Purpose, number>
  const delays: number[] = []
  const by: Record<string, number> = {}
  const checks: number[] = []
  return {
    requests: 0,
    failed: 0,
    honestBars: 0,
    honestStrikes: 0,
    attackerBars: 0,
    delivered(request) {
      if (!request.counted) return
      delays.push(request.delayMs)
      for (const job of request.jobs) {
        const { work, producer } = job
        jobs++
        unproven += Number(job.unproven)
        anchored += Number(producer.anchor)
        useful += request.rows
        if (!isWrong(work)) continue
        wrong++
        left++
        if (producer.kind === 'honest') continue
        lies++
        liesLeft++
        by[producer.kind] = (by[producer.kind] ?? 0) + 1
      }
    },
    corrected(request, better) {
      if (!request.counted) return
      for (const { work, producer } of request.jobs) {
        if (!isWrong(work)) continue
        left--
        if (producer.kind !== 'honest') liesLeft--
      }
      left += better.filter(isWrong).length
    },
    spend(purpose, rows, counted) {
      if (counted) spent[purpose] += rows
    },
    checked(afterMs) {
      checks.push(afterMs)
    },
    figures() {
      const extra = Object.values(spent).reduce((sum, rows) => sum + rows, 0)
      return {
        wrongAtDelivery: wrong / jobs,
        wrongAfterCorrection: left / jobs,
        overhead: extra / useful,
        honestBansPerMillionJobs: (this.honestBars / jobs) * 1e6,
        // The shipped policy holds nothing: answers stream at once, and a receipt is provisional until its audits are over.
        heldBack: 0,
        completed: (this.requests - this.failed) / this.requests,
        p95DelayMs: percentile(delays, 0.95),
        stageJobs: jobs,
        unproven: unproven / jobs,
        anchored: anchored / jobs,
        liesAtDelivery: lies / jobs,
        liesBy: Object.fromEntries(Object.entries(by).map(([kind, n]) => [kind, n / jobs])),
        liesAfterCorrection: liesLeft / jobs,
        honestStrikesPerMillionJobs: (this.honestStrikes / jobs) * 1e6,
        attackerBansPerMillionJobs: (this.attackerBars / jobs) * 1e6,
        p95CheckedMs: percentile(checks, 0.95),
        overheadBy: Object.fromEntries(purposes.map((p) => [p, spent[p] / useful])) as Record<Purpose, number>,
      }
    },
  }
}

function percentile(of: number[], share: number): number {
  const sorted = Float64Array.from(of).sort()
  return sorted.length === 0 ? 0 : Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number)
}
