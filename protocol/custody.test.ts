import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  checkReceiver,
  checkSender,
  chunkBytes,
  countersign,
  decodeChunk,
  encodeChunk,
  proofBytes,
  signChunk,
  signedChunkBytes,
  type Chunk,
} from './custody.ts'
import { ManyhandsError } from './errors.ts'
import type { SessionId } from './ids.ts'
import { createIdentity } from './keys.ts'
import { fuzzRuns, mutate } from '../testing/fuzz.ts'

const chunk: fc.Arbitrary<Chunk> = fc
  .record({
    session: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => Buffer.from(b).toString('hex') as SessionId),
    generation: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    link: fc.integer({ min: 0, max: 255 }),
    seq: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    firstPosition: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    rows: fc.integer({ min: 1, max: 32 }),
    alone: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    payloadHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  })
  .map((c) => ({
    ...c,
    alone: c.rows === 32 ? c.alone : (c.alone & ((1 << c.rows) - 1)) >>> 0,
    payloadHash: Uint8Array.from(c.payloadHash),
  }))

describe('[CU2] a chunk', () => {
  it('comes back as it was written, in 67 bytes', () => {
    fc.assert(
      fc.property(chunk, (c) => {
        expect(encodeChunk(c)).toHaveLength(chunkBytes)
        expect(decodeChunk(encodeChunk(c))).toEqual(c)
      }),
    )
  })

  it('[CU6] with both signatures is a proof of at most 200 bytes', () => expect(proofBytes).toBeLessThanOrEqual(200))

  it('is refused with no rows, too many, or marks beyond its rows', () => {
    const bytes = encodeChunk(fc.sample(chunk, { numRuns: 1, seed: 1 })[0] as Chunk)
    const view = new DataView(bytes.buffer)
    for (const rows of [0, 33, 65535]) {
      view.setUint16(29, rows, true)
      expect(() => decodeChunk(bytes)).toThrow(ManyhandsError)
    }
    view.setUint16(29, 3, true)
    view.setUint32(31, 0b1000, true)
    expect(() => decodeChunk(bytes)).toThrow(/does not hold/)
  })

  it('of hostile bytes is decoded or refused', () => {
    const seed = encodeChunk(fc.sample(chunk, { numRuns: 1, seed: 2 })[0] as Chunk)
    for (let i = 0; i < fuzzRuns; i++) {
      try {
        decodeChunk(mutate([seed], i))
      } catch (thrown) {
        expect(thrown, `run ${i}`).toBeInstanceOf(ManyhandsError)
      }
    }
  })
})

describe('[CU3] [CU4] the signatures', () => {
  it('prove who sent and who received, and break with any byte', async () => {
    const [sender, receiver, stranger] = await Promise.all([createIdentity(), createIdentity(), createIdentity()])
    const [c] = fc.sample(chunk, { numRuns: 1, seed: 3 })
    const signed = await signChunk(c as Chunk, sender.privateKey)
    const proof = await countersign(signed, receiver.privateKey)
    expect(signed).toHaveLength(signedChunkBytes)
    expect(await checkSender(proof, sender.publicKey)).toBe(true)
    expect(await checkReceiver(proof, receiver.publicKey)).toBe(true)
    expect(await checkSender(proof, stranger.publicKey)).toBe(false)
    expect(await checkReceiver(proof, sender.publicKey)).toBe(false)
    for (const at of [0, 20, 66, 70, 140]) {
      const broken = proof.slice()
      broken[at] = (broken[at] as number) ^ 1
      expect((await checkSender(broken, sender.publicKey)) && (await checkReceiver(broken, receiver.publicKey))).toBe(false)
    }
  })
})
