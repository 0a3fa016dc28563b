import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packTensors, type TensorValue } from '../../protocol/tensors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import { readModel } from '../../models/onnx/read.ts'
import { writeModel } from '../../models/onnx/write.ts'
import { loadHere, publishTiny, publishedBlobs, type PublishedModel } from '../../testing/tiny-stages.ts'
import { float32View, writeTokens } from '../ring/step-tensors.ts'
import type { StageEngine, StepInput } from './engine.ts'
import { ortFromPackage } from './node-engine.ts'

const prompt = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300))
const room = 128
let tiny: PublishedModel
let blocks = 0
/** Stages that nobody puts away: the tests use sessions of their own. */
let whole: StageEngine
let thirds: StageEngine[]
beforeAll(async () => {
  tiny = await publishTiny({ layers: 2 })
  blocks = tiny.manifest.blocks.length
  whole = await loadHere(tiny, 0, blocks)
  thirds = [await loadHere(tiny, 0, 2), await loadHere(tiny, 2, 4), await loadHere(tiny, 4, blocks)]
}, 60_000)
afterAll(async () => {
  for (const engine of [whole, ...thirds]) await engine.dispose()
})

let sessions = 0
const newSession = () => (sessions++).toString(16).padStart(32, '0') as SessionId
const step = (session: SessionId, position: number, ids: readonly number[], more: Partial<StepInput> = {}): StepInput => ({
  session,
  position,
  rows: ids.length,
  inputs: [writeTokens(ids)],
  logitsFrom: 0,
  ...more,
})

/** Logits of every row, the stages one after the other. */
async function through(
  engines: readonly StageEngine[],
  session: SessionId,
  position: number,
  ids: readonly number[],
): Promise<Float32Array> {
  let inputs: readonly TensorValue[] = [writeTokens(ids)]
  for (const engine of engines) inputs = (await engine.run({ ...step(session, position, ids), inputs })).outputs
  return float32View((inputs[0] as TensorValue).bytes)
}

/** A prompt in runs and some tokens one by one, in a session of its own. */
async function conversation(engines: readonly StageEngine[], ids: readonly number[], beforeStep: () => unknown = () => undefined) {
  const session = newSession()
  for (const engine of engines) engine.open(session, room)
  const rows: Float32Array[] = []
  for (const [from, to] of [
    [0, 16],
    [16, 33],
    [33, 34],
    [34, 35],
    [35, 40],
  ] as const) {
    await beforeStep()
    rows.push(await through(engines, session, from, ids.slice(from, to)))
  }
  for (const engine of engines) engine.close(session)
  return rows
}

function largestError(got: readonly Float32Array[], want: readonly Float32Array[]): number {
  let difference = 0
  let norm = 0
  want.forEach((row, i) =>
    row.forEach((value, j) => {
      difference += ((got[i] as Float32Array)[j] as number) === value ? 0 : (((got[i] as Float32Array)[j] as number) - value) ** 2
      norm += value ** 2
    }),
  )
  return Math.sqrt(difference / norm)
}

