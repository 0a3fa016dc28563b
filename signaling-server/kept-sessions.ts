/**
 * Sessions that ended lately, as long as their peers keep the rows: what audits are drawn from, what is looked at again after
 * a lie was found, and what known outcomes newcomers are tried with.
 */
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import { historyMs } from '../protocol/limits.ts'
import type { StageJob } from './audit-plan.ts'
import type { Work } from './audit-case.ts'
import { mayServe, type Viewpoint } from './audience.ts'
import type { Volunteer } from './swarm.ts'
import type { KeptJob } from './trust/backtrack.ts'

/** Somebody who took part, and where from: nobody of theirs audits it. */
export interface Participant {
  readonly peer: PeerId
  readonly prefix: string | undefined
}

export interface KeptSession {
  readonly session: SessionId
  readonly request: SessionId
  readonly revision: Revision
  readonly requester: PeerId
  /** For whom it was: nobody else's volunteers look at it again. */
  readonly viewpoint: Viewpoint
  /** Uptime, ms. */
  readonly endedAt: number
  readonly participants: readonly Participant[]
  /** Chunks that audits could reach at most. */
  readonly chunks: number
  readonly promptHash: string
  readonly jobs: readonly Job[]
  /** Examinations that its receipt waits for. */
  pending: number
  /** Found wrong, by whomever: it is answered by a correction and never settled. */
  wrong: boolean
  /** Its last receipt is written. */
  settled: boolean
}

export interface Job extends KeptJob {
  readonly of: KeptSession
  readonly job: StageJob
  readonly producer: Omit<Work, 'rank'>
  checked: boolean
  /** Computed again with the same outcome, by these. */
  agreed: Work[]
  /** Under examination. */
  open: boolean
}

/** Rows are let go of at their keepers' own time; what begins later finds nothing. */
const usableMs = historyMs - 15_000
/** Sessions kept at most; the oldest goes. */
const maxKept = 5_000

export class KeptSessions {
  readonly #sessions = new Map<SessionId, KeptSession>()

  add(kept: KeptSession): void {
    this.#sessions.set(kept.session, kept)
    if (this.#sessions.size <= maxKept) return
    for (const [session, { pending }] of this.#sessions) {
      if (pending > 0) continue
      this.#sessions.delete(session)
      return
    }
  }

  get(session: SessionId): KeptSession | undefined {
    return this.#sessions.get(session)
  }

  /** Whose rows are there no more. @param now uptime, ms */
  forgetOld(now: number): void {
    for (const [session, { endedAt, pending }] of this.#sessions)
      if (pending === 0 && now - endedAt > usableMs) this.#sessions.delete(session)
  }

  static isUsable({ endedAt }: KeptSession, now: number): boolean {
    return now - endedAt <= usableMs
  }

  /** What a peer computed, or found right, and could still be computed again. */
  workOf(peer: PeerId, now: number): Job[] {
    return this.#jobs(now).filter((job) => job.job.peer === peer || job.agreed.some((work) => work.peer === peer))
  }

  /** Work on these blocks whose outcome is known, as one who had no part in it could be tried with. */
  canary(revision: Revision, first: number, end: number, v: Volunteer, now: number, random: () => number): Job | undefined {
    const { peer } = v
    const known = this.#jobs(now).filter(
      ({ job, of, checked, agreed, open }) =>
        job.revision === revision &&
        job.first === first &&
        job.end === end &&
        checked &&
        !open &&
        !of.wrong &&
        mayServe(v, of.viewpoint) &&
        !of.participants.some((p) => p.peer === peer) &&
        !agreed.some((work) => work.peer === peer),
    )
    return known[Math.floor(random() * known.length)]
  }

  #jobs(now: number): Job[] {
    return [...this.#sessions.values()].filter((kept) => KeptSessions.isUsable(kept, now)).flatMap((kept) => kept.jobs)
  }
}
