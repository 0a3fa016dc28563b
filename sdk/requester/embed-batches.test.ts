import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Manifest } from '../../protocol/manifest.ts'
import { batchesOf, encoderFeeds, maxBatchTexts, maxBatchTokens, pooled } from './embed-batches.ts'

describe('texts in batches', () => {
  it('are each in one, within bounds, beside others of like length', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 2, max: 512 }), { maxLength: 300 }), (lengths) => {
        const batches = batchesOf(lengths)
        const places = batches.flatMap((batch) => batch.places)
        expect(places.toSorted((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
        let before = Infinity
        for (const { places, tokens } of batches) {
          const own = places.map((place) => lengths[place] as number)
          expect(Math.max(...own)).toBe(tokens)
          expect(tokens).toBeLessThanOrEqual(before)
          expect(places.length).toBeLessThanOrEqual(maxBatchTexts)
          expect(places.length * tokens).toBeLessThanOrEqual(Math.max(maxBatchTokens, tokens))
          before = Math.min(...own)
        }
      }),
    )
  })

  it('go alone where one is longer than a batch', () => {
    expect(batchesOf([maxBatchTokens + 1, 3, 3])).toEqual([
      { places: [0], tokens: maxBatchTokens + 1 },
      { places: [1, 2], tokens: 3 },
    ])
  })
})

describe('[MF8] what an encoder is fed', () => {
  const wants = (...names: string[]) =>
    ({
      name: 'encoder',
      inputs: names.map((name) => ({ name, dtype: 'int64', shape: ['n', 't'], role: 'feed' })),
    }) as unknown as Manifest

  it('is what its inputs are called, with nothing where a text has ended', () => {
    const feeds = encoderFeeds(wants('attention_mask', 'input_ids', 'token_type_ids'), [[7, 8, 9], [5]], 3)
    const numbers = Object.entries(feeds).map(([name, { data, dims }]) => [name, dims, Array.from(data as BigInt64Array, Number)])
    expect(numbers).toEqual([
      ['attention_mask', [2, 3], [1, 1, 1, 1, 0, 0]],
      ['input_ids', [2, 3], [7, 8, 9, 5, 0, 0]],
      ['token_type_ids', [2, 3], [0, 0, 0, 0, 0, 0]],
    ])
    expect(Object.keys(encoderFeeds(wants('input_ids'), [[7]], 1))).toEqual(['input_ids'])
  })

  it('is refused where it wants something else', () => {
    expect(() => encoderFeeds(wants('input_ids', 'bbox'), [[7]], 1)).toThrow('the input bbox')
  })
})

describe('[MF8] a text’s vector', () => {
  const states = Float32Array.of(3, 0, 1, 4, 100, 100, /**/ 0, 2, 50, 50, 60, 60)
  const settings = { pooling: 'mean', normalize: false, maxTokens: 8 } as const

  it('is the mean of its own tokens alone', () => {
    expect(pooled(states, [2, 3, 2], [2, 1], settings)).toEqual([Float32Array.of(2, 2), Float32Array.of(0, 2)])
  })

  it('is the first one’s where the model says so', () => {
    expect(pooled(states, [2, 3, 2], [2, 1], { ...settings, pooling: 'first' })).toEqual([Float32Array.of(3, 0), Float32Array.of(0, 2)])
  })

  it('is of length 1 where the model says so, and stays nothing where it is nothing', () => {
    expect(pooled(states, [2, 3, 2], [2, 1], { ...settings, normalize: true })).toEqual([
      Float32Array.of(Math.SQRT1_2, Math.SQRT1_2),
      Float32Array.of(0, 1),
    ])
    expect(pooled(new Float32Array(2), [1, 1, 2], [1], { ...settings, normalize: true })).toEqual([new Float32Array(2)])
  })

  it('is not read from a result of another shape', () => {
    for (const dims of [
      [3, 2, 2],
      [2, 6],
      [2, 1, 6],
    ])
      expect(() => pooled(states, dims, [2, 1], settings)).toThrow(expect.objectContaining({ code: 'bad-message' }))
  })
})
