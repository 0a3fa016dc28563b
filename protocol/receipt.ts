/**
 * Request receipts: what the server can prove about one answer. Canonical JSON, signed, immutable; a correction is a
 * successor that names what it supersedes.
 */
import * as v from 'valibot'
import { concatBytes, fromHex, utf8, type Bytes } from './bytes.ts'
import { canonicalJson, sha256, sha256Bytes } from './hash.ts'
import { isHash, type Hash, type SessionId } from './ids.ts'
import { sign, verify, verifyHex, signHex } from './keys.ts'
import { maxBlocks, maxStages } from './limits.ts'
import { backends, peerIdSchema, publicKeySchema, revisionSchema, sessionIdSchema, signatureSchema, timeSchema } from './ticket.ts'

const hash = v.custom<Hash>(isHash, 'expected 64 hex digits')
const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))

export const receiptSchema = v.strictObject({
  v: v.literal(1),
  /** The session that the request began as. */
  request: sessionIdSchema,
  /** The session whose stages, chunks and answer these are: another than the first once the answer was corrected. */
  session: sessionIdSchema,
  revision: revisionSchema,
  promptHash: hash,
  answerHash: hash,
  stages: v.pipe(
    v.array(
      v.strictObject({
        peer: peerIdSchema,
        key: publicKeySchema,
        blocks: v.strictTuple([count(maxBlocks), count(maxBlocks)]),
        backend: v.picklist(backends),
        /** False while the network is young and nobody proven held these blocks. */
        proven: v.boolean(),
      }),
    ),
    v.maxLength(maxStages),
  ),
  /** Merkle root over the chunks' proofs, in the order of (generation, link, seq). */
  chunksRoot: hash,
  custody: v.strictObject({ checked: count(2 ** 31), failed: count(2 ** 31) }),
  /** Chunks, of all links' together, that another peer computed again with the same outcome. */
  audits: v.strictObject({ done: count(2 ** 31), of: count(2 ** 31) }),
  status: v.picklist(['provisional', 'settled', 'corrected']),
  supersedes: v.nullable(hash),
  issuedAt: timeSchema,
  serverKey: publicKeySchema,
  signature: signatureSchema,
})
export type Receipt = v.InferOutput<typeof receiptSchema>

const body = ({ signature: _, ...rest }: Receipt) => utf8(canonicalJson(rest))

export async function signReceipt(receipt: Omit<Receipt, 'signature'>, key: CryptoKey): Promise<Receipt> {
  return { ...receipt, signature: await signHex(key, 'receipt', body({ ...receipt, signature: '' })) }
}

/** What a successor names as superseded. */
export const receiptHash = (receipt: Receipt): Promise<Hash> => sha256(utf8(canonicalJson(receipt)))

export const checkReceipt = (receipt: Receipt): Promise<boolean> =>
  verifyHex(receipt.serverKey, 'receipt', body(receipt), receipt.signature)

/** Token ids as little-endian u32. */
export function tokenBytes(ids: readonly number[]): Bytes {
  const out = new Uint8Array(4 * ids.length)
  const view = new DataView(out.buffer)
  ids.forEach((id, i) => view.setUint32(4 * i, id, true))
  return out
}

/** What a requester asked: SHA-256 of the prompt's ids, or of the packed feeds. */
export const promptHash = (promptBytes: Uint8Array): Promise<Hash> => sha256(promptBytes)

/** What the last stage signs at an answer's end: session, SHA-256 of the ids (or packed outputs). */
const answerMessage = async (session: SessionId, answer: Uint8Array) => concatBytes([fromHex(session), await sha256Bytes(answer)])

export const signAnswer = async (session: SessionId, answer: Uint8Array, key: CryptoKey): Promise<Bytes> =>
  sign(key, 'answer', await answerMessage(session, answer))

export const checkAnswer = async (session: SessionId, answer: Uint8Array, signerKey: string, signature: Uint8Array): Promise<boolean> =>
  verify(signerKey, 'answer', await answerMessage(session, answer), signature)

/** SHA-256 over the answer's bytes and its signature. */
export const answerHash = (answer: Uint8Array, signature: Uint8Array): Promise<Hash> => sha256(concatBytes([answer, signature]))

/**
 * Merkle root over the leaves as given: leaf = SHA-256(0 ‖ leaf), node = SHA-256(1 ‖ left ‖ right), an odd one moves up
 * unchanged; no leaves: SHA-256 of nothing. (RFC 6962's domain separation.)
 */
export async function merkleRoot(leaves: readonly Uint8Array[]): Promise<Bytes> {
  if (leaves.length === 0) return sha256Bytes(new Uint8Array(0))
  let level = await Promise.all(leaves.map((leaf) => sha256Bytes(concatBytes([new Uint8Array([0]), leaf]))))
  while (level.length > 1) {
    const pairs: Promise<Bytes>[] = []
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i] as Bytes, level[i + 1]]
      pairs.push(right ? sha256Bytes(concatBytes([new Uint8Array([1]), left, right])) : Promise.resolve(left))
    }
    level = await Promise.all(pairs)
  }
  return level[0] as Bytes
}
