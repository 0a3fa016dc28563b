/**
 * What ended sessions sent and received, kept some minutes for audits: bounded bytes, the oldest goes first.
 * docs/protocol.md [RR].
 */
import type { LinkHistory } from '../../link/history.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { historyBytes, historyMs } from '../../protocol/limits.ts'

/** A session's part here, over or not. */
export interface Histories {
  readonly id: SessionId
  /** What went over one of its links; undefined for a link that has no end here. */
  history(link: number): LinkHistory | undefined
  /** Every history, each once. */
  histories(): Iterable<LinkHistory>
  logitsRow(position: number): Uint8Array | undefined
}

interface Kept {
  readonly session: Histories
  readonly bytes: number
  readonly timer: ReturnType<typeof setTimeout>
}

export class KeptHistories {
  readonly #kept = new Map<SessionId, Kept>()
  #bytes = 0

  keep(session: Histories): void {
    this.drop(session.id)
    let bytes = 0
    for (const history of session.histories()) bytes += history.bytes
    if (bytes === 0 || bytes > historyBytes) return
    const timer = setTimeout(() => this.drop(session.id), historyMs)
    this.#kept.set(session.id, { session, bytes, timer })
    this.#bytes += bytes
    for (const id of this.#kept.keys()) {
      if (this.#bytes <= historyBytes) return
      this.drop(id)
    }
  }

  get(id: SessionId): Histories | undefined {
    return this.#kept.get(id)?.session
  }

  drop(id: SessionId): void {
    const kept = this.#kept.get(id)
    if (!kept) return
    clearTimeout(kept.timer)
    this.#bytes -= kept.bytes
    this.#kept.delete(id)
  }

  clear(): void {
    for (const id of this.#kept.keys()) this.drop(id)
  }
}
