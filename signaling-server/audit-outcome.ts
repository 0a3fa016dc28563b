/**
 * What the end of an examination changes and what is written of it: standings, strikes, audits, work. All of it goes into one
 * commit. docs/protocol.md [AU], [TR].
 */
import type { PeerId } from '../protocol/ids.ts'
import type { StageJob } from './audit-plan.ts'
import { verdictOf, type Reexecution, type Work } from './audit-case.ts'
import type { Draft } from './standings.ts'
import type { AuditOutcome, Write } from './store.ts'
import { afterBackendAudit, isQuarantined } from './trust/quarantine.ts'
import type { Verdict } from './trust/verdict.ts'

/** What an examination ended with; 'void' when nobody could do it. */
export type Conclusion = Exclude<Verdict, { t: 'more' }> | { readonly t: 'void' }

export interface Examined {
  readonly job: StageJob
  readonly producer: Work
  readonly works: readonly Reexecution[]
  /** Those who had found the producer's work right before, to the bit. */
  readonly before: readonly Work[]
  readonly conclusion: Conclusion
  /** What an agreement counts for now. */
  readonly weight: number
}

export interface Changes {
  readonly writes: readonly Write[]
  /** Everybody found wrong, also those whose backend is to blame. */
  readonly losers: readonly PeerId[]
  /** Who may not produce any more since. */
  readonly barred: readonly PeerId[]
  /** Backends that are doubted since. */
  readonly quarantined: readonly string[]
}

/**
 * @param struck peers whose strikes came from a backend, to be forgiven when the backend is to blame
 * @param now wall time, ms since 1970
 */
export function changesOf(draft: Draft, examined: Examined, struck: (backendKey: string) => readonly PeerId[], now: number): Changes {
  const { job, producer, works, conclusion } = examined
  const losers = conclusion.t === 'lost' ? [...conclusion.losers, ...alsoWrong(examined, conclusion.losers)] : []
  const all: readonly Work[] = [producer, ...works, ...examined.before.filter((w) => losers.includes(w.peer))]
  const barred: PeerId[] = []
  const quarantined: string[] = []
  const writes: Write[] = works.flatMap((work) => audited(job, work, outcomeOf(conclusion, losers, producer.peer, work.peer), draft, now))
  if (conclusion.t === 'split' || conclusion.t === 'void') return { writes, losers, barred, quarantined }

  for (const key of judgeBackends(draft, examined, losers)) {
    quarantined.push(key)
    for (const peer of struck(key)) draft.forgive(peer)
  }
  for (const { peer, backendKey } of all) {
    if (!losers.includes(peer)) draft.agreed(peer, job.rows, examined.weight)
    else if (!isQuarantined(draft.backend(backendKey))) {
      if (draft.lost(peer)) barred.push(peer)
      writes.push({
        t: 'strike',
        entry: { cause: works[0]?.shadow ?? job.session, peer, why: whyOf(job, peer === producer.peer), at: now },
      })
    }
  }
  return { writes, losers, barred, quarantined }
}

/** Who had agreed with the loser to the bit has lost as surely, if those who decided weigh as much against it too. */
function alsoWrong({ producer, works, before }: Examined, losers: readonly PeerId[]): PeerId[] {
  if (!losers.includes(producer.peer)) return []
  return before.flatMap((work) => {
    if (works.some((w) => w.peer === work.peer)) return []
    const verdict = verdictOf([producer, ...works, work], 0)
    return verdict.t === 'lost' && verdict.losers.includes(work.peer) ? [work.peer] : []
  })
}

function outcomeOf(conclusion: Conclusion, losers: readonly PeerId[], producer: PeerId, auditor: PeerId): AuditOutcome {
  if (conclusion.t === 'split' || conclusion.t === 'void') return conclusion.t
  if (losers.includes(auditor)) return 'auditor-lost'
  return losers.includes(producer) ? 'lost' : 'agreed'
}

/** The audit itself, and the auditor's work where it was right. */
function audited(job: StageJob, { shadow, peer, rank }: Reexecution, outcome: AuditOutcome, draft: Draft, at: number): Write[] {
  const { session, revision, stage, first, end, chunks, rows } = job
  const entry = { audit: shadow, session, revision, stage, first, end, peer: job.peer, auditor: peer, outcome, chunks, rows, at }
  const right = outcome === 'agreed' || outcome === 'lost'
  // A newcomer's is what it earns its trust by.
  const kind = rank === 'new' && !draft.known(peer).anchor ? 'shadow' : 'audit'
  return [
    { t: 'audit', entry },
    ...(right ? [{ t: 'work', entry: { id: shadow, kind, peer, revision, first, end, rows, at } } as const] : []),
  ]
}

/** Both sides of every comparison between two backends. @returns those that are doubted from now on */
function judgeBackends(draft: Draft, { producer, works }: Examined, losers: readonly PeerId[]): string[] {
  const doubted: string[] = []
  for (const work of works) {
    if (work.backendKey === producer.backendKey) continue
    for (const { backendKey, peer } of [producer, work]) {
      const before = draft.backend(backendKey)
      const after = afterBackendAudit(before, losers.includes(peer), draft.known(peer))
      draft.setBackend(backendKey, after)
      if (isQuarantined(after) && !isQuarantined(before)) doubted.push(backendKey)
    }
  }
  return doubted
}

const whyOf = ({ first, end, session }: StageJob, produced: boolean): string =>
  `${produced ? 'Its result' : 'Its check'} of blocks ${first + 1} to ${end} in session ${session.slice(0, 8)} was not what others computed.`
