import fc from 'fast-check'
import { expect, it } from 'vitest'
import { RateLimiter } from './rate-limit.ts'

it('gives a burst at once, then as much as comes back', () => {
  const limiter = new RateLimiter({ perSecond: 2, burst: 3, maxKeys: 10 })
  for (let i = 0; i < 3; i++) expect(limiter.take('a', 1, 0)).toEqual({ ok: true })
  expect(limiter.take('a', 1, 0)).toEqual({ ok: false, retryAfterMs: 500 })
  expect(limiter.take('a', 1, 499).ok).toBe(false)
  expect(limiter.take('a', 1, 500)).toEqual({ ok: true })
})

it('counts each key alone', () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 1, maxKeys: 10 })
  expect(limiter.take('a', 1, 0).ok).toBe(true)
  expect(limiter.take('a', 1, 0).ok).toBe(false)
  expect(limiter.take('b', 1, 0).ok).toBe(true)
})

it('remembers a bounded number of keys and forgets the one idle longest', () => {
  const limiter = new RateLimiter({ perSecond: 0.001, burst: 1, maxKeys: 2 })
  for (const key of ['a', 'b']) limiter.take(key, 1, 0)
  expect(limiter.take('a', 1, 0).ok).toBe(false)
  limiter.take('c', 1, 0)
  expect(limiter.keys).toBe(2)
  expect(limiter.take('a', 1, 0).ok).toBe(false)
  expect(limiter.take('b', 1, 0).ok).toBe(true)
})

it('a dear request is possible with a full bucket', () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 5, maxKeys: 1 })
  expect(limiter.take('a', 50, 0)).toEqual({ ok: true })
  expect(limiter.take('a', 50, 0)).toEqual({ ok: false, retryAfterMs: 5000 })
})

it('never gives more than burst + rate x time, whatever the clock does', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: -50, max: 500 }), fc.double({ min: 0.1, max: 4, noNaN: true })), { maxLength: 200 }),
      (steps) => {
        const limiter = new RateLimiter({ perSecond: 3, burst: 4, maxKeys: 5 })
        let [now, forward, given] = [10_000, 0, 0]
        for (const [step, cost] of steps) {
          now += step
          forward += Math.max(0, step)
          if (limiter.take('k', cost, now).ok) given += cost
        }
        return given <= 4 + (3 * forward) / 1000 + 1e-6
      },
    ),
  )
})

it('after the wait it names, the request goes through', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.1, max: 6, noNaN: true }), { minLength: 1, maxLength: 50 }), (costs) => {
      const limiter = new RateLimiter({ perSecond: 7, burst: 5, maxKeys: 5 })
      let now = 0
      return costs.every((cost) => {
        const taken = limiter.take('k', cost, now)
        if (taken.ok) return true
        now += taken.retryAfterMs
        return limiter.take('k', cost, now).ok
      })
    }),
  )
})
