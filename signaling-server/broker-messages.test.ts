import { expect, it } from 'vitest'
import { ManyhandsError } from '../protocol/errors.ts'
import { isPeerId } from '../protocol/ids.ts'
import { maxSignalBytes } from '../protocol/limits.ts'
import { utf8 } from '../protocol/bytes.ts'
import { fuzzRuns, mutate } from '../testing/fuzz.ts'
import { parseSignal, relayedTypes } from './broker-messages.ts'

const dst = '0123456789abcdef'.repeat(4)
const offer = {
  type: 'OFFER',
  dst,
  payload: { sdp: { type: 'offer', sdp: 'v=0\r\n' }, type: 'data', connectionId: 'dc_x', metadata: { nonce: '00' } },
}

it('keeps type, destination and payload, and nothing else', () => {
  expect(parseSignal(JSON.stringify({ ...offer, src: dst, extra: 1 }))).toEqual(offer)
  expect(parseSignal('{"type":"HEARTBEAT","src":1}')).toEqual({ type: 'HEARTBEAT' })
})

it('a payload may be as large as a message, and no larger', () => {
  const fit = (length: number) => {
    const empty = JSON.stringify({ type: 'OFFER', dst, payload: { a: '' } })
    return empty.replace('""', `"${'x'.repeat(length - empty.length)}"`)
  }
  expect(parseSignal(fit(maxSignalBytes)).type).toBe('OFFER')
  expect(() => parseSignal(fit(maxSignalBytes + 1))).toThrowError(expect.objectContaining({ code: 'bad-message' }))
})

it('[fuzz] gives a checked message or a typed refusal', { timeout: 120_000 }, () => {
  const seeds = [
    offer,
    { type: 'CANDIDATE', dst, payload: { candidate: { candidate: 'candidate:1', sdpMid: '0' }, type: 'data', connectionId: 'dc_x' } },
    { type: 'LEAVE', dst },
    { type: 'EXPIRE', dst, payload: null },
    { type: 'HEARTBEAT' },
    { type: 'OFFER', dst, payload: JSON.parse('{"__proto__":{"a":1},"constructor":{"prototype":{}}}') },
  ].map((message) => utf8(JSON.stringify(message)))
  const decoder = new TextDecoder()
  let accepted = 0
  for (let i = 0; i < fuzzRuns; i++) {
    try {
      const signal = parseSignal(decoder.decode(mutate(seeds, i)))
      accepted++
      if (signal.type === 'HEARTBEAT') continue
      if (!relayedTypes.includes(signal.type) || !isPeerId(signal.dst)) throw new Error(`run ${i} let ${JSON.stringify(signal)} through`)
    } catch (thrown) {
      if (!(thrown instanceof ManyhandsError && thrown.code === 'bad-message')) throw thrown
    }
  }
  expect(accepted).toBeGreaterThan(0)
  expect(accepted).toBeLessThan(fuzzRuns)
})