describe('a stage', () => {
  it('tells what it is, as measured', () => {
    expect(whole.report).toMatchObject({ backend: 'wasm', threads: 1, adapter: '', storedBytes: 0, fallbackReason: '' })
    expect(whole.report.goldenError).toBeLessThan(1e-6)
    expect(whole.report.fetchedBytes).toBeGreaterThan(100_000)
    expect(thirds.map((engine) => [engine.inputSpecs[0]?.name, engine.outputSpecs[0]?.shape.at(-1)])).toEqual([
      ['input_ids', 64],
      [expect.stringContaining('residual'), 64],
      [expect.stringContaining('residual'), 320],
    ])
  })

  it('after stage gives what the whole model gives, prompt and single tokens', async () => {
    const wanted = await conversation([whole], prompt)
    expect(largestError(await conversation(thirds, prompt), wanted)).toBeLessThan(1e-6)
  })

  it('gives the logits of the rows that are wanted, and none when none are', async () => {
    const session = newSession()
    whole.open(session, room)
    const all = await whole.run(step(session, 0, prompt.slice(0, 8)))
    expect(all.outputs[0]?.dims).toEqual([8, 320])
    for (const from of [0, 3, 7, 8]) {
      whole.rollback(session, 0)
      const { outputs } = await whole.run(step(session, 0, prompt.slice(0, 8), { logitsFrom: from }))
      if (from === 8) expect(outputs).toEqual([])
      else
        expect(
          largestError(
            [float32View((outputs[0] as TensorValue).bytes)],
            [float32View((all.outputs[0] as TensorValue).bytes).subarray(from * 320)],
          ),
        ).toBeLessThan(1e-6)
      expect(whole.held(session)).toBe(8)
    }
    whole.close(session)
  })

  it('goes back to a position and computes the same from there', async () => {
    const session = newSession()
    whole.open(session, room)
    await through([whole], session, 0, prompt.slice(0, 20))
    const first = await through([whole], session, 20, prompt.slice(20, 30))
    whole.rollback(session, 5)
    expect(whole.held(session)).toBe(5)
    await through([whole], session, 5, [9, 9, 9])
    whole.rollback(session, 5)
    await through([whole], session, 5, prompt.slice(5, 20))
    expect(await through([whole], session, 20, prompt.slice(20, 30))).toEqual(first)
    whole.rollback(session, 100)
    expect(whole.held(session)).toBe(30)
    whole.close(session)
  })

  it('keeps sessions apart, however their steps fall among each other', async () => {
    const prompts = [0, 1, 2, 3].map((n) => prompt.map((id) => 3 + ((id + 11 * n) % 300)))
    const alone = []
    for (const ids of prompts) alone.push(await conversation(thirds, ids))
    // Each waits for a different number of turns before its steps.
    const together = await Promise.all(
      prompts.map((ids, n) =>
        conversation(thirds, ids, async () => {
          for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve))
        }),
      ),
    )
    expect(together).toEqual(alone)
  })
})

