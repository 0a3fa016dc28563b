import { describe, expect, it } from 'vitest'
import { deferred, type Deferred } from '../../link/deferred.ts'
import { ManyhandsError, type ErrorCode } from '../../protocol/errors.ts'
import type { Progress } from '../types.ts'
import { Bulk, type BulkCounts, type BulkTerms, type Piece } from './bulk.ts'

const failure = (code: ErrorCode, retryAfterMs?: number) =>
  new ManyhandsError(code, 'No.', retryAfterMs === undefined ? {} : { retryAfterMs })

/** A work under way, ended by the test. */
interface Under {
  readonly index: number
  readonly signal: AbortSignal
  readonly onProgress: (progress: Progress) => void
  readonly end: Deferred<string>
}

/** Bulk work whose pieces are done when the test says so, by a clock that the test moves. */
function scene<I>(inputs: Iterable<I> | AsyncIterable<I>, terms: Partial<BulkTerms> = {}) {
  const under: Under[] = []
  const waits: number[] = []
  const counts: BulkCounts[] = []
  let begun = deferred<void>()
  let now = 0
  const bulk = new Bulk<I, string>(
    inputs,
    {
      work: (_, index, { signal, onProgress }) => {
        const end = deferred<string>()
        under.push({ index, signal, onProgress, end })
        begun.resolve()
        begun = deferred()
        return end.promise
      },
      wait: async (ms) => {
        waits.push(ms)
        now += ms
      },
      now: () => now,
    },
    { first: 2, most: 4, tries: 3, onChange: (count) => counts.push(count), ...terms },
  )
  return {
    bulk,
    under,
    waits,
    counts,
    /** Resolves once so many pieces have been begun, those begun again counted anew. */
    async started(count: number): Promise<void> {
      while (under.length < count) await begun.promise
    },
    answer: (at: number, text = `made of ${under[at]?.index}`) => under[at]?.end.resolve(text),
    fail: (at: number, error: ManyhandsError) => under[at]?.end.reject(error),
  }
}

const results = (pieces: readonly (Piece<unknown, string> | undefined)[]) => pieces.map((piece) => piece?.ok === true && piece.result)

/** All that is left of it. */
async function rest<I>(bulk: Bulk<I, string>): Promise<Piece<I, string>[]> {
  const pieces: Piece<I, string>[] = []
  for (let piece = await bulk.next(); piece; piece = await bulk.next()) pieces.push(piece)
  return pieces
}

