import { expect, it } from 'vitest'
import { RequestLimits } from './limits.ts'

it('so many requests a minute, and then one as often as that is', () => {
  const limits = new RequestLimits({ perMinute: 3, atOnce: 10 })
  const enter = (now: number) => limits.enter('ann', now)
  expect([0, 0, 0].map((now) => enter(now))).toMatchObject([{ remaining: 2 }, { remaining: 1 }, { remaining: 0 }])
  expect(enter(0)).toEqual({ ok: false, why: 'per minute', retryAfterMs: 20_000 })
  expect(enter(19_999).ok).toBe(false)
  expect(enter(20_000)).toMatchObject({ ok: true, remaining: 0 })
  expect(enter(10 * 60_000)).toMatchObject({ ok: true, remaining: 2 })
})

it('so many at once, each counted until it has left, once', () => {
  const limits = new RequestLimits({ perMinute: 100, atOnce: 1 })
  const first = limits.enter('ann', 0)
  expect(limits.enter('ann', 0)).toMatchObject({ ok: false, why: 'at once' })
  expect(limits.enter('bob', 0).ok).toBe(true)
  if (first.ok) {
    first.leave()
    first.leave()
  }
  expect(limits.enter('ann', 0).ok).toBe(true)
  expect(limits.enter('ann', 0).ok).toBe(false)
})
