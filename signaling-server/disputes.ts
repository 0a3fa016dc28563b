/**
 * Requesters whose pipelines answered the same question differently. All of the pipelines are examined, once each has ended;
 * where nothing differs, or different things were asked, nothing is.
 */
import type { PeerId, SessionId } from '../protocol/ids.ts'
import type { KeptSession } from './kept-sessions.ts'

interface Dispute {
  readonly peer: PeerId
  readonly sessions: readonly SessionId[]
  readonly until: number
}

/** A pipeline that is stopped ends within seconds. */
const patienceMs = 60_000
const maxDisputes = 1_000

type Find = (session: SessionId) => KeptSession | undefined

export class Disputes {
  readonly #waiting = new Set<Dispute>()

  /** @returns what is to be examined now */
  begin(peer: PeerId, sessions: readonly SessionId[], now: number, find: Find): KeptSession[] {
    const dispute: Dispute = { peer, sessions: [...new Set(sessions)], until: now + patienceMs }
    const all = dispute.sessions.map(find)
    if (all.every((kept) => kept !== undefined)) return worthwhile(dispute, all)
    if (this.#waiting.size < maxDisputes) this.#waiting.add(dispute)
    return []
  }

  /** The same, once another session has ended. */
  due(session: SessionId, find: Find): KeptSession[] {
    const due: KeptSession[] = []
    for (const dispute of this.#waiting) {
      if (!dispute.sessions.includes(session)) continue
      const all = dispute.sessions.map(find)
      if (!all.every((kept) => kept !== undefined)) continue
      this.#waiting.delete(dispute)
      due.push(...worthwhile(dispute, all))
    }
    return due
  }

  /** Where some pipeline never ended, the others differ all the same. */
  forgetOld(now: number): void {
    for (const dispute of this.#waiting) if (now > dispute.until) this.#waiting.delete(dispute)
  }
}

/** A requester can't have others' sessions examined, nor its own for nothing. */
function worthwhile({ peer }: Dispute, sessions: readonly KeptSession[]): KeptSession[] {
  const own = sessions.filter((s) => s.requester === peer && s.promptHash === sessions[0]?.promptHash)
  return own.length === sessions.length && new Set(own.map(answerOf)).size > 1 ? own : []
}

/** What its host signed of the answer. */
const answerOf = ({ jobs }: KeptSession): string =>
  jobs
    .filter((job) => job.job.last)
    .flatMap((job) => job.job.outputs[0]?.chunks.map((c) => c.hash) ?? [])
    .join()
