/**
 * A session as the server knows it while it lives: who asked, which volunteers serve it in this generation, and what is waited
 * for. Data alone; what becomes of it is sessions.ts's and failover.ts's.
 */
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Sampling } from '../protocol/sampling.ts'

/** A request for a session, as its requester sent it. */
export interface Asked {
  readonly peer: PeerId
  readonly key: string
  /** Undefined where everybody counts by key alone. */
  readonly network: string | undefined
  readonly id: number
  readonly revision: Revision
  readonly maxPositions: number
  readonly sampling: Sampling | null
  /** Sessions of the same requester whose peers must not take part. */
  readonly apart?: readonly SessionId[]
  /** The session that was found wrong, and which this one does again. */
  readonly corrects?: SessionId
}
