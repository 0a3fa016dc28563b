import { describe, expect, it } from 'vitest'
import { chunkBytes, decodeChunk } from '../protocol/custody.ts'
import type { Step } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
import { createIdentity } from '../protocol/keys.ts'
import { maxUnsignedRows } from '../protocol/limits.ts'
import { packTensors } from '../protocol/tensors.ts'
import type { LinkKey, Verdict } from './custody-link.ts'
import { InLink } from './in-link.ts'
import { OutLink } from './out-link.ts'
import type { HistoryStep } from './history.ts'

const key = (generation: number, link = 1): LinkKey => ({ session: 'ab'.repeat(16) as SessionId, generation, link, tensors: 1 })
const step = (position: number, rows: number, fill = position): HistoryStep => ({
  position,
  rows,
  emitFrom: position,
  computeMicros: 0,
  payload: packTensors([{ dtype: 'float32', dims: [1, rows, 2], bytes: new Uint8Array(8 * rows).fill(fill) }]),
})

async function wired() {
  const [alice, bob] = await Promise.all([createIdentity(), createIdentity()])
  const verdicts: Verdict[] = []
  const out = new OutLink(alice)
  const receiver = new InLink(bob, (v) => verdicts.push(v))
  const sent: Step[] = []
  const arrivals: string[] = []
  /** Bytes on their way when a link breaks are lost. */
  const wire = { cut: false, custodyCut: false }
  let present = 0
  const outlet = {
    sendStep: (s: Step) => {
      sent.push(s)
      if (!wire.cut) arrivals.push(receiver.accept(s))
    },
    sendCustody: (c: Uint8Array) => {
      const { generation, link } = decodeChunk(c.subarray(0, chunkBytes))
      if (wire.cut || wire.custodyCut) return
      if (generation === present) receiver.custody(c)
      else receiver.lateCustody(c, generation, link, alice.id)
    },
  }
  const hear = (generation: number) => {
    present = generation
    receiver.begin(key(generation), { peer: alice.id, key: alice.publicKey })
  }
  const begin = (generation: number) => {
    hear(generation)
    out.go(key(generation), outlet, receiver.held)
  }
  const settle = async () => {
    await out.flush()
    await receiver.settled()
  }
  const proven = () => verdicts.map((v) => (v.ok ? decodeChunk(v.proof.subarray(0, chunkBytes)) : expect.fail(v.error.message)))
  return { out, receiver, sent, arrivals, wire, begin, hear, settle, proven }
}

const bounds = (chunks: readonly { generation: number; firstPosition: number; rows: number }[]) =>
  chunks.map((c) => [c.generation, c.firstPosition, c.rows])

describe('[RR] a link over two generations', () => {
  it('goes on from what a signature covers: the open chunk comes again whole, and nothing is new twice', async () => {
    const { out, receiver, arrivals, wire, begin, settle, proven } = await wired()
    begin(0)
    for (let i = 0; i < 40; i++) out.push(step(i, 1))
    await out.flush()
    // Eight rows more, whose signature is lost with the connection.
    for (let i = 40; i < 48; i++) out.push(step(i, 1))
    wire.custodyCut = true
    await settle()
    wire.custodyCut = false
    expect(receiver.history.end).toBe(48)
    arrivals.length = 0
    begin(1)
    for (let i = 48; i < 70; i++) out.push(step(i, 1))
    await settle()
    expect(arrivals.filter((a) => a === 'known')).toHaveLength(16)
    expect(arrivals.filter((a) => a === 'new')).toHaveLength(22)
    // Rows 32 to 40 were signed for when the first chunk was closed early; their chunk begins at 32 in either generation.
    expect(bounds(proven())).toEqual([
      [0, 0, 32],
      [0, 32, 8],
      [1, 32, 32],
      [1, 64, 6],
    ])
    expect(receiver.held).toBe(70)
  })

  it('takes a late signature of the generation before, and gives nothing on one that does not fit', async () => {
    const { out, receiver, begin, hear, settle, proven } = await wired()
    begin(0)
    for (let i = 0; i < 5; i++) out.push(step(i, 1))
    // The receiver hears of the reroute first; the sender signs what it had sent.
    hear(1)
    await out.flush()
    await settle()
    await expect.poll(() => bounds(proven())).toEqual([[0, 0, 5]])
    expect(() => receiver.lateCustody(new Uint8Array(131), 0, 1, 'y' as never)).not.toThrow()
    expect(receiver.held).toBe(0)
  })

  it('[FR3] drops the steps of an older generation, whoever thaws', async () => {
    const { out, receiver, sent, begin } = await wired()
    begin(0)
    out.push(step(0, 1))
    const old = sent[0] as Step
    begin(1)
    expect(receiver.accept({ ...old, seq: 1 })).toBe('late')
  })

  it('has rows that came out otherwise run again from there, at both ends', async () => {
    const { out, receiver, arrivals, begin, settle, proven } = await wired()
    begin(0)
    for (let i = 0; i < 10; i++) out.push(step(i, 1))
    out.push(step(6, 1, 99))
    expect(out.history.end).toBe(7)
    for (let i = 7; i < 12; i++) out.push(step(i, 1, 99))
    await settle()
    expect(receiver.history.end).toBe(12)
    expect(receiver.history.equal(step(6, 1, 99))).toBe(true)
    expect(arrivals.filter((a) => a === 'known')).toHaveLength(6)
    expect(bounds(proven())).toEqual([
      [0, 0, 10],
      [0, 0, 12],
    ])
  })

  it('[CU5] sends a long history again no faster than it signs for it', async () => {
    const { out, receiver, wire, begin, settle } = await wired()
    wire.cut = true
    begin(0)
    for (let i = 0; i < 4 * maxUnsignedRows; i += 32) out.push(step(i, 32))
    await out.flush()
    wire.cut = false
    begin(1)
    await settle()
    expect(receiver.history.end).toBe(4 * maxUnsignedRows)
    expect(receiver.held).toBe(4 * maxUnsignedRows)
  })

  it('[FR4] refuses rows past those held', async () => {
    const { receiver, begin } = await wired()
    begin(0)
    const far: Step = { ...step(3, 1), session: key(0).session, link: 1, generation: 0, seq: 0 }
    expect(() => receiver.accept(far)).toThrow(/came where 0 are held/)
  })
})
