import { describe, expect, it } from 'vitest'
import { GraphBuilder } from '../../models/graph-builder.ts'
import type { ElementType } from '../../models/onnx/element-types.ts'
import { writeModel } from '../../models/onnx/write.ts'
import { dtypes, dtypeSize, type TensorValue } from '../../protocol/tensors.ts'
import { modelOf } from '../../testing/sample-graphs.ts'
import { ortFromPackage } from './node-engine.ts'
import type { WeightFile } from './runtime.ts'

const runtime = await ortFromPackage().wasm(1)
const none = new Map()

/** y = op(x, others …) for x of this type and any number of rows. */
function graphOf(op: string, dtype: ElementType, others: readonly string[] = [], declare: (g: GraphBuilder) => void = () => undefined) {
  const g = new GraphBuilder()
  g.input('x', dtype, ['rows', 4])
  declare(g)
  g.node(op, ['x', ...others], 'y')
  g.output('y', dtype, ['rows', 4])
  return writeModel(modelOf(g.build(op)))
}
const floats = (dims: readonly number[], ...values: number[]): TensorValue => ({
  dtype: 'float32',
  dims,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
})

describe("onnxruntime's module, called directly", () => {
  it.each(dtypes)('takes and gives %s as it is, none of it and much of it', async (dtype) => {
    const session = await runtime.createSession(graphOf('Identity', dtype), [], [])
    expect([session.inputNames, session.outputNames]).toEqual([['x'], ['y']])
    for (const rows of [0, 1, 3, 300]) {
      const bytes = Uint8Array.from({ length: rows * 4 * dtypeSize[dtype] }, (_, i) => (dtype === 'bool' ? i & 1 : (i * 7) & 63))
      const made = await session.run(new Map([['x', { dtype, dims: [rows, 4], bytes }]]), ['y'], none)
      expect(made.get('y')).toEqual({ dtype, dims: [rows, 4], bytes })
    }
    await session.release()
  })

  it('takes weights from outside the graph, made when they are asked for', async () => {
    const weights: WeightFile = { location: 'w', bytes: 16, read: () => floats([4], 1, 2, 3, 4).bytes }
    const declare = (g: GraphBuilder) => g.initializer('w', 'float32', [4], { kind: 'external', location: 'w', offset: 0, length: 16 })
    const session = await runtime.createSession(graphOf('Add', 'float32', ['w'], declare), [weights], [])
    const made = await session.run(new Map([['x', floats([1, 4], 1, 1, 1, 1)]]), ['y'], none)
    expect(made.get('y')).toEqual(floats([1, 4], 2, 3, 4, 5))
    await session.release()
    const gone = { ...weights, read: () => expect.unreachable('no bytes') }
    await expect(runtime.createSession(graphOf('Add', 'float32', ['w'], declare), [gone], [])).rejects.toMatchObject({
      code: 'engine-failed',
    })
    await expect(runtime.createSession(graphOf('Add', 'float32', ['w'], declare), [], [])).rejects.toMatchObject({ code: 'engine-failed' })
  })

  it('writes into memory that stays, and reads it again', async () => {
    const session = await runtime.createSession(graphOf('Neg', 'float32'), [], ['y'])
    const block = runtime.allocate([
      [1, 4],
      [1, 4],
    ])
    const [a, b] = block.tensors
    if (!a || !b) throw new Error('no tensors')
    await session.run(new Map([['x', floats([1, 4], 1, 2, 3, 4)]]), [], new Map([['y', a]]))
    await session.run(new Map([['x', a]]), [], new Map([['y', b]]))
    expect((await session.run(new Map([['x', b]]), ['y'], none)).get('y')).toEqual(floats([1, 4], -1, -2, -3, -4))
    block.release()
    await session.release()
  })

  it('says what went wrong, and goes on', async () => {
    await expect(runtime.createSession(new Uint8Array(64).fill(255), [], [])).rejects.toMatchObject({ code: 'engine-failed' })
    await expect(runtime.createSession(graphOf('NoSuchOperator', 'float32'), [], [])).rejects.toThrow('NoSuchOperator')
    const session = await runtime.createSession(graphOf('Neg', 'float32'), [], [])
    await expect(session.run(new Map([['x', floats([2, 3], 1, 2, 3, 4, 5, 6)]]), ['y'], none)).rejects.toMatchObject({
      code: 'engine-failed',
    })
    await expect(session.run(new Map([['z', floats([1, 4], 1, 2, 3, 4)]]), ['y'], none)).rejects.toMatchObject({ code: 'internal' })
    expect((await session.run(new Map([['x', floats([1, 4], 1, 2, 3, 4)]]), ['y'], none)).get('y')).toEqual(floats([1, 4], -1, -2, -3, -4))
    await session.release()
    for (const size of [2 ** 30, 2 ** 30 + 1, 2 ** 40])
      expect(() => runtime.allocate([[size]])).toThrow(expect.objectContaining({ code: 'out-of-memory' }))
  })

  it('keeps nothing of what is over: runs, failed runs, caches, sessions', async () => {
    const session = await runtime.createSession(graphOf('Neg', 'float32'), [], [])
    const work = async () => {
      const x: TensorValue = { dtype: 'float32', dims: [65_536, 4], bytes: new Uint8Array(2 ** 20) }
      await session.run(new Map([['x', x]]), ['y'], none)
      await session.run(new Map([['x', { ...x, dims: [4, 65_536] }]]), ['y'], none).catch(() => undefined)
      runtime.allocate([[2 ** 18], [2 ** 18]]).release()
      await (await runtime.createSession(graphOf('Identity', 'float32'), [], [])).release()
    }
    await work()
    const before = runtime.heapBytes()
    // A hundred times a megabyte or more: a leak of any of them would show.
    for (let i = 0; i < 100; i++) await work()
    expect(runtime.heapBytes()).toBe(before)
    await session.release()
  })
})
