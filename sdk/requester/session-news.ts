/**
 * What the server says of a session beside its answer: its receipts, and whether it was found wrong. Kept from the session's
 * opening until some minutes after its end; every wait has a limit.
 */
import { deferred, type Deferred } from '../../link/deferred.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { Receipt } from '../../protocol/receipt.ts'

/** The first receipt follows its answer when the last proofs are in; past this there is none. */
const receiptMs = 30_000
/** Audits read what volunteers keep for three minutes after an answer, and may be tried anew: past this nothing more is heard. */
const settledMs = 5 * 60_000

export interface SessionNews {
  /** The first one; rejects `timeout` when none came. */
  readonly receipt: Promise<Receipt>
  /** The one that says how the audits went; rejects `timeout` when none came. */
  readonly settled: Promise<Receipt>
  /** Why the answer is not to be trusted; stays open as long as it is. */
  readonly wrong: Promise<string>
  /** Resolves when no more is to be heard of it: also who was settled may be found wrong, as long as volunteers keep what they computed. */
  readonly over: Promise<void>
  /** All that have come, oldest first. */
  readonly receipts: readonly Receipt[]
}

interface Entry {
  readonly receipts: Receipt[]
  readonly receipt: Deferred<Receipt>
  readonly settled: Deferred<Receipt>
  readonly wrong: Deferred<string>
  readonly over: Deferred<void>
  readonly timers: ReturnType<typeof setTimeout>[]
}

export class NewsDesk {
  readonly #entries = new Map<SessionId, Entry>()

  /** From here on what is heard of the session is kept; the limits run from its end. */
  follow(session: SessionId, ended: Promise<unknown>): SessionNews {
    const entry: Entry = { receipts: [], receipt: deferred(), settled: deferred(), wrong: deferred(), over: deferred(), timers: [] }
    for (const { promise } of [entry.receipt, entry.settled]) promise.catch(() => undefined)
    this.#entries.set(session, entry)
    void ended.catch(() => undefined).then(() => this.#limit(session, entry))
    const { receipts, receipt, settled, wrong, over } = entry
    return { receipts, receipt: receipt.promise, settled: settled.promise, wrong: wrong.promise, over: over.promise }
  }

  /** A checked receipt. */
  receipt(receipt: Receipt): void {
    const entry = this.#entries.get(receipt.session)
    if (!entry || entry.receipts.some((known) => known.signature === receipt.signature)) return
    entry.receipts.push(receipt)
    entry.receipt.resolve(receipt)
    if (receipt.status !== 'provisional') entry.settled.resolve(receipt)
  }

  wrong(session: SessionId, reason: string): void {
    this.#entries.get(session)?.wrong.resolve(reason)
  }

  close(reason: ManyhandsError): void {
    for (const [session, entry] of this.#entries) this.#forget(session, entry, reason)
  }

  #limit(session: SessionId, entry: Entry): void {
    if (this.#entries.get(session) !== entry) return
    const none = new ManyhandsError('timeout', 'The server sent no receipt for this answer.')
    const open = new ManyhandsError('timeout', 'The server did not say how the audits of this answer went.')
    entry.timers.push(
      setTimeout(() => entry.receipt.reject(none), receiptMs),
      setTimeout(() => this.#forget(session, entry, open), settledMs),
    )
  }

  #forget(session: SessionId, entry: Entry, reason: ManyhandsError): void {
    this.#entries.delete(session)
    for (const timer of entry.timers) clearTimeout(timer)
    entry.receipt.reject(reason)
    entry.settled.reject(reason)
    entry.over.resolve()
  }
}
