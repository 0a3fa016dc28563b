/**
 * What the server before this one left unsettled: answers whose audits were under way when it ended. Those audits are lost with
 * it; what was written of them counts, and the receipt says so. docs/protocol.md [RC].
 */
import type { Revision } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Receipt } from '../protocol/receipt.ts'
import { settled } from './settlement.ts'
import type { Standings } from './standings.ts'
import { maxAuditsRead, type AuditEntry, type Store, type Write } from './store.ts'

export interface SweepPorts {
  readonly identity: Identity
  readonly store: Store
  /** Wall time, ms since 1970. */
  now(): number
  failed(thrown: unknown): void
}

/** Answers that ended since this server began are settled by it as ever. */
export async function settleLeftOver(revision: Revision, standings: Standings, ports: SweepPorts): Promise<void> {
  const { store, now, failed } = ports
  const since = now()
  try {
    const left = (await store.unsettled(revision)).filter((receipt) => receipt.issuedAt < since)
    for (const { request } of left) await standings.commit(revision, [], () => successor(request, ports))
  } catch (thrown) {
    failed(thrown)
  }
}

async function successor(request: Receipt['request'], { store, identity, now }: SweepPorts): Promise<Write[]> {
  const last = await store.receipt(request)
  if (!last || last.custody.failed > 0) return []
  const audits = await store.audits({ session: last.session }, maxAuditsRead)
  // What was found wrong waits for its correction.
  if (audits.some(({ outcome }) => outcome === 'lost' || outcome === 'split')) return []
  const receipt = await settled(last, { done: chunksDone(audits), of: last.audits.of }, identity, now())
  return receipt ? [{ t: 'receipt', receipt }] : []
}

/** A stage that was computed again twice counts once. */
function chunksDone(audits: readonly AuditEntry[]): number {
  const agreed = audits.filter(({ outcome }) => outcome === 'agreed' || outcome === 'auditor-lost')
  return [...new Map(agreed.map((a) => [`${a.peer}/${a.first}`, a.chunks])).values()].reduce((sum, chunks) => sum + chunks, 0)
}
