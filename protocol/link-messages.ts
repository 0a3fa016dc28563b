/**
 * The small messages on a link between two peers: who one is, opening a session, acknowledging tokens, ending, faults.
 * JSON after the kind byte; one variant per message; parsed once, at the channel.
 */
import * as v from 'valibot'
import { fromUtf8, utf8, type Bytes } from './bytes.ts'
import { errorCodes, ManyhandsError, maxErrorChars } from './errors.ts'
import { frameKind } from './frames.ts'
import { chunkRows, maxControlBytes, maxPositions, maxTopLogprobs } from './limits.ts'
import { tokenOddsSchema } from './logprobs.ts'
import { shadowTicketSchema } from './shadow.ts'
import { publicKeySchema, sessionIdSchema, signatureSchema, ticketSchema } from './ticket.ts'

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
const u32 = count(2 ** 32 - 1)
const position = count(maxPositions)

export const wireErrorSchema = v.strictObject({
  code: v.picklist(errorCodes),
  message: v.pipe(v.string(), v.maxLength(maxErrorChars)),
  retryAfterMs: v.exactOptional(count(86_400_000)),
})

export const finishes = ['stop', 'length', 'aborted', 'error'] as const
export type Finish = (typeof finishes)[number]

export const linkMessageSchema = v.variant('t', [
  /** Before a session's first frame on a channel: the ticket that allows it. */
  v.strictObject({ t: v.literal('open'), ticket: ticketSchema }),
  /**
   * Requester to last stage, before the prompt: how many positions it has. To a last stage that took over, before the prompt
   * and the `answered` tokens that have arrived so far, one row each.
   */
  v.strictObject({
    t: v.literal('start'),
    session: sessionIdSchema,
    promptLength: v.pipe(position, v.minValue(1)),
    maxTokens: position,
    answered: position,
    /** Of each token the odds are wanted, and of so many of the likeliest: see docs/protocol.md [LP]. */
    logprobs: v.exactOptional(count(maxTopLogprobs)),
  }),
  /** Last stage to requester, before the step of the token at `position`: how likely the model found it. */
  v.strictObject({ t: v.literal('odds'), session: sessionIdSchema, generation: u32, position, ...tokenOddsSchema.entries }),
  /** Requester to last stage: tokens before `position` have arrived. */
  v.strictObject({ t: v.literal('ack'), session: sessionIdSchema, position }),
  /** Requester to last stage: enough (a stop string, or the caller's signal). */
  v.strictObject({ t: v.literal('stop'), session: sessionIdSchema }),
  /** Down the ring from the last stage after a reroute: the session goes on from `rows` rows; later ones are dropped. */
  v.strictObject({ t: v.literal('resume'), session: sessionIdSchema, generation: u32, rows: position }),
  /** Receiver to sender after a reroute: `held` rows are here; send from there. */
  v.strictObject({ t: v.literal('gap'), session: sessionIdSchema, link: count(255), generation: u32, held: position }),
  /** Down the ring and to the requester: the session is over. */
  v.strictObject({
    t: v.literal('end'),
    session: sessionIdSchema,
    generation: u32,
    finish: v.picklist(finishes),
    /** Last stage's signature (purpose `answer`); see docs/protocol.md [RC]. Absent where there is no answer. */
    signature: v.exactOptional(signatureSchema),
    error: v.exactOptional(wireErrorSchema),
  }),
  /** To either neighbour, who passes it on: this session can't go on here. */
  v.strictObject({ t: v.literal('fault'), session: sessionIdSchema, error: wireErrorSchema }),
  /** Shadow to either end of the audited stage's in-link: send me its steps. */
  v.strictObject({ t: v.literal('feed'), ticket: shadowTicketSchema }),
  /** The source's answer when all the rows that the ticket names are sent. */
  v.strictObject({ t: v.literal('fed'), session: sessionIdSchema, rows: position }),
  /** Shadow, once it has committed, to a holder of what the audited stage sent: these rows of that link, as step frames. */
  v.strictObject({ t: v.literal('fetch'), ticket: shadowTicketSchema, link: count(255), position, rows: count(chunkRows) }),
  v.strictObject({ t: v.literal('ping'), n: u32 }),
  v.strictObject({ t: v.literal('pong'), n: u32 }),
])
export type LinkMessage = v.InferOutput<typeof linkMessageSchema>

/** The first message on a channel, both ways. */
export const authSchema = v.strictObject({ v: v.literal(1), key: publicKeySchema, signature: signatureSchema })
export type Auth = v.InferOutput<typeof authSchema>

export const encodeLinkMessage = (message: LinkMessage): Bytes => encodeJson(frameKind.control, message)
export const decodeLinkMessage = (bytes: Uint8Array): LinkMessage => decodeJson(bytes, linkMessageSchema)
export const encodeAuth = (auth: Auth): Bytes => encodeJson(frameKind.auth, auth)
export const decodeAuth = (bytes: Uint8Array): Auth => decodeJson(bytes, authSchema)

function encodeJson(kind: number, value: unknown): Bytes {
  const body = utf8(JSON.stringify(value))
  const out = new Uint8Array(1 + body.length)
  out[0] = kind
  out.set(body, 1)
  return out
}

/** @throws ManyhandsError bad-message */
function decodeJson<T extends v.GenericSchema>(bytes: Uint8Array, schema: T): v.InferOutput<T> {
  if (bytes.length > maxControlBytes)
    throw new ManyhandsError('bad-message', `A control message of ${bytes.length} bytes is over the limit of ${maxControlBytes}.`)
  let value: unknown
  try {
    value = JSON.parse(fromUtf8(bytes.subarray(1)))
  } catch (cause) {
    throw new ManyhandsError('bad-message', 'A control message is not JSON.', { cause })
  }
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) {
    throw new ManyhandsError(
      'bad-message',
      `A control message was refused: ${v.getDotPath(parsed.issues[0]) ?? 't'}: ${parsed.issues[0].message}.`,
    )
  }
  return parsed.output
}
