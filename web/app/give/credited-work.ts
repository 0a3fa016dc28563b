/** Rows that the server has in its ledger for a peer: what it gave of late, counted once others' results stood beside it or nobody doubted it. */
import type { PeerWork } from '../../../protocol/overview.ts'

/** @throws where the server does not tell */
export async function creditedWork(peer: string): Promise<number> {
  const response = await fetch(`/v1/peers/${peer}/work`)
  if (!response.ok) throw new Error(`status ${response.status}`)
  const { days } = (await response.json()) as PeerWork
  return days.reduce((sum, { stage, audit, shadow, standby }) => sum + stage + audit + shadow + standby, 0)
}
