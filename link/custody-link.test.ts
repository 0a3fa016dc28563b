import { describe, expect, it } from 'vitest'
import { checkReceiver, checkSender, chunkBytes, decodeChunk } from '../protocol/custody.ts'
import type { Step } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
import { createIdentity } from '../protocol/keys.ts'
import { packTensors } from '../protocol/tensors.ts'
import { CustodyReceiver, CustodySender, type Verdict } from './custody-link.ts'
import type { HistoryStep } from './history.ts'

const key = { session: 'ab'.repeat(16) as SessionId, generation: 2, link: 1, tensors: 1 }
const out = (position: number, rows: number): HistoryStep => ({
  position,
  rows,
  emitFrom: position,
  computeMicros: 0,
  payload: packTensors([{ dtype: 'float32', dims: [1, rows, 2], bytes: new Uint8Array(8 * rows).fill(position + 1) }]),
})

async function wired(tamper: (step: Step) => Step = (s) => s) {
  const [alice, bob] = await Promise.all([createIdentity(), createIdentity()])
  const verdicts: Verdict[] = []
  const receiver = new CustodyReceiver(key, bob, alice.publicKey, (v) => verdicts.push(v))
  const sender = new CustodySender(key, alice, { sendStep: (s) => receiver.accept(tamper(s)), sendCustody: (c) => receiver.custody(c) })
  const settle = async () => {
    await sender.flush()
    await receiver.settled()
  }
  return { alice, bob, sender, receiver, verdicts, settle }
}

describe('[CU1] chunks', () => {
  it('hold whole steps and at most 32 rows, and prove every row', async () => {
    const { alice, bob, sender, receiver, verdicts, settle } = await wired()
    const rows = [16, 16, 20, 13, 1, 1, 1, 32, 5]
    let position = 0
    for (const n of rows) {
      sender.send(out(position, n))
      position += n
    }
    await settle()
    const proofs = verdicts.map((v) => (v.ok ? v.proof : expect.fail(v.error.message)))
    const chunks = proofs.map((p) => decodeChunk(p.subarray(0, chunkBytes)))
    expect(chunks.map((c) => c.rows)).toEqual([32, 20, 16, 32, 5])
    expect(chunks.map((c) => c.seq)).toEqual([0, 1, 2, 3, 4])
    expect(chunks.map((c) => c.firstPosition)).toEqual([0, 32, 52, 68, 100])
    expect(chunks.map((c) => c.alone)).toEqual([0, 0, 0b1110000000000000, 0, 0])
    for (const proof of proofs) {
      expect(await checkSender(proof, alice.publicKey)).toBe(true)
      expect(await checkReceiver(proof, bob.publicKey)).toBe(true)
    }
    expect(receiver.unsignedRows).toBe(0)
    expect(sender.unsignedRows).toBe(0)
  })
})

describe('[CU4] a receiver', () => {
  it('does not countersign other bytes than it got', async () => {
    const { sender, verdicts, settle } = await wired((s) => ({ ...s, payload: s.payload.map((b, i) => (i === 14 ? b ^ 1 : b)) }))
    sender.send(out(0, 4))
    await settle()
    expect(verdicts).toMatchObject([{ ok: false, error: { code: 'hash-mismatch' } }])
  })

  it('does not countersign what another signed', async () => {
    const [eve, bob, alice] = await Promise.all([createIdentity(), createIdentity(), createIdentity()])
    const verdicts: Verdict[] = []
    const receiver = new CustodyReceiver(key, bob, alice.publicKey, (v) => verdicts.push(v))
    const sender = new CustodySender(key, eve, { sendStep: (s) => receiver.accept(s), sendCustody: (c) => receiver.custody(c) })
    sender.send(out(0, 3))
    await sender.flush()
    await receiver.settled()
    expect(verdicts).toMatchObject([{ ok: false, error: { code: 'bad-signature' } }])
  })

  it('refuses a chunk that does not match the steps, or is of the wrong length', async () => {
    const { alice, receiver } = await wired()
    const stray = new CustodySender(key, alice, {
      sendStep: () => undefined,
      sendCustody: (c) => expect(() => receiver.custody(c)).toThrow(/does not match/),
    })
    stray.send(out(0, 3))
    await stray.flush()
    expect(() => receiver.custody(new Uint8Array(10))).toThrow(/takes/)
  })
})

describe('[FR3] order', () => {
  it('drops what was seen and older generations, refuses gaps and generations not begun', async () => {
    const { receiver } = await wired()
    const step = (seq: number, generation = 2): Step => ({ ...out(seq, 1), session: key.session, link: 1, generation, seq })
    expect(receiver.accept(step(0))).toBe(true)
    expect(receiver.accept(step(0))).toBe(false)
    expect(receiver.accept(step(1, 1))).toBe(false)
    expect(() => receiver.accept(step(2))).toThrow(/was due/)
    expect(() => receiver.accept(step(1, 3))).toThrow(/not begun/)
    expect(receiver.accept(step(1))).toBe(true)
  })

  it('[CU5] stops taking rows that nobody signs for', async () => {
    const { receiver } = await wired()
    const flood = () => {
      for (let seq = 0; ; seq++) receiver.accept({ ...out(seq * 32, 32), session: key.session, link: 1, generation: 2, seq })
    }
    expect(flood).toThrow(/without signing/)
  })
})
