/**
 * A shadow computes a stage's work again from retained rows: to audit it, or to stand by. Its ticket is the server's signed
 * word on whose work, from whom it gets the rows, and where its outputs are cut for hashing. docs/protocol.md [SH].
 */
import * as v from 'valibot'
import { concatBytes, utf8, type Bytes } from './bytes.ts'
import { ManyhandsError } from './errors.ts'
import { canonicalJson, sha256 } from './hash.ts'
import { isHash, type Hash } from './ids.ts'
import { peerIdOf, signHex, verifyHex } from './keys.ts'
import { chunkRows, maxBlocks, maxLinkChunks, maxPositions } from './limits.ts'
import { samplingSchema } from './sampling.ts'
import { backends, peerIdSchema, publicKeySchema, revisionSchema, sessionIdSchema, signatureSchema, timeSchema } from './ticket.ts'

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
const position = count(maxPositions)
export const hashSchema = v.custom<Hash>(isHash, 'expected 64 hex digits')

/** Rows of each chunk, one after the other. */
const cuts = v.pipe(v.array(v.pipe(count(chunkRows), v.minValue(1))), v.maxLength(maxLinkChunks))

export const shadowTicketSchema = v.strictObject({
  v: v.literal(1),
  /** Drawn by the server: the name of the shadow's own cache and of its frames. */
  shadow: sessionIdSchema,
  role: v.picklist(['audit', 'standby']),
  session: sessionIdSchema,
  revision: revisionSchema,
  /** Whose work: the stage's place in the pipeline and its blocks, [first, endExclusive]. */
  stage: count(255),
  blocks: v.strictTuple([count(maxBlocks), count(maxBlocks)]),
  /** True for the last stage, whose outputs are tokens and hashes of logits. */
  last: v.boolean(),
  /** Who computes again. */
  peer: peerIdSchema,
  key: publicKeySchema,
  /** Who hands over the rows: an end of the stage's in-link. */
  source: v.strictObject({ peer: peerIdSchema, key: publicKeySchema }),
  /** The stage's in-link. */
  link: count(255),
  /** Rows to run; 0 for a standby, which runs all there will be. */
  rows: position,
  /** How the in-link's rows are cut, from position 0; empty for a standby. */
  inputCuts: cuts,
  /** What the stage sent, cut as it signed it; empty for a standby. */
  outputs: v.pipe(v.array(v.strictObject({ link: count(255), position, cuts })), v.maxLength(2)),
  /** Positions of the prompt: logits are wanted of its last row and of those after. */
  promptLength: position,
  sampling: v.nullable(samplingSchema),
  maxPositions: v.pipe(position, v.minValue(1)),
  maxRows: v.pipe(count(4096), v.minValue(1)),
  /** Backend of the stage, for a standby's and an auditor's owner to show. */
  backend: v.picklist(backends),
  issuedAt: timeSchema,
  expiresAt: timeSchema,
  serverKey: publicKeySchema,
  signature: signatureSchema,
})
export type ShadowTicket = v.InferOutput<typeof shadowTicketSchema>

const body = ({ signature: _, ...rest }: ShadowTicket) => utf8(canonicalJson(rest))

export async function signShadowTicket(ticket: Omit<ShadowTicket, 'signature'>, key: CryptoKey): Promise<ShadowTicket> {
  return { ...ticket, signature: await signHex(key, 'shadow', body({ ...ticket, signature: '' })) }
}

/** Shape, signature by one of the servers one trusts, age, ids that match their keys. @throws ManyhandsError bad-ticket */
export async function checkShadowTicket(value: unknown, serverKeys: readonly string[], now: number): Promise<ShadowTicket> {
  const parsed = v.safeParse(shadowTicketSchema, value)
  if (!parsed.success) throw bad('it is malformed')
  const ticket = parsed.output
  if (!serverKeys.includes(ticket.serverKey)) throw bad('its server is not one this peer works for')
  if (now > ticket.expiresAt) throw bad('it has expired')
  if (!(await verifyHex(ticket.serverKey, 'shadow', body(ticket), ticket.signature))) throw bad('its signature is wrong')
  for (const party of [ticket, ticket.source]) {
    if ((await peerIdOf(party.key)) !== party.peer) throw bad('a peer id does not belong to its key')
  }
  if (ticket.blocks[1] <= ticket.blocks[0]) throw bad('its blocks are none')
  return ticket
}

/** One cut of the in-link, as a chunk's custody says it: its bytes, and which of its rows ran alone. */
export interface InputCut {
  /** Bit i: row i of the cut was a run of its own. Such a row is rounded otherwise, so it belongs to what was computed from. */
  readonly alone: number
  /** SHA-256 of the cut's tensor bytes. */
  readonly payloadHash: Uint8Array
}

/** What an audit commits to of its inputs: SHA-256 over each cut's `alone` (u32) and hash (32 bytes), in order. */
export const inputsHash = (cuts: readonly InputCut[]): Promise<Hash> =>
  sha256(concatBytes(cuts.flatMap(({ alone, payloadHash }) => [littleEndian(alone), payloadHash])))

function littleEndian(word: number): Bytes {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, word, true)
  return out
}

const bad = (why: string) => new ManyhandsError('bad-ticket', `Shadow ticket refused: ${why}.`)
