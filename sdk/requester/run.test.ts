import { describe, expect, it } from 'vitest'
import { packTensors, type TensorSpec } from '../../protocol/tensors.ts'
import { lettersRevision, ToldSessions } from '../../testing/told-sessions.ts'
import type { RunCorrection, RunOptions } from '../types.ts'
import { runJob } from './run.ts'
import { sameResults } from './same-results.ts'
import { pipelinesFor } from './verification.ts'

const results: TensorSpec[] = [{ name: 'y', dtype: 'float32', shape: [1, 'n'] }]
const row = (...numbers: number[]) => ({
  dtype: 'float32' as const,
  dims: [1, numbers.length],
  bytes: new Uint8Array(Float32Array.from(numbers).buffer),
})
const packed = (...numbers: number[]) => packTensors([row(...numbers)])

function run(options: RunOptions = {}) {
  const source = new ToldSessions()
  const corrections: RunCorrection[] = []
  const result = runJob(source, {
    revision: lettersRevision,
    feeds: packed(1, 2),
    feedTensors: 1,
    results,
    pipelines: pipelinesFor(options.verify),
    options: { ...options, onCorrection: (c) => corrections.push(c) },
  })
  result.catch(() => undefined)
  /** The nth pipeline answers. */
  const answer = async (n: number, ...numbers: number[]) => {
    const session = await source.session(n)
    session.give(packed(...numbers))
    session.end()
    return session
  }
  return { source, corrections, result, answer }
}

const numbers = (outputs: RunCorrection['outputs']) => Array.from(outputs['y']?.data as Float32Array)

describe('a run', () => {
  it('gives its results at once; found wrong later, they are corrected by the event and by the last receipt', async () => {
    const { source, corrections, result, answer } = run()
    const first = await answer(1, 1, 2, 3)
    const { outputs, settled, record } = await result
    expect(numbers(outputs)).toEqual([1, 2, 3])
    source.wrong(first)
    const second = await answer(2, 1, 2, 4)
    source.receipt(second, 'corrected')
    expect(await settled).toMatchObject({ status: 'corrected' })
    expect(corrections.map((c) => numbers(c.outputs))).toEqual([[1, 2, 4]])
    expect(await record()).toMatchObject({ answer: { packed: packed(1, 2, 4), tensors: 1 } })
  })

  it('found wrong, but the same when it is done again, corrects nothing', async () => {
    const { source, corrections, result, answer } = run()
    const first = await answer(1, 1, 2)
    const { settled } = await result
    source.wrong(first)
    source.receipt(await answer(2, 1, 2), 'corrected')
    await settled
    expect(corrections).toEqual([])
  })

  it('without a result in time breaks off', async () => {
    const { source, result } = run()
    ;(await source.session(1)).end()
    await expect(result).rejects.toMatchObject({ code: 'peer-lost' })
  })

  it('of a quorum gives what two pipelines came to, and tells of the third', async () => {
    const { source, result, answer } = run({ verify: { quorum: 2 } })
    const [a, b] = [await answer(1, 1, 2, 3), await answer(2, 1, 2, 3.0001)]
    const c = await answer(3, 1, 2, 3)
    const { outputs, receipts } = await result
    expect(numbers(outputs)).toEqual([1, 2, 3])
    expect(source.disputes[0]).toEqual([a.ticket.session, b.ticket.session])
    for (const session of [a, c]) source.receipt(session, 'provisional')
    expect((await receipts).map(({ session }) => session)).toEqual([a.ticket.session, c.ticket.session])
  })

  it('of a quorum that can’t agree is disputed', async () => {
    const { result, answer } = run({ verify: { quorum: 2 } })
    for (const n of [1, 2, 3]) await answer(n, n)
    await expect(result).rejects.toMatchObject({ code: 'disputed' })
  })

  it('refuses other quorums than two and three', () => {
    expect(() => pipelinesFor({ quorum: 4 as 2 })).toThrow(/verify takes/)
  })
})

describe('results are the same', () => {
  const on = (backends: ('wasm' | 'webgpu')[], ...values: number[]) => ({ backends, values: [row(...values)] })

  it('to the bit between pipelines that are wasm throughout', () => {
    expect(sameResults(on(['wasm', 'wasm'], 1, 2), on(['wasm'], 1, 2))).toBe(true)
    expect(sameResults(on(['wasm'], 1, 2), on(['wasm'], 1, 2.000001))).toBe(false)
  })

  it('within 1e-4 of their size where a graphics processor took part', () => {
    expect(sameResults(on(['wasm', 'webgpu'], 1, 2), on(['wasm'], 1, 2.0001))).toBe(true)
    expect(sameResults(on(['webgpu'], 1, 2), on(['webgpu'], 1, 2.001))).toBe(false)
    expect(sameResults(on(['webgpu'], 0, 0), on(['webgpu'], 0, 1e-9))).toBe(false)
  })

  it('never with other shapes or whole numbers that differ', () => {
    expect(sameResults(on(['webgpu'], 1, 2), on(['webgpu'], 1, 2, 0))).toBe(false)
    const whole = (n: number) => ({
      backends: ['webgpu' as const],
      values: [{ ...row(0), dtype: 'int32' as const, bytes: Uint8Array.of(n, 0, 0, 0) }],
    })
    expect(sameResults(whole(1), whole(1))).toBe(true)
    expect(sameResults(whole(1), whole(2))).toBe(false)
  })
})
