import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { maxTopLogprobs } from './limits.ts'
import { tokenOdds, tokenOddsSchema } from './logprobs.ts'

const rows = fc.float32Array({ minLength: 1, maxLength: 300, noNaN: true, noDefaultInfinity: true, min: -200, max: 200 })

describe('[LP2] the odds of a token', () => {
  it('are the logarithm of the softmax, and the likeliest come first', () => {
    const { logprob, top } = tokenOdds(Float32Array.from([1, 3, 2, 0]), 2, 3)
    const sum = Math.exp(1) + Math.exp(3) + Math.exp(2) + Math.exp(0)
    expect(logprob).toBeCloseTo(Math.log(Math.exp(2) / sum), 12)
    expect(top.map(([id]) => id)).toEqual([1, 2, 0])
    expect(top[1]?.[1]).toBe(logprob)
  })

  it('of equal logits name the lowest id first', () => {
    expect(tokenOdds(Float32Array.from([5, 7, 7, 7, 5]), 0, 4).top.map(([id]) => id)).toEqual([1, 2, 3, 0])
  })

  it('are what sorting all of them gives, add up to no more than 1, and are taken by whoever asked', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 0, max: maxTopLogprobs }), fc.nat(), (logits, count, pick) => {
        const id = pick % logits.length
        const odds = tokenOdds(logits, id, count)
        const sorted = [...logits.keys()].sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b)
        expect(odds.top.map(([of]) => of)).toEqual(sorted.slice(0, count))
        expect(odds.top.reduce((sum, [, p]) => sum + Math.exp(p), 0)).toBeLessThan(1 + 1e-9)
        expect(v.safeParse(tokenOddsSchema, JSON.parse(JSON.stringify(odds))).success).toBe(true)
      }),
    )
  })
})

it('[LP3] odds above 1, without end, or of too many tokens are refused', () => {
  const tooMany = Array.from({ length: maxTopLogprobs + 1 }, (_, id) => [id, -1])
  for (const odds of [
    { logprob: 0.1, top: [] },
    { logprob: -Infinity, top: [] },
    { logprob: -1, top: [[-1, -1]] },
    { logprob: -1, top: tooMany },
  ])
    expect(v.safeParse(tokenOddsSchema, odds).success).toBe(false)
})
