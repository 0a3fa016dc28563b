import { Tensor } from 'onnxruntime-common'
import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Feeds, MapItem, MapOptions, OnMapError } from '../map-types.ts'
import type { RunResult } from '../types.ts'
import { RunMapping } from './map.ts'

const revision = 'a'.repeat(64)
const feeds = (n: number): Feeds => ({ x: new Tensor('float32', [n], [1]) })

/** A model that doubles; it refuses what it is told to. */
function doubler(refused: readonly number[] = []) {
  const asked: number[] = []
  return {
    asked,
    map<E extends OnMapError = 'throw'>(numbers: Iterable<number>, options: MapOptions<number, E> = {}) {
      const open = async () => ({
        revision,
        places: 3,
        run: async ({ x }: Feeds) => {
          const n = Number(x?.data[0])
          asked.push(n)
          if (refused.includes(n)) throw new ManyhandsError('bad-input', `${n} is refused.`)
          return { outputs: { y: new Tensor('float32', [2 * n], [1]) } } as unknown as RunResult
        },
      })
      return new RunMapping<number, E>(open, numbers, { feeds, ...options })
    },
  }
}

const made = (item: MapItem<number, 'keep'>) => (item.ok ? Number(item.result.outputs['y']?.data[0]) : item.error.code)

describe('map', () => {
  it('gives one result for each input, in order: awaited all of them, iterated as they come', async () => {
    expect((await doubler().map([1, 2, 3])).map(made)).toEqual([2, 4, 6])
    const seen: unknown[] = []
    for await (const item of doubler().map(new Set([4, 5]))) seen.push([item.index, item.input, made(item)])
    expect(seen).toEqual([
      [0, 4, 8],
      [1, 5, 10],
    ])
  })

  it('stops at what can’t be computed, after all that came before it', async () => {
    const mapping = doubler([3]).map([1, 2, 3, 4])
    const seen: unknown[] = []
    const iterated = (async () => {
      for await (const item of mapping) seen.push(made(item))
    })()
    await expect(iterated).rejects.toMatchObject({ code: 'bad-input', message: '3 is refused.' })
    expect(seen).toEqual([2, 4])
    expect(mapping.checkpoint()).toEqual({ v: 1, revision, done: [[0, 2]] })
  })

  it('keeps what can’t be computed as an item, where that is asked for', async () => {
    const items = await doubler([3]).map([1, 2, 3, 4], { onError: 'keep' })
    expect(items.map(made)).toEqual([2, 4, 'bad-input', 8])
  })

  it('goes on from a checkpoint: what failed is tried again, what was done is not', async () => {
    const first = doubler([3]).map([1, 2, 3, 4, 5], { onError: 'keep' })
    for await (const { index } of first) if (index === 3) break
    // The fourth was in hand when it was left, so it is not done with.
    const kept = JSON.parse(JSON.stringify(first.checkpoint()))
    expect(kept.done).toEqual([[0, 2]])
    const second = doubler()
    const progress: unknown[] = []
    const items = await second.map([1, 2, 3, 4, 5], { resume: kept, onProgress: ({ done, of }) => progress.push(`${done} of ${of}`) })
    expect(items.map(({ index }) => index)).toEqual([2, 3, 4])
    expect(second.asked.toSorted((a, b) => a - b)).toEqual([3, 4, 5])
    expect(progress.at(-1)).toBe('5 of 5')
  })

  it('begins nothing before it is iterated, and is iterated once', async () => {
    const { asked, map } = doubler()
    const mapping = map([1])
    expect(asked).toEqual([])
    await mapping
    await expect(mapping[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'bad-input' })
    expect(asked).toEqual([1])
  })

  it('refuses what it can’t keep', async () => {
    const refused = { code: 'bad-input' }
    const { map } = doubler()
    for (const options of [
      { concurrency: 0 },
      { concurrency: 33 },
      { tries: 1.5 },
      { onError: 'ask' },
      { verify: { quorum: 9 } },
      { resume: {} },
    ])
      await expect(map([1], options as MapOptions<number>)).rejects.toMatchObject(refused)
    await expect(map(7 as unknown as number[])).rejects.toMatchObject(refused)
  })
})
