import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { argMax, exactExp, exactLog, gumbel, noiseWord, sampleToken } from './sampling.ts'

const greedy = { temperature: 0, topP: 1, seed: 0 }

describe('[SM1] greedy', () => {
  it('takes the largest logit, of equals the lowest id', () => {
    expect(sampleToken(Float32Array.of(1, 3, 3, 2), 5, greedy)).toBe(1)
    expect(argMax(Float32Array.of(-5, -2, -9))).toBe(1)
  })

  it('refuses logits that are not finite', () => {
    for (const bad of [NaN, Infinity, -Infinity]) expect(() => argMax(Float32Array.of(1, bad, 2))).toThrow(/not a finite number/)
  })
})

describe('[SM2] sampling', () => {
  it('gives the same token for the same seed and position, whatever came before', () => {
    const logits = Float32Array.from({ length: 500 }, (_, i) => Math.sin(i))
    const draw = (position: number, seed: number) => sampleToken(logits, position, { temperature: 0.8, topP: 0.9, seed })
    const once = Array.from({ length: 50 }, (_, p) => draw(p, 7))
    expect(Array.from({ length: 50 }, (_, p) => draw(49 - p, 7)).reverse()).toEqual(once)
    expect(Array.from({ length: 50 }, (_, p) => draw(p, 8))).not.toEqual(once)
  })

  it('draws tokens as often as their probability says', () => {
    const probabilities = [0.5, 0.3, 0.15, 0.05]
    const logits = Float32Array.from(probabilities, Math.log)
    const n = 40_000
    const counts = [0, 0, 0, 0]
    for (let p = 0; p < n; p++) (counts[sampleToken(logits, p, { temperature: 1, topP: 1, seed: 1234 })] as number)++
    probabilities.forEach((want, id) => {
      const sigma = Math.sqrt((want * (1 - want)) / n)
      expect(Math.abs((counts[id] ?? 0) / n - want)).toBeLessThan(5 * sigma)
    })
  })

  it('with topP never leaves the nucleus', () => {
    const logits = Float32Array.from([0.5, 0.3, 0.15, 0.05], Math.log)
    for (let p = 0; p < 2000; p++) expect(sampleToken(logits, p, { temperature: 1, topP: 0.75, seed: 3 })).toBeLessThan(2)
  })
})

describe('[SM3] [SM4] the noise', () => {
  it('has these words', () => {
    expect([noiseWord(0, 0, 0), noiseWord(1, 2, 3), noiseWord(4294967295, 8191, 49151)]).toEqual([1680814304, 3299047535, 932354504])
  })

  it('takes a logarithm that agrees with the library to the last digits', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (x) => {
        expect(Math.abs(exactLog(x) - Math.log(x))).toBeLessThanOrEqual(4e-16 * Math.max(1, Math.abs(Math.log(x))))
      }),
    )
  })

  it('and an exponential, for the nucleus', () => {
    fc.assert(
      fc.property(fc.double({ min: -690, max: 0, noNaN: true }), (x) => {
        expect(Math.abs(exactExp(x) / Math.exp(x) - 1)).toBeLessThan(1e-13)
      }),
    )
    expect([exactExp(0), exactExp(-701)]).toEqual([1, 0])
  })

  it('is finite for every word', () => {
    for (let i = 0; i < 10_000; i++) expect(Number.isFinite(gumbel(i, 2 * i, 3 * i))).toBe(true)
  })
})
