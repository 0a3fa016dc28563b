/**
 * The port to what must outlive a process. Asynchronous everywhere, so that an embedded database and one across a network are
 * used alike; every write names the cell and epoch it belongs to, so that a process that lost its cell can't write any more.
 */
import type { PeerId, ProjectId, Revision, SessionId } from '../protocol/ids.ts'
import type { Counters } from '../protocol/projects.ts'
import type { Receipt } from '../protocol/receipt.ts'

export { maxEvidenceBytes } from '../protocol/evidence.ts'

/** A stage of an answer, its re-execution by an auditor, or rows run only to be ready (a standby) or to earn trust (a shadow). */
export type WorkKind = 'stage' | 'audit' | 'standby' | 'shadow'

/** Verified work: what credit will be made of. Entries are only ever added. */
export interface WorkEntry {
  /** The session's; an audit's own for its kind. */
  readonly id: string
  readonly kind: WorkKind
  readonly peer: PeerId
  readonly revision: Revision
  readonly first: number
  readonly end: number
  readonly rows: number
  /** Since 1970, ms. */
  readonly at: number
}

/** All of a peer's work of one kind on one day. */
export interface WorkSum {
  /** Days since 1970, UTC. */
  readonly day: number
  readonly kind: WorkKind
  readonly rows: number
  readonly pieces: number
}

export type AuditOutcome = 'agreed' | 'lost' | 'auditor-lost' | 'split' | 'void'

/** One re-execution of a stage of an answered session, judged. */
export interface AuditEntry {
  readonly audit: string
  readonly session: SessionId
  readonly revision: Revision
  /** Its place in the pipeline, and its blocks. */
  readonly stage: number
  readonly first: number
  readonly end: number
  /** Who was audited, and by whom. */
  readonly peer: PeerId
  readonly auditor: PeerId
  readonly outcome: AuditOutcome
  /** Executed again. */
  readonly chunks: number
  readonly rows: number
  /** Since 1970, ms. */
  readonly at: number
}

/** Something proven against a peer. */
export interface StrikeEntry {
  /** The audit or session that proved it. */
  readonly cause: string
  readonly peer: PeerId
  readonly why: string
  /** Since 1970, ms. */
  readonly at: number
}

/** Something that is counted of a project, once for its id and counter. */
export interface Tally {
  readonly id: string
  readonly counter: keyof Counters
  readonly project: ProjectId
  /** Days since 1970, UTC. */
  readonly day: number
  readonly amount: number
}

/** Of what can stand in a table only once, the first that was written stands; so a commit sent twice changes nothing. */
export type Write =
  /** One for each session, status and receipt superseded. */
  | { readonly t: 'receipt'; readonly receipt: Receipt }
  /** One for each id, peer, first block and kind. */
  | { readonly t: 'work'; readonly entry: WorkEntry }
  /** One for each audit's id. */
  | { readonly t: 'audit'; readonly entry: AuditEntry }
  /** One for each cause and peer. */
  | { readonly t: 'strike'; readonly entry: StrikeEntry }
  /** One for each id and counter. */
  | { readonly t: 'tally'; readonly tally: Tally }
  /** What proves a session's receipt offline; one for each session. */
  | { readonly t: 'evidence'; readonly session: SessionId; readonly evidence: Uint8Array }
  /** A peer's trust, as JSON can carry it: takes the place of what stood there. */
  | { readonly t: 'standing'; readonly peer: PeerId; readonly standing: unknown }

/** What a peer's trust is made of: counts and a few dates, with room for a history of some dozens. */
export const maxStandingBytes = 8 * 1024
/** A sentence. */
export const maxWhyChars = 300
/** Rows that one answer gives at most. */
export const maxAuditsRead = 1_000
/** Receipts that are looked through for unsettled ones, from the last one written: audits are over within minutes. */
export const unsettledReach = 10_000

export interface Store {
  /**
   * All of the writes or none; 'stale' when `epoch` is no longer the cell's.
   * @throws ManyhandsError bad-input when a write is over its limit; unavailable when the database does not answer: whether it
   *   was written is then not known, and sending it again is harmless
   */
  commit(cell: string, epoch: number, writes: readonly Write[]): Promise<'ok' | 'stale'>
  /** The one of a session that was written last. */
  receipt(session: SessionId): Promise<Receipt | undefined>
  /** All of a session's, from the first to the last of its successors. */
  receipts(session: SessionId): Promise<Receipt[]>
  /** A model's latest receipts that no settled one has followed, the oldest first. */
  unsettled(revision: Revision): Promise<Receipt[]>
  /** In the order of their time. */
  work(peer: PeerId): Promise<WorkEntry[]>
  /** The same added up by day and kind, from a moment on (since 1970, ms). */
  workSums(peer: PeerId, since: number): Promise<WorkSum[]>
  /** Of a peer that was audited or of a session; the latest first. */
  audits(of: { readonly peer: PeerId } | { readonly session: SessionId }, limit: number): Promise<AuditEntry[]>
  /** In the order of their time. */
  strikes(peer: PeerId): Promise<StrikeEntry[]>
  /** Of those peers that have one. */
  standings(peers: readonly PeerId[]): Promise<ReadonlyMap<PeerId, unknown>>
  evidence(session: SessionId): Promise<Uint8Array | undefined>
  close(): Promise<void>
}