describe('what a stage refuses', () => {
  const floats = (dims: readonly number[], fill = 0.1): TensorValue => ({
    dtype: 'float32',
    dims,
    bytes: new Uint8Array(new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(fill).buffer),
  })
  const ids = writeTokens([3, 4])
  const ofFirst: readonly (readonly [string, Partial<StepInput>])[] = [
    ['ids of another type', { inputs: [{ ...ids, dtype: 'uint64' }] }],
    ['ids of another shape', { inputs: [{ ...ids, dims: [2, 1] }] }],
    ['fewer ids than rows', { rows: 3, logitsFrom: 3 }],
    ['fewer bytes than the shape says', { inputs: [{ ...ids, bytes: ids.bytes.subarray(8) }] }],
    ['an id past the vocabulary', { inputs: [writeTokens([3, 320])] }],
    ['an id below 0', { inputs: [writeTokens([-1, 3])] }],
    ['no tensor', { inputs: [] }],
    ['a tensor too many', { inputs: [ids, ids] }],
    ['no rows', { rows: 0, logitsFrom: 0, inputs: [writeTokens([])] }],
    ['half a row', { rows: 1.5 }],
    ['a position that is not held', { position: 1 }],
    ['logits of a row that is not there', { logitsFrom: 3 }],
  ]
  it.each(ofFirst)('%s', async (_, odd) => {
    const [first] = thirds as [StageEngine]
    const session = newSession()
    first.open(session, room)
    await expect(first.run(step(session, 0, [3, 4], odd))).rejects.toMatchObject({ code: 'bad-input' })
    // It is as good as before.
    expect((await first.run(step(session, 0, [3, 4]))).outputs[0]?.dims).toEqual([1, 2, 64])
    first.close(session)
  })

  it.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
  ])('%s', async (_, value) => {
    const middle = thirds[1] as StageEngine
    const session = newSession()
    middle.open(session, room)
    const inputs = [floats([1, 2, 64])]
    new Float32Array((inputs[0] as TensorValue).bytes.buffer).fill(value, 70)
    await expect(middle.run(step(session, 0, [1, 1], { inputs }))).rejects.toMatchObject({ code: 'not-finite' })
    expect(middle.held(session)).toBe(0)
    await middle.run(step(session, 0, [1, 1], { inputs: [floats([1, 2, 64])] }))
    middle.close(session)
  })

  it('more rows than its limit', async () => {
    const session = newSession()
    const { rowLimit } = whole.report
    whole.open(session, 512)
    await expect(whole.run(step(session, 0, new Array<number>(rowLimit + 1).fill(5)))).rejects.toMatchObject({ code: 'bad-input' })
    expect((await whole.run(step(session, 0, new Array<number>(512).fill(5), { logitsFrom: 511 }))).outputs[0]?.dims).toEqual([1, 320])
    whole.close(session)
  })

  it('steps of a session that is not open, and past what it was opened for', async () => {
    const session = newSession()
    await expect(whole.run(step(session, 0, [3]))).rejects.toMatchObject({ code: 'closed' })
    whole.open(session, 4)
    await expect(whole.run(step(session, 0, [3, 4, 5, 6, 7]))).rejects.toMatchObject({ code: 'context-overflow' })
    await whole.run(step(session, 0, [3, 4, 5, 6]))
    await expect(whole.run(step(session, 4, [3]))).rejects.toMatchObject({ code: 'context-overflow' })
    whole.close(session)
    await expect(whole.run(step(session, 4, [3]))).rejects.toMatchObject({ code: 'closed' })
  })

  it('caches past its memory, until others have ended', async () => {
    const few = await loadHere(tiny, 2, 4, { memoryBytes: (await weightBytes(2, 4)) + 300 * 2 * 32 * 4 })
    expect(few.report.cachePositions).toBe(300)
    const [a, b, c] = [newSession(), newSession(), newSession()]
    few.open(a, 200)
    few.open(b, 100)
    expect(() => few.open(c, 1)).toThrow(expect.objectContaining({ code: 'out-of-memory' }))
    expect(() => few.open(a, 1)).toThrow(expect.objectContaining({ code: 'bad-input' }))
    few.close(a)
    // Its memory is let go behind what is running.
    await few.run(step(b, 0, [1], { inputs: [floats([1, 1, 64])] }))
    few.open(c, 200)
    await few.run(step(c, 0, [1], { inputs: [floats([1, 1, 64])] }))
    await few.dispose()
    expect(() => whole.open(newSession(), 513)).toThrow(expect.objectContaining({ code: 'context-overflow' }))
    for (const none of [0, -1, 1.5]) expect(() => whole.open(newSession(), none)).toThrow(expect.objectContaining({ code: 'bad-input' }))
  })
})

/** What the weights of these blocks take, as the engine itself says when it has a byte less. */
async function weightBytes(first: number, end: number): Promise<number> {
  const refused = await loadHere(tiny, first, end, { memoryBytes: 0 }).catch((thrown: unknown) => thrown as ManyhandsError)
  return Number(/take (\d+) bytes/.exec((refused as ManyhandsError).message)?.[1])
}

describe('a stage that is put away', () => {
  it('finishes the run in hand, refuses all others, and says that it is lost', async () => {
    const engine = await loadHere(tiny, 0, 2)
    const session = newSession()
    engine.open(session, room)
    const running = engine.run(step(session, 0, prompt))
    const disposed = engine.dispose()
    const late = engine.run(step(session, 40, [3]))
    expect((await running).outputs[0]?.dims).toEqual([1, 40, 64])
    await expect(late).rejects.toMatchObject({ code: 'closed' })
    engine.close(session)
    await disposed
    expect(await engine.lost).toMatchObject({ code: 'closed' })
    await expect(engine.run(step(session, 40, [3]))).rejects.toMatchObject({ code: 'closed' })
    await engine.dispose()
  })
})

