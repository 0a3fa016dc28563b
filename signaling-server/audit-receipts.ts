/**
 * Receipts of sessions whose audits are over: signed once nothing is waited for any more, written in the commit that ended the
 * last of them, and sent to the requester after it. docs/protocol.md [RC].
 */
import type { PeerId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import type { KeptSession } from './kept-sessions.ts'
import { settled } from './settlement.ts'
import type { Standings } from './standings.ts'
import type { Store } from './store.ts'

export interface AuditReceiptsPorts {
  readonly identity: Identity
  readonly store: Store
  readonly standings: Standings
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
  /** Wall time, ms since 1970. */
  now(): number
}

export class AuditReceipts {
  readonly #ports: AuditReceiptsPorts

  constructor(ports: AuditReceiptsPorts) {
    this.#ports = ports
  }

  /** Of a session of which nothing is examined. */
  async settle(kept: KeptSession): Promise<void> {
    let receipt: Receipt | undefined
    const written = await this.#ports.standings.commit(kept.revision, [], async () => {
      receipt = await this.due(kept)
      return receipt ? [{ t: 'receipt', receipt }] : []
    })
    if (written && receipt) this.send(kept, receipt)
  }

  /** Once nothing is waited for: what was computed again with the same outcome, of all. Inside a commit only. */
  async due(kept: KeptSession): Promise<Receipt | undefined> {
    if (kept.pending > 0 || kept.wrong || kept.settled) return undefined
    const { store, identity, now } = this.#ports
    const last = await store.receipt(kept.request)
    if (last?.session !== kept.session) return undefined
    const done = kept.jobs.reduce((sum, job) => sum + (job.agreed.length > 0 ? job.chunks : 0), 0)
    return settled(last, { done, of: kept.chunks }, identity, now())
  }

  /** It is written. */
  send(kept: KeptSession, receipt: Receipt): void {
    kept.settled = true
    this.#ports.send(kept.requester, { t: 'receipt', receipt })
  }
}
