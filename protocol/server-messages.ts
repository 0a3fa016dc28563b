/**
 * What a signaling server says to a peer on its control socket: JSON text, one variant per message.
 */
import * as v from 'valibot'
import { ManyhandsError } from './errors.ts'

import { chunkRows, maxBlocks, maxPositions, maxSketchRows } from './limits.ts'
import { wireErrorSchema } from './link-messages.ts'
import { receiptSchema } from './receipt.ts'
import { hashSchema, shadowTicketSchema } from './shadow.ts'
import { peerIdSchema, publicKeySchema, revisionSchema, sessionIdSchema, signatureSchema, ticketSchema, timeSchema } from './ticket.ts'

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
const text = (most: number) => v.pipe(v.string(), v.maxLength(most))
const id = count(2 ** 32 - 1)
const lease = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))

/** The publisher's signature (purpose `publication`) over canonical JSON of {v, revision, publisher, issuedAt}. */
export const publicationSchema = v.strictObject({
  v: v.literal(1),
  revision: revisionSchema,
  publisher: publicKeySchema,
  issuedAt: timeSchema,
  signature: signatureSchema,
})
export type Publication = v.InferOutput<typeof publicationSchema>

export const modelInfoSchema = v.strictObject({
  name: text(80),
  title: text(120),
  task: v.picklist(['text-generation', 'feature-extraction', 'image-to-text', 'other']),
  license: text(80),
  revision: revisionSchema,
  /** Bytes of graph and shards. */
  bytes: count(Number.MAX_SAFE_INTEGER),
  /** Positions; 0 for a model without a decoder. */
  context: count(2 ** 31),
  /** In the Prompt API's words: `available` when every block has a volunteer, `downloadable` when some are being fetched, else `unavailable`. */
  availability: v.picklist(['available', 'downloadable', 'unavailable']),
  volunteers: count(2 ** 31),
  blocks: count(maxBlocks),
  /** Holders of each planned stage, ready ones. */
  stages: v.pipe(
    v.array(v.strictObject({ blocks: v.strictTuple([count(maxBlocks), count(maxBlocks)]), ready: count(2 ** 31) })),
    v.maxLength(64),
  ),
  publication: publicationSchema,
})
export type ModelInfo = v.InferOutput<typeof modelInfoSchema>

/** What a peer is told of its own trust; the words are the page's. */
export const standingSchema = v.strictObject({
  /** `new` shadows; `proven` produces; `anchor` is the operator's own word; `barred` was found wrong too often. */
  state: v.picklist(['new', 'proven', 'anchor', 'barred']),
  /** Pieces of work that another peer's agreed with, and how many make one proven. */
  agreements: count(2 ** 31),
  needed: count(2 ** 31),
  strikes: count(2 ** 31),
  /** Rows verified, ever. */
  rows: count(Number.MAX_SAFE_INTEGER),
})
export type StandingInfo = v.InferOutput<typeof standingSchema>

const iceServer = v.strictObject({
  urls: v.union([text(300), v.pipe(v.array(text(300)), v.maxLength(8))]),
  username: v.exactOptional(text(200)),
  credential: v.exactOptional(text(200)),
})

/** Servers that share swarms, as many as are listed; and their keys, past ones too. */
export const maxServers = 16
export const maxServerKeys = 64

const serverUrl = v.pipe(text(300), v.url(), v.regex(/^https?:/))