describe('loading a stage', () => {
  /** The model with some of its files changed; hashes are the blob store's to check. */
  const changed = (hash: string, change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): PublishedModel => ({
    ...tiny,
    blobs: new Map([...tiny.blobs].map(([name, bytes]) => [name, name === hash ? change(bytes.slice()) : bytes])),
  })
  const shardOf = (block: number) => tiny.manifest.shards[tiny.manifest.blocks[block]?.shards[0] as number]?.hash as string

  it('is refused when a weight is another than the publisher had', async () => {
    const model = changed(shardOf(2), (bytes) => {
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 0x40
      return bytes
    })
    await expect(loadHere(model, 2, 4)).rejects.toMatchObject({
      code: 'engine-failed',
      message: expect.stringContaining('computes wrongly') as string,
    })
  })

  it('is refused when a shard is shorter than the graph reads', async () => {
    const model = changed(shardOf(2), (bytes) => bytes.slice(0, 100))
    await expect(loadHere(model, 2, 4)).rejects.toBeInstanceOf(ManyhandsError)
  })

  it('is refused when the graph reads a shard that its blocks do not name', async () => {
    const { manifest } = tiny
    const model = { ...tiny, manifest: { ...manifest, blocks: manifest.blocks.map((block) => ({ ...block, shards: [] })) } }
    await expect(loadHere(model, 2, 4)).rejects.toMatchObject({ code: 'bad-model' })
  })

  it.each([
    ['of fewer rows', [1, 20, 64]],
    ['of another width', [1, 40, 32]],
    ['of another rank', [40, 64]],
  ])('is refused when the golden activations are %s', async (_, dims) => {
    const bytes = new Uint8Array(dims.reduce((a, b) => a * b, 4))
    const model = changed(tiny.manifest.golden.cuts[1]?.hash as string, () => packTensors([{ dtype: 'float32', dims, bytes }]))
    await expect(loadHere(model, 2, 4)).rejects.toMatchObject({ code: 'bad-model' })
    await expect(loadHere(model, 0, 2)).rejects.toMatchObject({ code: 'bad-model' })
  })

  it('is refused when the golden activations are other numbers', async () => {
    const model = changed(tiny.manifest.golden.cuts[1]?.hash as string, (bytes) => {
      bytes[bytes.length - 2] = (bytes[bytes.length - 2] as number) ^ 1
      return bytes
    })
    await expect(loadHere(model, 0, 2)).rejects.toMatchObject({ code: 'engine-failed' })
  })

  it('is refused when the graph is none, or another than the manifest describes', async () => {
    const { graph } = tiny.manifest
    await expect(
      loadHere(
        changed(graph.hash, () => new Uint8Array(100).fill(255)),
        0,
        2,
      ),
    ).rejects.toMatchObject({ code: 'bad-model' })
    const cyclic = changed(graph.hash, (bytes) => {
      const model = readModel(bytes)
      const [first, ...rest] = model.graph.nodes
      if (!first) throw new Error('no node')
      return writeModel({ ...model, graph: { ...model.graph, nodes: [{ ...first, inputs: [...first.inputs, 'logits'] }, ...rest] } })
    })
    await expect(loadHere(cyclic, 0, 2)).rejects.toMatchObject({ code: 'bad-model', message: expect.stringContaining('circle') as string })
    await expect(loadHere(tiny, 2, blocks + 1)).rejects.toMatchObject({ code: 'bad-model' })
  })

  it('goes on to the next backend and says why', async () => {
    const engine = await loadHere(tiny, 0, 2, { backends: ['webgpu', 'wasm'] })
    expect(engine.report).toMatchObject({ backend: 'wasm', fallbackReason: 'There is no WebGPU in Node.' })
    await engine.dispose()
    await expect(loadHere(tiny, 0, 2, { backends: ['webgpu'] })).rejects.toMatchObject({ code: 'unsupported' })
    await expect(loadHere(tiny, 0, 2, { backends: [] })).rejects.toMatchObject({ code: 'bad-input' })
  })

  it('needs room for the weights, and for the golden check beside them', async () => {
    const bytes = await weightBytes(2, 4)
    await expect(loadHere(tiny, 2, 4, { memoryBytes: bytes - 1 })).rejects.toMatchObject({ code: 'out-of-memory' })
    await expect(loadHere(tiny, 2, 4, { memoryBytes: bytes })).rejects.toMatchObject({ code: 'out-of-memory' })
  })

  it('passes on what the blob store throws', async () => {
    const lost = new ManyhandsError('hash-mismatch', 'Other bytes came.')
    const blobs = { ...publishedBlobs(tiny), get: () => Promise.reject(lost) }
    await expect(loadHere(tiny, 0, 2, {}, { ort: ortFromPackage(), blobs })).rejects.toBe(lost)
  })
})
