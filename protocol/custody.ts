/**
 * Custody: the sender signs every chunk it sent, the receiver countersigns the same bytes, and the two together are a
 * proof that the server can check hop against hop. 195 bytes a chunk, binary, little-endian.
 */
import { equalBytes, fromHex, toHex, type Bytes } from './bytes.ts'
import { ManyhandsError } from './errors.ts'
import type { SessionId } from './ids.ts'
import { sign, signatureBytes, verify } from './keys.ts'
import { chunkRows } from './limits.ts'

/** One chunk as its sender describes it. Its id is (generation, link, seq), never the position. */
export interface Chunk {
  readonly session: SessionId
  readonly generation: number
  readonly link: number
  /** 0, 1, 2 … on this link and generation. */
  readonly seq: number
  readonly firstPosition: number
  /** 1..32 */
  readonly rows: number
  /** Bit i set: row i of the chunk ran alone (a run of one row). */
  readonly alone: number
  /** SHA-256 of the frames' tensor bytes in the order sent. */
  readonly payloadHash: Bytes
}

/** session 16, generation 4, link 1, seq 4, first position 4, rows 2, alone 4, hash 32. */
export const chunkBytes = 67
/** A chunk and its sender's signature: what travels in band. */
export const signedChunkBytes = chunkBytes + signatureBytes
/** The same with the receiver's signature: what the server gets. */
export const proofBytes = signedChunkBytes + signatureBytes

export function encodeChunk(c: Chunk): Bytes {
  const out = new Uint8Array(chunkBytes)
  const view = new DataView(out.buffer)
  out.set(fromHex(c.session), 0)
  view.setUint32(16, c.generation, true)
  view.setUint8(20, c.link)
  view.setUint32(21, c.seq, true)
  view.setUint32(25, c.firstPosition, true)
  view.setUint16(29, c.rows, true)
  view.setUint32(31, c.alone, true)
  out.set(c.payloadHash, 35)
  return out
}

/** @throws ManyhandsError bad-message */
export function decodeChunk(bytes: Uint8Array): Chunk {
  if (bytes.length !== chunkBytes)
    throw new ManyhandsError('bad-message', `A custody chunk takes ${chunkBytes} bytes, not ${bytes.length}.`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const rows = view.getUint16(29, true)
  const alone = view.getUint32(31, true)
  if (rows < 1 || rows > chunkRows) throw new ManyhandsError('bad-message', `A custody chunk holds 1 to ${chunkRows} rows, not ${rows}.`)
  if (rows < chunkRows && alone >>> rows !== 0) throw new ManyhandsError('bad-message', 'A custody chunk marks rows that it does not hold.')
  return {
    session: toHex(bytes.subarray(0, 16)) as SessionId,
    generation: view.getUint32(16, true),
    link: view.getUint8(20),
    seq: view.getUint32(21, true),
    firstPosition: view.getUint32(25, true),
    rows,
    alone,
    payloadHash: bytes.slice(35, 67),
  }
}

/** The sender's part: the chunk's bytes and a signature over them. */
export async function signChunk(chunk: Chunk, key: CryptoKey): Promise<Bytes> {
  const bytes = encodeChunk(chunk)
  const out = new Uint8Array(signedChunkBytes)
  out.set(bytes, 0)
  out.set(await sign(key, 'chunk', bytes), chunkBytes)
  return out
}

/** The receiver's part: a signature over the sender's chunk and signature together. */
export async function countersign(signedChunk: Uint8Array, key: CryptoKey): Promise<Bytes> {
  const out = new Uint8Array(proofBytes)
  out.set(signedChunk, 0)
  out.set(await sign(key, 'countersign', signedChunk), signedChunkBytes)
  return out
}

export const checkSender = (signedChunk: Uint8Array, senderKey: string): Promise<boolean> =>
  verify(senderKey, 'chunk', signedChunk.subarray(0, chunkBytes), signedChunk.subarray(chunkBytes, signedChunkBytes))

export const checkReceiver = (proof: Uint8Array, receiverKey: string): Promise<boolean> =>
  verify(receiverKey, 'countersign', proof.subarray(0, signedChunkBytes), proof.subarray(signedChunkBytes))

/** True when the receiver saw the chunk that the sender describes. */
export const sameChunk = (a: Chunk, b: Chunk): boolean => equalBytes(encodeChunk(a), encodeChunk(b))
