/**
 * What a peer says to a signaling server on its control socket (`/v1/socket`): JSON text, one variant per message. Custody
 * proofs go as binary messages: one or more of `proofBytes` bytes, end to end.
 */
import * as v from 'valibot'
import { wireErrorSchema, finishes } from './link-messages.ts'
import { maxPositions } from './limits.ts'
import { backends, peerIdSchema, publicKeySchema, revisionSchema, sessionIdSchema, signatureSchema, timeSchema } from './ticket.ts'

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
const bytes = count(Number.MAX_SAFE_INTEGER)
const text = (most: number) => v.pipe(v.string(), v.maxLength(most))
/** Drawn by the client, echoed by the answer. */
const id = count(2 ** 32 - 1)
const lease = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))
const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1))

/** What a volunteer measured of its own work since the last report. */
const workStats = v.strictObject({
  steps: count(2 ** 48),
  rows: count(2 ** 48),
  /** Milliseconds of runs. */
  busyMs: v.pipe(v.number(), v.minValue(0), v.maxValue(1e12)),
  sentBytes: bytes,
  receivedBytes: bytes,
})

export const clientMessageSchema = v.variant('t', [
  /** Answer to `challenge`; signed (purpose `hello`) over canonical JSON of {nonce, origin, expiresAt, server}. */
  v.strictObject({
    t: v.literal('hello'),
    v: v.literal(1),
    key: publicKeySchema,
    nonce: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
    /** The page's origin, or `node`. */
    origin: text(300),
    expiresAt: timeSchema,
    /** Name and version of the software, for the operator's logs. */
    agent: text(120),
    signature: signatureSchema,
  }),
  v.strictObject({ t: v.literal('models'), id }),
  // ---- Volunteers
  /** "I give": answered by `assign`, now or when there is work. */
  v.strictObject({
    t: v.literal('offer'),
    /** Empty: any model. */
    models: v.pipe(v.array(revisionSchema), v.maxLength(64)),
    /** Bytes of weights and caches it is willing to hold. */
    memoryBytes: bytes,
    /** Share of time it is willing to compute. */
    power: fraction,
    backends: v.pipe(v.array(v.picklist(backends)), v.maxLength(2)),
  }),
  /** The stage is loaded and has passed its golden check on `backend`. */
  v.strictObject({
    t: v.literal('ready'),
    lease,
    backend: v.picklist(backends),
    /** Most rows a run may have there. */
    rowLimit: v.pipe(count(4096), v.minValue(1)),
    /** Measured: one row, and a run of `rowLimit` rows. */
    msPerRow: v.pipe(v.number(), v.minValue(0), v.maxValue(1e6)),
    /** Positions of cache it can hold over all sessions. */
    cachePositions: count(Number.MAX_SAFE_INTEGER),
  }),
  v.strictObject({ t: v.literal('failed'), lease, error: wireErrorSchema }),
  v.strictObject({ t: v.literal('renew'), lease, stats: workStats }),
  /** Takes no new sessions while paused. */
  v.strictObject({ t: v.literal('pause'), paused: v.boolean() }),
  v.strictObject({ t: v.literal('leave') }),
  /** Last stage: the session ended. `answerHash` and `promptHash` as in the receipt. */
  v.strictObject({
    t: v.literal('done'),
    session: sessionIdSchema,
    finish: v.picklist(finishes),
    promptPositions: count(maxPositions),
    answerPositions: count(maxPositions),
    promptHash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    answerHash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  }),
  /** A stage or requester: this session can't go on. */
  v.strictObject({ t: v.literal('fault'), session: sessionIdSchema, peer: v.exactOptional(peerIdSchema), error: wireErrorSchema }),
  // ---- Requesters
  /** Answered by `route`, or by `error` (unknown-model, no-volunteers, context-overflow, busy with retryAfterMs). */
  v.strictObject({
    t: v.literal('open'),
    id,
    revision: revisionSchema,
    /** Prompt and answer together; 1 for a model without a decoder. */
    maxPositions: v.pipe(count(maxPositions), v.minValue(1)),
  }),
  /** The requester is done with the session, or gives up waiting for a route. */
  v.strictObject({ t: v.literal('close'), id }),
])
export type ClientMessage = v.InferOutput<typeof clientMessageSchema>
export type WorkStats = v.InferOutput<typeof workStats>

/** What a hello signs. */
export interface HelloClaim {
  readonly nonce: string
  readonly origin: string
  readonly expiresAt: number
  /** The server's public key, so that a hello to one server is none to another. */
  readonly server: string
}
