/**
 * What a peer says to a signaling server on its control socket (`/v1/socket`): JSON text, one variant per message. Custody
 * proofs go as binary messages: one or more of `proofBytes` bytes, end to end.
 */
import * as v from 'valibot'
import { wireErrorSchema, finishes } from './link-messages.ts'
import { maxBlocks, maxLinkChunks, maxPositions, maxSketchRows } from './limits.ts'
import { projectIdSchema, projectKeySchema } from './projects.ts'
import { samplingSchema } from './sampling.ts'
import { hashSchema } from './shadow.ts'
import {
  backends,
  peerIdSchema,
  publicKeySchema,
  revisionSchema,
  sessionIdSchema,
  signatureSchema,
  ticketSchema,
  timeSchema,
} from './ticket.ts'

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
const bytes = count(Number.MAX_SAFE_INTEGER)
const text = (most: number) => v.pipe(v.string(), v.maxLength(most))
/** Drawn by the client, echoed by the answer. */
const id = count(2 ** 32 - 1)
const lease = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))
const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1))

const milliseconds = v.pipe(v.number(), v.minValue(0), v.maxValue(1e9))
/** 4 f32 for each of `maxSketchRows` rows. */
const sketch = v.pipe(v.string(), v.maxLength(Math.ceil((maxSketchRows * 16) / 3) * 4), v.base64())

/** A loaded stage, as measured. */
const serving = {
  backend: v.picklist(backends),
  /** The GPU's or processor's own words where there are any: losses that cluster are a driver's. */
  adapter: text(200),
  /** Most rows a run may have there. */
  rowLimit: v.pipe(count(4096), v.minValue(1)),
  /** Of a one-row run. */
  msPerRow: v.pipe(v.number(), v.minValue(0), v.maxValue(1e6)),
  /** Positions of cache it can hold over all sessions. */
  cachePositions: count(Number.MAX_SAFE_INTEGER),
}

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
    /** The project that it asks for, by its key; a wrong one ends the connection (`forbidden`). */
    project: v.exactOptional(v.strictObject({ key: projectKeySchema })),
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
    /** The project whose requests it serves first. */
    project: v.exactOptional(projectIdSchema),
    /** What it holds and serves already, from before the server or the connection went away: a lease to take over as it is. */
    holding: v.exactOptional(
      v.strictObject({ lease, revision: revisionSchema, blocks: v.strictTuple([count(maxBlocks), count(maxBlocks)]), ...serving }),
    ),
  }),
  /** A live session by its ticket, said after a reconnection by everyone who takes part: a server that does not know it takes it over. */
  v.strictObject({ t: v.literal('adopt'), ticket: ticketSchema }),
  /** The stage is loaded and has passed its golden check on `backend`. */
  v.strictObject({
    t: v.literal('ready'),
    lease,
    ...serving,
  }),
  v.strictObject({ t: v.literal('failed'), lease, error: wireErrorSchema }),
  v.strictObject({ t: v.literal('renew'), lease, stats: workStats }),
  /** Takes no new sessions while paused. */
  v.strictObject({ t: v.literal('pause'), paused: v.boolean() }),
  /** It wants to go: no new sessions, and those under way are handed over; answered by `handed`. */
  v.strictObject({ t: v.literal('leaving') }),
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
  /** A stage or requester: this session can't go on; because of `peer`, where it is a neighbour's doing or loss. */
  v.strictObject({ t: v.literal('fault'), session: sessionIdSchema, peer: v.exactOptional(peerIdSchema), error: wireErrorSchema }),
  /** Last stage: the row at `position` has been on its way round the ring for `waitedMs`, much longer than usual. */
  v.strictObject({ t: v.literal('stalled'), session: sessionIdSchema, position: count(maxPositions), waitedMs: milliseconds }),
  /** Answer to `probe`: rows run, and the mean milliseconds from a step's arrival to its output over the last ones. */
  v.strictObject({ t: v.literal('pace'), session: sessionIdSchema, held: count(maxPositions), serviceMs: milliseconds }),
  // ---- Shadows
  /** The commitment: of the in-link's cuts one hash over their hashes; of each output link every cut's. */
  v.strictObject({
    t: v.literal('audited'),
    shadow: sessionIdSchema,
    inputs: hashSchema,
    outputs: v.pipe(v.array(v.pipe(v.array(hashSchema), v.maxLength(maxLinkChunks))), v.maxLength(2)),
  }),
  /** Sketches under the seed that was revealed: of the shadow's own rows, and of what the stage sent; base64 of f32s, 4 a row. */
  v.strictObject({ t: v.literal('sketched'), shadow: sessionIdSchema, own: sketch, theirs: sketch }),
  /** It could not be done. `peer`: who did not hand over what it should. */
  v.strictObject({ t: v.literal('unaudited'), shadow: sessionIdSchema, peer: v.exactOptional(peerIdSchema), error: wireErrorSchema }),
  // ---- Requesters
  /** Answered by `route`, or by `error` (unknown-model, no-volunteers, context-overflow, busy with retryAfterMs). */
  v.strictObject({
    t: v.literal('open'),
    id,
    revision: revisionSchema,
    /** Prompt and answer together; 1 for a model without a decoder. */
    maxPositions: v.pipe(count(maxPositions), v.minValue(1)),
    /** Null without a decoder. */
    sampling: v.nullable(samplingSchema),
    /** Sessions whose peers must not take part: the other pipelines of a quorum. */
    apart: v.exactOptional(v.pipe(v.array(sessionIdSchema), v.maxLength(8))),
    /** The session whose answer was found wrong, and which this one does again. */
    corrects: v.exactOptional(sessionIdSchema),
  }),
  /** The requester was away and is back: everybody is told where to go on. `id` is that of its `open`. */
  v.strictObject({ t: v.literal('reopen'), id, session: sessionIdSchema }),
  /** The pipelines of a quorum answered differently: somebody is to find out who is right. */
  v.strictObject({ t: v.literal('dispute'), sessions: v.pipe(v.array(sessionIdSchema), v.minLength(2), v.maxLength(8)) }),
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
