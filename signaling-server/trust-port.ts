/**
 * What sessions, routing and the roster ask those who keep trust, and what they tell them. Audits, standings and strikes stand
 * behind it; `trustEverybody` is for tests and for a server that verifies nothing.
 */
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Manifest } from '../protocol/manifest.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { Backend } from '../protocol/ticket.ts'
import type { Named } from './custody-check.ts'
import type { CustodyLedger, CustodyResult } from './custody-ledger.ts'
import type { Asked } from './live-session.ts'
import type { Done } from './settlement.ts'

/** A session that is over, with all that was proven of it. */
export interface EndedSession {
  readonly session: SessionId
  /** The session that the request began as: another where this one corrects it. */
  readonly request: SessionId
  readonly asked: Asked
  readonly manifest: Manifest
  /** Tickets of all generations, and the chunks that both ends signed. */
  readonly ledger: CustodyLedger
  readonly custody: CustodyResult
  readonly done: Done
  /** Under which its outcome may be written. */
  readonly epoch: number
}

export interface Trust {
  /** Whether what it computes may be part of an answer while others could compute it. */
  mayProduce(peer: PeerId): boolean
  /** What a route's cost through it is multiplied by: the longest known first, and those who have been there for a while. */
  routingCost(peer: PeerId, onlineMs: number): number
  /** Of two, who goes where only one can stay. */
  lessTrusted(a: PeerId, b: PeerId): PeerId
  /** A backend that was found wrong on a model: nobody serves it so. */
  quarantined(revision: Revision, backend: Backend, adapter: string): boolean
  /** Its provisional receipt is written. */
  ended(session: EndedSession, receipt: Receipt): void
  /** Chunks that don't agree: those whom signatures prove wrong, or the two ends of a link of which one lied. */
  failedCustody(session: SessionId, revision: Revision, named: readonly Named[], pair?: readonly [PeerId, PeerId]): void
}

export const trustEverybody: Trust = {
  mayProduce: () => true,
  routingCost: () => 1,
  lessTrusted: (_, b) => b,
  quarantined: () => false,
  ended: () => undefined,
  failedCustody: () => undefined,
}
