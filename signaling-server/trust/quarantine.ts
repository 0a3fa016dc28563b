/**
 * Losses that are a backend's and not its people's: a kernel that is wrong on a model loses nearly every audit, whoever runs
 * it. One record for each (revision, backend, adapter); those with a quarantined one are asked for another backend.
 */
import * as v from 'valibot'
import { quarantineLosers, quarantineMemory, quarantineShare } from './policy.ts'

export const backendRecordSchema = v.object({
  /** Audits against other backends, and losses among them; both fade. */
  audits: v.pipe(v.number(), v.finite(), v.minValue(0)),
  losses: v.pipe(v.number(), v.finite(), v.minValue(0)),
  /** Who lost, and where from: one for each network, the first `quarantineLosers`. */
  losers: v.pipe(v.array(v.object({ peer: v.string(), place: v.string() })), v.maxLength(quarantineLosers)),
})

export type BackendRecord = Readonly<v.InferOutput<typeof backendRecordSchema>>

export const unknownBackend: BackendRecord = { audits: 0, losses: 0, losers: [] }

/** What a backend is called here: a wrong kernel is a driver's, so the adapter counts where a browser tells it. */
export const backendKey = (revision: string, backend: string, adapter?: string): string => [revision, backend, adapter ?? ''].join(' ')

/** What a key names. */
export function backendOf(key: string): { readonly revision: string; readonly backend: string; readonly adapter: string } {
  const [revision = '', backend = '', ...adapter] = key.split(' ')
  return { revision, backend, adapter: adapter.join(' ') }
}

/** After an audit of, or by, a peer with this backend against one with another. */
export function afterBackendAudit(
  record: BackendRecord,
  lost: boolean,
  { peer, prefix }: { peer: string; prefix: string | undefined },
): BackendRecord {
  const fade = 1 - 1 / quarantineMemory
  const place = prefix ?? peer
  const isNews = lost && record.losers.length < quarantineLosers && !record.losers.some((l) => l.peer === peer || l.place === place)
  return {
    audits: record.audits * fade + 1,
    losses: record.losses * fade + Number(lost),
    losers: isNews ? [...record.losers, { peer, place }] : record.losers,
  }
}

/** Strikes that came from it are then forgiven (`forgiven`). */
export const isQuarantined = ({ audits, losses, losers }: BackendRecord): boolean =>
  losers.length >= quarantineLosers && losses >= quarantineShare * audits
