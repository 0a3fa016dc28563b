/**
 * The session ticket: the server's signed word on who runs which blocks for whom. Every peer of a pipeline checks it
 * itself, so a live answer needs no server, and no peer serves another's session.
 */
import * as v from 'valibot'
import { utf8 } from './bytes.ts'
import { ManyhandsError } from './errors.ts'
import { canonicalJson } from './hash.ts'
import { isPeerId, isRevision, isSessionId, type PeerId, type Revision, type SessionId } from './ids.ts'
import { peerIdOf, signHex, verifyHex } from './keys.ts'
import { maxBlocks, maxPositions, maxStages } from './limits.ts'
import { samplingSchema } from './sampling.ts'

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
export const peerIdSchema = v.custom<PeerId>(isPeerId, 'expected a peer id')
export const revisionSchema = v.custom<Revision>(isRevision, 'expected a revision')
export const sessionIdSchema = v.custom<SessionId>(isSessionId, 'expected a session id')
export const publicKeySchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
export const signatureSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{128}$/))
/** Milliseconds since 1970, UTC. */
export const timeSchema = count(Number.MAX_SAFE_INTEGER)

export const backends = ['wasm', 'webgpu'] as const
export type Backend = (typeof backends)[number]

export const ticketSchema = v.strictObject({
  v: v.literal(1),
  session: sessionIdSchema,
  revision: revisionSchema,
  requester: v.strictObject({ peer: peerIdSchema, key: publicKeySchema }),
  stages: v.pipe(
    v.array(
      v.strictObject({
        peer: peerIdSchema,
        key: publicKeySchema,
        /** [first, endExclusive]. */
        blocks: v.strictTuple([count(maxBlocks), count(maxBlocks)]),
        backend: v.picklist(backends),
      }),
    ),
    v.minLength(1),
    v.maxLength(maxStages),
  ),
  /** How the last stage chooses tokens; null without a decoder. */
  sampling: v.nullable(samplingSchema),
  /** Prompt and answer together. */
  maxPositions: v.pipe(count(maxPositions), v.minValue(1)),
  /** Rows a run may carry: the least of the stages' row limits. No reroute changes it. */
  maxRows: v.pipe(count(4096), v.minValue(1)),
  /** The owner's epoch: fences commands, not live sessions. */
  epoch: count(Number.MAX_SAFE_INTEGER),
  /** Raised by every reroute. */
  generation: count(2 ** 32 - 1),
  issuedAt: timeSchema,
  expiresAt: timeSchema,
  serverKey: publicKeySchema,
  signature: signatureSchema,
})
export type Ticket = v.InferOutput<typeof ticketSchema>
export type TicketStage = Ticket['stages'][number]

const body = ({ signature: _, ...rest }: Ticket) => utf8(canonicalJson(rest))

export async function signTicket(ticket: Omit<Ticket, 'signature'>, key: CryptoKey): Promise<Ticket> {
  const unsigned = { ...ticket, signature: '' } as Ticket
  return { ...ticket, signature: await signHex(key, 'ticket', body(unsigned)) }
}

/**
 * Shape, signature by one of the servers one trusts, age, ids that match their keys, blocks that join up.
 * @throws ManyhandsError bad-ticket
 */
export async function checkTicket(value: unknown, serverKeys: readonly string[], now: number): Promise<Ticket> {
  const parsed = v.safeParse(ticketSchema, value)
  if (!parsed.success) throw bad('it is malformed')
  const ticket = parsed.output
  if (!serverKeys.includes(ticket.serverKey)) throw bad('its server is not one this peer works for')
  if (now > ticket.expiresAt) throw bad('it has expired')
  if (!(await verifyHex(ticket.serverKey, 'ticket', body(ticket), ticket.signature))) throw bad('its signature is wrong')
  for (const party of [ticket.requester, ...ticket.stages]) {
    if ((await peerIdOf(party.key)) !== party.peer) throw bad('a peer id does not belong to its key')
  }
  let at = 0
  for (const stage of ticket.stages) {
    if (stage.blocks[0] !== at || stage.blocks[1] <= at) throw bad('its stages leave a gap')
    at = stage.blocks[1]
  }
  return ticket
}

const bad = (why: string) => new ManyhandsError('bad-ticket', `Session ticket refused: ${why}.`)

// ---- Links ---------------------------------------------------------------------------------------------------------
/** Links of a session with S stages; see docs/protocol.md [LN]. */
export interface LinkEnds {
  readonly from: PeerId
  readonly to: PeerId
}

/** The ring: last stage to first; prompt ids and sampled tokens. */
export const ringLink = 0
/** Last stage to requester. */
export const answerLink = (ticket: Ticket): number => ticket.stages.length
/** Requester to last stage. */
export const promptLink = (ticket: Ticket): number => ticket.stages.length + 1
/** Last stage to itself, decoders alone: of every token's logits a hash, so that it is bound to them. */
export const logitsLink = (ticket: Ticket): number => ticket.stages.length + 2

/** Who sends and who receives on a link; undefined when the session has no such link. */
export function linkEnds(ticket: Ticket, link: number): LinkEnds | undefined {
  const stages = ticket.stages
  const last = stages.at(-1) as TicketStage
  if (link === answerLink(ticket)) return { from: last.peer, to: ticket.requester.peer }
  if (link === promptLink(ticket)) return { from: ticket.requester.peer, to: last.peer }
  if (link === logitsLink(ticket)) return ticket.sampling ? { from: last.peer, to: last.peer } : undefined
  const from = link === ringLink ? last : stages[link - 1]
  const to = stages[link]
  return from && to && Number.isInteger(link) ? { from: from.peer, to: to.peer } : undefined
}

/** Every link of the session: all have custody, also those whose two ends are one peer. */
export const sessionLinks = (ticket: Ticket): number[] =>
  Array.from({ length: (ticket.sampling ? logitsLink(ticket) : promptLink(ticket)) + 1 }, (_, link) => link)
