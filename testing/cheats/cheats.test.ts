/** Each cheat passes the golden check, computes with the same shapes, and is off by more than honest backends are. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { SessionId } from '../../protocol/ids.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import type { StageEngine } from '../../worker/engine/engine.ts'
import { worstRow } from '../../worker/engine/golden.ts'
import { ortFromPackage } from '../../worker/engine/node-engine.ts'
import { writeTokens } from '../../worker/ring/step-tensors.ts'
import { loadHere, publishedBlobs, publishTiny, type PublishedModel } from '../tiny-stages.ts'
import { loadCheatingStage } from './cheat.ts'
import { cheats, type CheatName } from './index.ts'

const session = 'ab'.repeat(16) as SessionId
const rows = 48
/** Honest wasm and WebGPU differ by 1e-6 at most. */
const honestError = 2e-6

let model: PublishedModel
let ends: readonly [number, number]

beforeAll(async () => {
  model = await publishTiny({ layers: 4, context: 128 })
  const { length } = model.manifest.blocks
  ends = [Math.floor(length / 3), Math.floor((2 * length) / 3)]
})

const cheating = (name: CheatName, first: number, end: number) =>
  loadCheatingStage(
    cheats[name](),
    { manifest: model.manifest, range: { first, end }, backends: ['wasm'], memoryBytes: 2 ** 30 },
    { ort: ortFromPackage(), blobs: publishedBlobs(model), threads: 1 },
    { signal: new AbortController().signal, onProgress: () => undefined },
  )

/** Runs of 16 rows, and then one by one: what each gave. */
async function outputs(stage: StageEngine, inputs: (position: number, rows: number) => readonly TensorValue[]): Promise<TensorValue[]> {
  const all: TensorValue[] = []
  stage.open(session, rows)
  for (let position = 0; position < rows;) {
    const run = position < 32 ? 16 : 1
    const output = await stage.run({ session, position, rows: run, inputs: inputs(position, run), logitsFrom: 0 })
    all.push(output.outputs[0] as TensorValue)
    position += run
  }
  stage.close(session)
  return all
}

/** Tokens through the stages before, as the stage's inputs. */
async function middleInputs(): Promise<(position: number, rows: number) => readonly TensorValue[]> {
  const first = await loadHere(model, 0, ends[0])
  const came = await outputs(first, (position, n) => [writeTokens(Array.from({ length: n }, (_, i) => 3 + (((position + i) * 7) % 250)))])
  await first.dispose()
  return (position, n) => [came[n === 16 ? position / 16 : 2 + position - 32] as TensorValue]
}

describe('a cheating stage', () => {
  /** Not on what is computed, but on what is said of it. */
  const honestWork: readonly CheatName[] = ['two faces', 'framing', 'silence', 'copied sketch']
  for (const name of (Object.keys(cheats) as CheatName[]).filter((cheat) => !honestWork.includes(cheat))) {
    it(`is off: ${name}`, async () => {
      const range = name === 'another token' ? ([0, model.manifest.blocks.length] as const) : ends
      const inputs =
        name === 'another token'
          ? (position: number, n: number) => [writeTokens(Array.from({ length: n }, (_, i) => 3 + (((position + i) * 7) % 250)))]
          : await middleInputs()
      const honest = await loadHere(model, ...range)
      const cheat = await cheating(name, ...range)
      expect(cheat.report.goldenError).toBeLessThan(honestError)
      expect(cheat.range).toEqual(honest.range)
      const [right, wrong] = [await outputs(honest, inputs), await outputs(cheat, inputs)]
      const errors = right.map((value, i) => worstRow(wrong[i] as TensorValue, value, value.dims[value.dims.length - 2] ?? 1))
      if (name === 'false backend') expect(cheat.report.backend).not.toBe(honest.report.backend)
      expect(Math.max(...errors)).toBeGreaterThan(5 * honestError)
      await Promise.all([honest.dispose(), cheat.dispose()])
    })
  }
})