describe('bulk work', () => {
  it('gives results in the order of the inputs, whichever come first', async () => {
    const { bulk, started, answer } = scene('abc'.split(''))
    const all = rest(bulk)
    await started(2)
    answer(1)
    await started(3)
    answer(2)
    answer(0)
    expect(results(await all)).toEqual(['made of 0', 'made of 1', 'made of 2'])
  })

  it('begins with as many as were said, and more as it goes well', async () => {
    const { bulk, under, started, answer } = scene('abcdefgh'.split(''))
    const first = bulk.next()
    await started(2)
    expect(under).toHaveLength(2)
    answer(0)
    await first
    answer(1)
    await bulk.next()
    answer(2)
    await bulk.next()
    // Three came back well, a round and more: three at once.
    await started(6)
    expect(under).toHaveLength(6)
  })

  it('takes no inputs while nobody fetches results', async () => {
    let taken = 0
    function* inputs() {
      for (;;) yield taken++
    }
    const { bulk, started, answer } = scene(inputs(), { first: 4, most: 4 })
    const first = bulk.next()
    for (let i = 0; i < 8; i++) {
      await started(i + 1)
      if (i > 0) answer(i)
    }
    // One is missing, seven wait behind it, twice as many as may be under way: no further one is taken.
    expect(taken).toBe(8)
    answer(0)
    await first
    await started(9)
    expect(taken).toBe(9)
  })

  it('tries again what fails for a while, and each time waits longer', async () => {
    const { bulk, started, fail, answer, waits } = scene('a'.split(''))
    const only = bulk.next()
    await started(1)
    fail(0, failure('peer-lost'))
    await started(2)
    fail(1, failure('no-volunteers'))
    await started(3)
    answer(2)
    expect(results([await only])).toEqual(['made of 0'])
    expect(waits).toEqual([1_000, 2_000])
  })

  it('gives up after so many tries, and at once where trying again is no use; the rest is not lost', async () => {
    const { bulk, started, fail, counts } = scene('ab'.split(''))
    const both = rest(bulk)
    await started(2)
    fail(1, failure('bad-input'))
    for (let i = 0; i < 3; i++) {
      await started(i === 0 ? 2 : 2 + i)
      fail(i === 0 ? 0 : 1 + i, failure('timeout'))
    }
    const [a, b] = await both
    expect(a).toMatchObject({ ok: false, index: 0, input: 'a', error: { code: 'timeout' } })
    expect(b).toMatchObject({ ok: false, index: 1, input: 'b', error: { code: 'bad-input' } })
    expect(counts.at(-1)).toEqual({ done: 0, failed: 2, underWay: 0 })
  })

  it('comes again when it is told to, where all is full, and that costs no try [SE7]', async () => {
    const { bulk, started, fail, answer, waits } = scene('a'.split(''), { tries: 1 })
    const only = bulk.next()
    for (let i = 0; i < 6; i++) {
      await started(i + 1)
      fail(i, failure('busy', 7_000))
    }
    await started(7)
    answer(6)
    expect(results([await only])).toEqual(['made of 0'])
    expect(waits).toEqual([7_000, 7_000, 7_000, 7_000, 7_000, 7_000])
  })

  it('says that all is full once nothing has come back for five minutes', async () => {
    const { bulk, started, fail } = scene('a'.split(''))
    const only = bulk.next()
    for (let i = 0; i < 11; i++) {
      await started(i + 1)
      fail(i, failure('busy', 30_100))
    }
    expect(await only).toMatchObject({ ok: false, error: { code: 'busy' } })
  })

  it('has fewer under way as soon as one has to wait in a line', async () => {
    const { bulk, under, started, answer } = scene('abcdefghijkl'.split(''), { first: 4, most: 4 })
    const first = bulk.next()
    await started(4)
    under[3]?.onProgress({ phase: 'queued', ahead: 0 })
    answer(0)
    await first
    const next = bulk.next()
    answer(1)
    await next
    await started(5)
    // Three have places; the growth of two that went well is less than a whole one.
    expect(under).toHaveLength(5)
  })

  it('leaves out what is done already, and counts it', async () => {
    const { bulk, under, started, answer, counts } = scene('abcd'.split(''), { isDone: (index) => index !== 2 })
    const only = bulk.next()
    await started(1)
    expect(under[0]?.index).toBe(2)
    answer(0)
    expect(await only).toMatchObject({ index: 2 })
    expect(await bulk.next()).toBeUndefined()
    expect(counts.at(-1)).toEqual({ done: 4, failed: 0, underWay: 0 })
  })

  it('stops what is under way when it is aborted, and says so', async () => {
    const abort = new AbortController()
    const { bulk, under, started } = scene('abc'.split(''), { signal: abort.signal })
    const first = bulk.next()
    await started(2)
    abort.abort()
    await expect(first).rejects.toMatchObject({ code: 'aborted' })
    await expect(bulk.next()).rejects.toMatchObject({ code: 'aborted' })
    expect(under.every(({ signal }) => signal.aborted)).toBe(true)
  })

  it('stops what is under way when nobody wants more, and closes the inputs; what is done is left alone', async () => {
    let closed = false
    async function* inputs() {
      try {
        for (let i = 0; ; i++) yield i
      } finally {
        closed = true
      }
    }
    const { bulk, under, started, answer } = scene(inputs())
    const first = bulk.next()
    await started(2)
    answer(0)
    await first
    bulk.stop()
    expect(under[0]?.signal.aborted).toBe(false)
    expect(under[1]?.signal.aborted).toBe(true)
    await expect(bulk.next()).rejects.toMatchObject({ code: 'aborted' })
    expect(closed).toBe(true)
  })

  it('gives out what came before inputs that break, then what broke them', async () => {
    function* inputs() {
      yield 'a'
      throw new Error('The disk is gone.')
    }
    const { bulk, started, answer } = scene(inputs())
    const first = bulk.next()
    await started(1)
    answer(0)
    expect(results([await first])).toEqual(['made of 0'])
    await expect(bulk.next()).rejects.toThrow('The disk is gone.')
  })
})
