/**
 * The port to what must outlive a process. Asynchronous everywhere, so that an embedded database and one across a network are
 * used alike; every write names the cell and epoch it belongs to, so that a process that lost its cell can't write any more.
 */
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'

/** Work of one stage in one answered session: what credit will be made of. Entries are only ever added. */
export interface WorkEntry {
  readonly session: SessionId
  readonly peer: PeerId
  readonly revision: Revision
  readonly first: number
  readonly end: number
  readonly rows: number
  /** Since 1970, ms. */
  readonly at: number
}

export type Write =
  /** One for each session and status, one for each session, peer and first block: the first that was written stands. */
  { readonly t: 'receipt'; readonly receipt: Receipt } | { readonly t: 'work'; readonly entry: WorkEntry }

export interface Store {
  /** All of the writes or none; 'stale' when `epoch` is no longer the cell's. */
  commit(cell: string, epoch: number, writes: readonly Write[]): Promise<'ok' | 'stale'>
  /** The one of a session that was written last. */
  receipt(session: SessionId): Promise<Receipt | undefined>
  /** In the order of their time. */
  work(peer: PeerId): Promise<WorkEntry[]>
  close(): Promise<void>
}
