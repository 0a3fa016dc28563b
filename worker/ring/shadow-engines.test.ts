/** Audits by real engines, whose wasm runs are equal to the bit: every stage of an answer, honest and not. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { loadCheatingStage } from '../../testing/cheats/cheat.ts'
import { cheats, type CheatName } from '../../testing/cheats/index.ts'
import { ShadowScene, writeDown } from '../../testing/shadows.ts'
import { loadHere, publishedBlobs, publishTiny, type PublishedModel } from '../../testing/tiny-stages.ts'
import type { StageEngine } from '../engine/engine.ts'
import { ortFromPackage } from '../engine/node-engine.ts'

const prompt = Array.from({ length: 37 }, (_, i) => 3 + ((i * 7) % 250))
const runs = [13, 12, 12]
let model: PublishedModel
let ends: readonly number[]
let scene: ShadowScene | undefined

beforeAll(async () => {
  model = await publishTiny({ layers: 4, context: 128 })
  const { length } = model.manifest.blocks
  ends = [0, Math.floor(length / 3), Math.floor((2 * length) / 3), length]
}, 60_000)

afterEach(() => scene?.stop())

const load = (stage: number) => loadHere(model, ends[stage] as number, ends[stage + 1] as number)
const all = (instead: ReadonlyMap<number, StageEngine> = new Map()) =>
  Promise.all([0, 1, 2].map((stage) => Promise.resolve(instead.get(stage) ?? load(stage))))

const cheating = (name: CheatName, stage: number) =>
  loadCheatingStage(
    cheats[name](),
    {
      manifest: model.manifest,
      range: { first: ends[stage] as number, end: ends[stage + 1] as number },
      backends: ['wasm'],
      memoryBytes: 2 ** 30,
    },
    { ort: ortFromPackage(), blobs: publishedBlobs(model), threads: 1 },
    { signal: new AbortController().signal, onProgress: () => undefined },
  )

describe('[SH4] an audit on wasm', () => {
  it('is equal to the bit for every honest stage, on a cache of another size', async () => {
    const written = await writeDown(await all(), prompt, runs, 40, { temperature: 0.8, topP: 0.9, seed: 5 })
    for (const stage of [0, 1, 2]) {
      scene = await ShadowScene.start(written, await load(stage))
      const ticket = await scene.ticket(stage)
      expect(await scene.answerTo(ticket)).toMatchObject({ t: 'audited', ...(await scene.expected(ticket)) })
      scene.stop()
    }
  }, 60_000)

  for (const name of ['skipped layer', 'f16 weights in one layer', 'f16 cache', 'a small error'] as const) {
    it(`is not for a stage that cheats: ${name}`, async () => {
      const written = await writeDown(await all(new Map([[1, await cheating(name, 1)]])), prompt, runs, 12)
      scene = await ShadowScene.start(written, await load(1))
      const ticket = await scene.ticket(1)
      const { inputs, outputs } = await scene.expected(ticket)
      const told = await scene.answerTo(ticket)
      expect(told).toMatchObject({ t: 'audited', inputs })
      // A cache is rounded where rows are read back: a first run may be right.
      expect(told.t === 'audited' && told.outputs[0]?.filter((hash, i) => hash === outputs[0]?.[i])).toEqual([])
    }, 60_000)
  }
})
