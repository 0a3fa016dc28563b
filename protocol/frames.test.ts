import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManyhandsError } from './errors.ts'
import { decodeStepFragment, encodeStep, frameKind, StepAssembler, stepHeaderBytes, type Step } from './frames.ts'
import type { SessionId } from './ids.ts'
import { fragmentBytes, maxMessageBytes } from './limits.ts'
import { decodeAuth, decodeLinkMessage, encodeLinkMessage } from './link-messages.ts'
import { fuzzRuns, mutate } from '../testing/fuzz.ts'

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const step = (payloadBytes: number): fc.Arbitrary<Step> =>
  fc.record({
    session: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => Buffer.from(b).toString('hex') as SessionId),
    link: fc.integer({ min: 0, max: 255 }),
    generation: u32,
    seq: u32,
    position: u32,
    rows: fc.integer({ min: 1, max: 65535 }),
    emitFrom: u32,
    computeMicros: u32,
    payload: fc.uint8Array({ maxLength: payloadBytes }),
  })

const assemble = (messages: readonly Uint8Array[], assembler = new StepAssembler()) => {
  let whole: Step | undefined
  for (const message of messages) whole = assembler.add(message)
  return whole
}

/** A step of three fragments. */
const long = (fill: number, seq = 0): Step => ({
  session: 'ab'.repeat(16) as SessionId,
  link: 1,
  generation: 0,
  seq,
  position: 0,
  rows: 1,
  emitFrom: 0,
  computeMicros: 0,
  payload: new Uint8Array(2.5 * fragmentBytes).fill(fill),
})

describe('[FR1] a step on the wire', () => {
  it('comes back as it was sent', () => {
    fc.assert(
      fc.property(step(4000), (sent) => {
        expect(assemble(encodeStep(sent))).toEqual(sent)
      }),
    )
  })

  it('comes back whole from fragments, none larger than a message may be', () => {
    const sent = long(7)
    const messages = encodeStep(sent)
    expect(messages).toHaveLength(3)
    expect(Math.max(...messages.map((m) => m.length))).toBeLessThanOrEqual(fragmentBytes)
    expect(assemble(messages)).toEqual(sent)
  })

  it('costs a decoder row of 576 floats less than 5 % on the wire', () => {
    const [message] = encodeStep({ ...long(0), payload: new Uint8Array(13 + 576 * 4) })
    expect((message?.length ?? 0) / (576 * 4)).toBeLessThan(1.05)
  })
})

describe('[FR2] fragments', () => {
  it('are refused out of order, from another step, or without a beginning', () => {
    const [first, second, third] = encodeStep(long(1)) as [Uint8Array, Uint8Array, Uint8Array]
    const other = encodeStep(long(2, 1))[1] as Uint8Array
    for (const messages of [[first, third], [first, other], [second], [first, second, second]]) {
      expect(() => assemble(messages)).toThrow(ManyhandsError)
    }
  })

  it('of interleaved sessions are put together apart', () => {
    const a = long(1)
    const b = { ...long(2), session: 'cd'.repeat(16) as SessionId }
    const assembler = new StepAssembler()
    const done: Step[] = []
    encodeStep(a).forEach((message, i) => {
      for (const m of [message, encodeStep(b)[i] as Uint8Array]) {
        const whole = assembler.add(m)
        if (whole) done.push(whole)
      }
    })
    expect(done).toEqual([a, b])
  })

  it('announce no more than a channel may hold', () => {
    const message = (encodeStep(long(1))[0] as Uint8Array).slice()
    new DataView(message.buffer).setUint32(40, maxMessageBytes + 1, true)
    expect(() => new StepAssembler().add(message)).toThrow(/announces/)
    const small = new StepAssembler(fragmentBytes)
    expect(() => small.add(encodeStep(long(1))[0] as Uint8Array)).toThrow(/under way/)
  })

  it('of an ended session are forgotten, and their room is free again', () => {
    const assembler = new StepAssembler(3 * fragmentBytes)
    for (let i = 0; i < 5; i++) {
      assembler.add(encodeStep(long(i))[0] as Uint8Array)
      assembler.forget(long(i).session)
    }
    expect(assemble(encodeStep(long(9)), assembler)).toEqual(long(9))
  })
})

describe('hostile frames', () => {
  const seeds = [
    ...encodeStep({ ...long(3), payload: new Uint8Array(40) }),
    ...encodeStep(long(4)),
    encodeLinkMessage({ t: 'stop', session: 'ab'.repeat(16) as SessionId }),
  ]

  it('of every mutation and of random bytes are decoded or refused, never anything else', () => {
    const decoders = [
      (m: Uint8Array) => decodeStepFragment(m),
      (m: Uint8Array) => new StepAssembler().add(m),
      (m: Uint8Array) => decodeLinkMessage(m),
      (m: Uint8Array) => decodeAuth(m),
    ]
    let refused = 0
    for (let i = 0; i < fuzzRuns; i++) {
      const message = mutate(seeds, i)
      try {
        decoders[i % decoders.length]?.(message)
      } catch (thrown) {
        expect(thrown, `run ${i}`).toBeInstanceOf(ManyhandsError)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(fuzzRuns / 10)
  })

  it('without rows are refused', () => {
    const message = (encodeStep({ ...long(1), payload: new Uint8Array(8) })[0] as Uint8Array).slice()
    message.fill(0, 2, 4)
    expect(() => decodeStepFragment(message)).toThrow(/no rows/)
    expect(message[0]).toBe(frameKind.step)
    expect(() => decodeStepFragment(message.subarray(0, stepHeaderBytes - 1))).toThrow(/too short/)
  })
})
