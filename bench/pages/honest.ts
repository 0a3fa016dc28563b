/**
 * Sessions whose outcome two honest peers must agree on: the same tokens in the same runs through two stages, the second on
 * the backend under test, and of every chunk what an audit would compare. The same code in a tab's worker and in Node.
 */
import { sha256 } from '../../protocol/hash.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { chunkRows } from '../../protocol/limits.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { sketchRows } from '../../protocol/sketch.ts'
import type { Backend } from '../../protocol/ticket.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import type { StageEngine } from '../../worker/engine/engine.ts'
import { loadStage, type StagePlatform } from '../../worker/engine/load-stage.ts'
import { float32View, writeTokens } from '../../worker/ring/step-tensors.ts'

export interface HonestSetup {
  /** Base URL of everything, ending in a slash. */
  readonly base: string
  /** Below it, the manifest's path. */
  readonly manifest: string
  /** Blocks of the second stage; the first has those before. */
  readonly range: { readonly first: number; readonly end: number }
  readonly backend: Backend
  readonly threads: number
}

export interface HonestTask {
  readonly seed: number
  /** Chunks of 32 rows. */
  readonly chunks: number
  /** Rows that a run has at most. */
  readonly mostRows: number
}

export interface HonestChunk {
  readonly hash: string
  /** f32, 4 a row; only asked of backends that are compared by sketch. */
  readonly sketch: readonly number[]
}

const memoryBytes = 2 * 1024 ** 3

export class HonestPeer {
  readonly #before: StageEngine
  readonly #stage: StageEngine
  readonly #vocab: number
  /** What it is, in a few words. */
  readonly name: string
  readonly rowLimit: number

  static async load(setup: HonestSetup, manifest: Manifest, platform: StagePlatform): Promise<HonestPeer> {
    const load = (first: number, end: number, backend: Backend) =>
      loadStage(
        { manifest, range: { first, end }, backends: [backend], memoryBytes },
        { ...platform, threads: setup.threads },
        { signal: new AbortController().signal, onProgress: () => undefined },
      )
    const before = await load(0, setup.range.first, 'wasm')
    return new HonestPeer(before, await load(setup.range.first, setup.range.end, setup.backend), manifest)
  }

  private constructor(before: StageEngine, stage: StageEngine, { decoder }: Manifest) {
    this.#before = before
    this.#stage = stage
    this.#vocab = decoder?.vocab ?? 1
    const { backend, threads, adapter, rowLimit } = stage.report
    this.name = backend === 'wasm' ? `wasm, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : `WebGPU, ${adapter}`
    this.rowLimit = rowLimit
  }

  async chunks({ seed, chunks, mostRows }: HonestTask): Promise<HonestChunk[]> {
    const random = mulberry32(seed)
    const session = `honest-${seed}` as SessionId
    const all: HonestChunk[] = []
    for (const engine of [this.#before, this.#stage]) engine.open(session, chunks * chunkRows)
    try {
      let position = 0
      for (let chunk = 0; chunk < chunks; chunk++) {
        const parts: Uint8Array[] = []
        let dims: readonly number[] = []
        for (let left = chunkRows; left > 0;) {
          // Prompts at first, then token by token, as a conversation goes.
          const rows = chunk % 2 === 0 ? Math.min(left, 1 + Math.floor(random() * mostRows)) : 1
          const ids = Array.from({ length: rows }, () => Math.floor(random() * this.#vocab))
          const before = await this.#before.run({ session, position, rows, inputs: [writeTokens(ids)], logitsFrom: rows })
          const output = await this.#stage.run({ session, position, rows, inputs: before.outputs, logitsFrom: 0 })
          const [value] = output.outputs as readonly [TensorValue]
          parts.push(value.bytes)
          dims = value.dims
          position += rows
          left -= rows
        }
        const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
        let at = 0
        for (const part of parts) {
          bytes.set(part, at)
          at += part.length
        }
        const width = dims.at(-1) ?? 1
        const sketch = sketchRows(float32View(bytes), width, new Uint8Array(32).fill(seed & 255), { position: chunk * chunkRows })
        all.push({ hash: await sha256(bytes), sketch: [...sketch] })
      }
      return all
    } finally {
      for (const engine of [this.#before, this.#stage]) engine.close(session)
    }
  }
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