export const serverMessageSchema = v.variant('t', [
  /** First, on every connection. */
  v.strictObject({
    t: v.literal('challenge'),
    v: v.literal(1),
    nonce: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
    serverKey: publicKeySchema,
    now: timeSchema,
  }),
  v.strictObject({
    t: v.literal('welcome'),
    peer: peerIdSchema,
    /** HMAC token for the PeerJS broker, bound to the peer id. */
    brokerToken: text(200),
    iceServers: v.pipe(v.array(iceServer), v.maxLength(8)),
    epoch: count(Number.MAX_SAFE_INTEGER),
    /** Drawn at the server's start: another than before, and it knows nothing of what was under way. */
    boot: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
    /** Every key whose tickets are good here: this server's, past ones still in use, and those of the servers it shares its swarms with. */
    serverKeys: v.pipe(v.array(publicKeySchema), v.maxLength(maxServerKeys)),
    /** Addresses of all servers that share these swarms, this one's among them; whoever loses this one asks another. */
    servers: v.pipe(v.array(serverUrl), v.maxLength(maxServers)),
  }),
  v.strictObject({ t: v.literal('models'), id, models: v.pipe(v.array(modelInfoSchema), v.maxLength(1000)) }),
  // ---- Volunteers
  v.strictObject({
    t: v.literal('assign'),
    lease,
    revision: revisionSchema,
    blocks: v.strictTuple([count(maxBlocks), count(maxBlocks)]),
    epoch: count(Number.MAX_SAFE_INTEGER),
    /** Renew before this; measured from arrival, in milliseconds. */
    leaseMs: count(3_600_000),
  }),
  /** Nothing to do yet, and why: a sentence for people. */
  v.strictObject({ t: v.literal('idle'), reason: text(300) }),
  v.strictObject({ t: v.literal('renewed'), lease }),
  /** The lease is over: stop, and offer again if one still gives. */
  v.strictObject({ t: v.literal('unassign'), lease, reason: text(300) }),
  /** A session that this stage is part of, or with a higher generation where it goes on: connect ahead of its first frame. */
  v.strictObject({ t: v.literal('session'), ticket: ticketSchema }),
  /** The session is over for the server: let go of what is held for it. */
  v.strictObject({ t: v.literal('session-closed'), session: sessionIdSchema }),
  /** Its receipt is written: its proofs need be kept no longer. */
  v.strictObject({ t: v.literal('settled'), session: sessionIdSchema }),
  /** How far is it here, and how fast? Answered by `pace`. */
  v.strictObject({ t: v.literal('probe'), session: sessionIdSchema }),
  /** Nothing is under way here any more: you may `leave`. */
  v.strictObject({ t: v.literal('handed') }),
  /** Compute this again. */
  v.strictObject({ t: v.literal('shadow'), ticket: shadowTicketSchema }),
  /** The shadow is not needed any more. */
  v.strictObject({ t: v.literal('shadow-closed'), shadow: sessionIdSchema }),
  /** The commitment is in: the seed of the sketches, and the chunks of what the stage sent, held by `holder`. */
  v.strictObject({
    t: v.literal('reveal'),
    shadow: sessionIdSchema,
    seed: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    holder: peerIdSchema,
    chunks: v.pipe(
      v.array(v.strictObject({ link: count(255), position: count(maxPositions), rows: count(chunkRows), hash: hashSchema })),
      v.minLength(1),
      v.maxLength(maxSketchRows / chunkRows),
    ),
  }),
  /** One's own standing, when it changes: agreements earned, and what was lost. */
  v.strictObject({ t: v.literal('standing'), standing: standingSchema }),
  // ---- Requesters
  v.strictObject({ t: v.literal('queued'), id, ahead: count(2 ** 31) }),
  v.strictObject({ t: v.literal('route'), id, ticket: ticketSchema }),
  /** The pipeline lacks a part: the answer pauses until somebody takes it over, for a while at most. */
  v.strictObject({ t: v.literal('waiting'), id, reason: text(300) }),
  /** An answer, or what has come of it, was found wrong: ask again, as its correction. */
  v.strictObject({ t: v.literal('wrong'), session: sessionIdSchema, reason: text(300) }),
  /** First provisional, then settled; corrected where an answer was wrong. */
  v.strictObject({ t: v.literal('receipt'), receipt: receiptSchema }),
  // ---- Anyone
  /** The servers that share these swarms are others than before: as in `welcome`. */
  v.strictObject({ t: v.literal('servers'), servers: v.pipe(v.array(serverUrl), v.maxLength(maxServers)) }),
  /** Another server has that swarm: go on there with the same key. With `id`: ask there what was asked here. */
  v.strictObject({ t: v.literal('moved'), id: v.exactOptional(id), revision: v.exactOptional(revisionSchema), url: serverUrl }),
  v.strictObject({ t: v.literal('error'), id: v.exactOptional(id), error: wireErrorSchema }),
])
export type ServerMessage = v.InferOutput<typeof serverMessageSchema>

/** `GET /.well-known/manyhands.json`. */
export const wellKnownSchema = v.object({
  v: v.literal(1),
  serverKey: publicKeySchema,
  pastKeys: v.pipe(v.array(publicKeySchema), v.maxLength(64)),
  /** Paths or URLs, resolved against the document's own. */
  socket: text(300),
  broker: text(300),
  blobs: text(300),
  manifests: text(300),
  engine: text(300),
})
export type WellKnown = v.InferOutput<typeof wellKnownSchema>

/** Parses one JSON text message. @throws ManyhandsError bad-message */
export function parseMessage<T extends v.GenericSchema>(schema: T, data: string, maxChars: number): v.InferOutput<T> {
  if (data.length > maxChars)
    throw new ManyhandsError('bad-message', `A message of ${data.length} characters is over the limit of ${maxChars}.`)
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch (cause) {
    throw new ManyhandsError('bad-message', 'A message is not JSON.', { cause })
  }
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) {
    throw new ManyhandsError('bad-message', `A message was refused: ${v.getDotPath(parsed.issues[0]) ?? 't'}: ${parsed.issues[0].message}.`)
  }
  return parsed.output
}
