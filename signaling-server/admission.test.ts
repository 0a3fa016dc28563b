import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AdmissionQueue, perNetwork, perRequester, queueBound, queueMs, type Who } from './admission.ts'

const nobodyHasAny = () => 0
const take = <T>(queue: AdmissionQueue<T>, room = Infinity, places: (who: string) => number = nobodyHasAny): T[] => {
  const taken: T[] = []
  queue.drain((request) => taken.length < room && taken.push(request) > 0, places)
  return taken
}

describe('a line', () => {
  it('is bounded as a whole, for each key and for each network', () => {
    const arrivals = fc.array(fc.tuple(fc.option(fc.constantFrom('n1', 'n2', 'n3')), fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')), {
      maxLength: 120,
    })
    fc.assert(
      fc.property(arrivals, (asked) => {
        const queue = new AdmissionQueue<readonly [string | null, string]>()
        const waiting: (readonly [string | null, string])[] = []
        for (const [network, key] of asked) {
          const own = waiting.filter(([, k]) => k === key).length
          const near = network === null ? 0 : waiting.filter(([n]) => n === network).length
          const place = queue.enter(network === null ? [key] : [network, key], [network, key], 0)
          const free = waiting.length < queueBound && own < perRequester && near < perNetwork
          expect(place).toEqual(free ? { ahead: waiting.length } : { retryAfterMs: expect.any(Number) as number })
          if (free) waiting.push([network, key])
        }
        expect(queue.length).toBe(waiting.length)
      }),
    )
  })

  it('is served in the order of arrival among equals', () => {
    const queue = new AdmissionQueue<number>()
    for (let i = 0; i < 8; i++) queue.enter([`key ${i}`], i, i)
    expect(take(queue, 3)).toEqual([0, 1, 2])
    expect(take(queue)).toEqual([3, 4, 5, 6, 7])
    expect(queue.length).toBe(0)
  })

  it('is served by who has the fewest places: network before key, so that many keys gain nothing', () => {
    const queue = new AdmissionQueue<string>()
    const waiting: (readonly [string, Who])[] = [
      ['heavy network, new key', ['heavy', 'k9']],
      ['light network, heavy key', ['light', 'k1']],
      ['light network, new key', ['light', 'k2']],
      ['nobody yet', ['new', 'k3']],
    ]
    for (const [request, who] of waiting) queue.enter(who, request, 0)
    const places = new Map([
      ['heavy', 6],
      ['light', 1],
      ['k1', 1],
    ])
    expect(take(queue, Infinity, (who) => places.get(who) ?? 0)).toEqual([
      'nobody yet',
      'light network, new key',
      'light network, heavy key',
      'heavy network, new key',
    ])
  })

  it('passes by one that finds no room, who keeps its place', () => {
    const queue = new AdmissionQueue<string>()
    for (const request of ['large', 'small', 'small too']) queue.enter([request], request, 0)
    queue.drain((request) => request !== 'large', nobodyHasAny)
    expect(queue.has('large')).toBe(true)
    queue.enter(['later'], 'later', 1)
    expect(take(queue)).toEqual(['large', 'later'])
  })

  it('loses whoever leaves while it is being served', () => {
    const queue = new AdmissionQueue<string>()
    for (const request of ['a', 'b', 'c']) queue.enter([request], request, 0)
    const taken: string[] = []
    queue.drain((request) => {
      queue.leave((waiting) => waiting === 'b')
      return taken.push(request) > 0
    }, nobodyHasAny)
    expect(taken).toEqual(['a', 'c'])
  })

  it('loses whoever has waited too long, the others not', () => {
    const queue = new AdmissionQueue<string>()
    queue.enter(['a'], 'a', 0)
    queue.enter(['b'], 'b', 1)
    expect(queue.expired(queueMs)).toEqual([])
    expect(queue.expired(queueMs + 1)).toEqual(['a'])
    expect(take(queue)).toEqual(['b'])
  })

  it('says a later time the more wait, and the longer sessions last', () => {
    const queue = new AdmissionQueue<number>()
    const empty = queue.retryAfterMs()
    for (let i = 0; i < 8; i++) queue.enter([`${i}`], i, 0)
    const long = queue.retryAfterMs()
    expect(long).toBeGreaterThan(empty)
    for (let i = 0; i < 20; i++) queue.sessionEnded(1e9)
    expect(queue.retryAfterMs()).toBeGreaterThan(long)
    for (let i = 0; i < 100; i++) queue.sessionEnded(0)
    expect(queue.retryAfterMs()).toBeGreaterThanOrEqual(1_000)
  })
})
