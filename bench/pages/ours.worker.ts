/** The whole model on our engine, in one worker of one tab: what a pipeline is measured against. */
import * as Comlink from 'comlink'
import { storedBlobs, defaultLimitBytes } from '../../worker/blobs/stored-blobs.ts'
import { OpfsFiles } from '../../worker/blobs/opfs-files.ts'
import type { StageEngine } from '../../worker/engine/engine.ts'
import { loadStage } from '../../worker/engine/load-stage.ts'
import { ortFromUrl } from '../../worker/engine/ort-source.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import { likeliest, promptIds, type PassTimes, type Yardstick, type YardstickSetup } from './yardstick.ts'

const memoryBytes = 2 * 1024 ** 3
let engine: StageEngine | undefined
let base = ''
let passes = 0

const ours: Yardstick = {
  async load(setup: YardstickSetup) {
    base = setup.base
    const manifest = (await (await fetch(`${base}material/manifest.json`)).json()) as Manifest
    const request = { manifest, range: { first: 0, end: manifest.blocks.length }, backends: ['wasm'] as const, memoryBytes }
    const blobs = storedBlobs({ blobsUrl: `${base}blobs/`, files: new OpfsFiles(), limitBytes: defaultLimitBytes })
    const platform = { ort: ortFromUrl(`${base}ort/`), blobs, threads: setup.threads }
    engine = await loadStage(request, platform, { signal: new AbortController().signal, onProgress: () => undefined })
    return `Manyhands, wasm, ${engine.report.threads} threads`
  },

  async pass(promptTokens: number, answerTokens: number): Promise<PassTimes> {
    if (!engine) throw new Error('load first')
    const session = `pass-${passes++}` as SessionId
    const prompt = await promptIds(base, promptTokens)
    engine.open(session, promptTokens + answerTokens)
    try {
      const start = performance.now()
      let token = await step(engine, session, 0, prompt)
      const first = performance.now()
      for (let i = 0; i < answerTokens; i++) token = await step(engine, session, promptTokens + i, [token])
      return { promptTokens, promptMs: first - start, answerTokens, answerMs: performance.now() - first }
    } finally {
      engine.close(session)
    }
  },
}

async function step(engine: StageEngine, session: SessionId, position: number, ids: readonly number[]): Promise<number> {
  const bytes = new Uint8Array(BigInt64Array.from(ids, BigInt).buffer)
  const tokens: TensorValue = { dtype: 'int64', dims: [1, ids.length], bytes }
  const { outputs } = await engine.run({ session, position, rows: ids.length, inputs: [tokens], logitsFrom: ids.length - 1 })
  const [logits] = outputs
  if (!logits) throw new Error('the engine gave no logits')
  return likeliest(new Float32Array(logits.bytes.buffer, logits.bytes.byteOffset, logits.bytes.length / 4), 0)
}

Comlink.expose(ours)
