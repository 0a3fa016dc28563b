/**
 * A decoder stage small enough to know by heart, for tests of the ring around it: each block adds its number and the sum of
 * the rows held so far, so that a wrong position, a lost row or a missing rollback changes the answer.
 */
import { deferred } from '../link/deferred.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { Hash, SessionId } from '../protocol/ids.ts'
import { parseManifest, type BlockRange, type Manifest } from '../protocol/manifest.ts'
import type { TensorSpec, TensorValue } from '../protocol/tensors.ts'
import type { StageEngine, StageReport, StepInput, StepOutput } from '../worker/engine/engine.ts'
import { float32View } from '../worker/ring/step-tensors.ts'

export const toyVocab = 97
export const toyEnd = 96
const width = 4
const blob = { hash: '00'.repeat(32) as Hash, bytes: 1 }
const hidden: TensorSpec = { name: 'hidden', dtype: 'float32', shape: ['batch_size', 'sequence_length', width] }

export function toyManifest(blocks: number): Manifest {
  const decoder = { layers: blocks, kvHeads: 1, headDim: width, vocab: toyVocab, context: 512, eos: [toyEnd] }
  return parseManifest({
    v: 1,
    name: 'toy',
    title: 'Toy',
    task: 'text-generation',
    license: 'Apache-2.0',
    origin: 'made for tests',
    graph: blob,
    inputs: [{ name: 'input_ids', dtype: 'int64', shape: ['batch_size', 'sequence_length'], role: 'tokens' }],
    outputs: [{ name: 'logits', dtype: 'float32', shape: ['batch_size', 'sequence_length', toyVocab], role: 'logits' }],
    blocks: Array.from({ length: blocks }, () => ({ shards: [0], residentBytes: 1, cost: 1 })),
    cuts: Array.from({ length: blocks - 1 }, () => ({ tensors: [hidden] })),
    shards: [blob],
    decoder,
    golden: { runs: [32], inputs: blob, cuts: Array.from({ length: blocks - 1 }, () => blob), outputs: blob, outputRows: [31] },
  })
}

const report: StageReport = {
  backend: 'wasm',
  threads: 1,
  adapter: '',
  rowLimit: 32,
  msPerRow: 1,
  goldenError: 0,
  fetchedBytes: 0,
  storedBytes: 0,
  cachePositions: 4096,
  fallbackReason: '',
  notKept: '',
}

export class ToyEngine implements StageEngine {
  readonly report = report
  readonly manifest: Manifest
  readonly range: BlockRange
  readonly inputSpecs: readonly TensorSpec[]
  readonly outputSpecs: readonly TensorSpec[]
  readonly #lost = deferred<Error>()
  readonly lost = this.#lost.promise
  readonly #held = new Map<SessionId, number[]>()
  /** Runs when set, before each step: throw, wait or count there. */
  before: (step: StepInput) => void | Promise<void> = () => undefined

  constructor(manifest: Manifest, range: BlockRange) {
    this.manifest = manifest
    this.range = range
    const [tokens] = manifest.inputs
    this.inputSpecs = range.first === 0 ? [{ name: 'input_ids', dtype: 'int64', shape: tokens?.shape ?? [] }] : [hidden]
    this.outputSpecs = range.end === manifest.blocks.length ? [{ name: 'logits', dtype: 'float32', shape: ['rows', toyVocab] }] : [hidden]
  }

  open(session: SessionId): void {
    this.#held.set(session, [])
  }

  held(session: SessionId): number {
    return this.#held.get(session)?.length ?? 0
  }

  rollback(session: SessionId, position: number): void {
    this.#held.get(session)?.splice(position)
  }

  close(session: SessionId): void {
    this.#held.delete(session)
  }

  get openSessions(): number {
    return this.#held.size
  }

  async run(step: StepInput): Promise<StepOutput> {
    await this.before(step)
    const held = this.#held.get(step.session)
    if (held?.length !== step.position) throw new ManyhandsError('internal', `Toy stage holds ${held?.length} rows, not ${step.position}.`)
    const [input] = step.inputs as [TensorValue]
    const rows = new Float32Array(step.rows * width)
    if (this.range.first === 0) {
      const ids = new BigInt64Array(input.bytes.slice().buffer)
      ids.forEach((id, r) => rows.fill(Number(id), r * width, (r + 1) * width))
    } else rows.set(float32View(input.bytes))
    for (let r = 0; r < step.rows; r++) {
      const past = held.reduce((sum, x) => (sum + x) % 1009, 0)
      held.push(rows[r * width] as number)
      for (let i = 0; i < width; i++) rows[r * width + i] = ((rows[r * width + i] as number) * 3 + past + this.range.first + i) % 1009
    }
    if (this.range.end < this.manifest.blocks.length) return { outputs: [f32(rows, [1, step.rows, width])], runMs: 1 }
    const wanted = step.rows - step.logitsFrom
    const logits = new Float32Array(wanted * toyVocab)
    for (let r = 0; r < wanted; r++) logits[r * toyVocab + ((rows[(step.logitsFrom + r) * width] as number) % toyVocab)] = 1
    return { outputs: wanted > 0 ? [f32(logits, [wanted, toyVocab])] : [], runMs: 1 }
  }

  lose(error: Error): void {
    this.#lost.resolve(error)
  }

  async dispose(): Promise<void> {
    this.#held.clear()
  }
}

const f32 = (data: Float32Array, dims: number[]): TensorValue => ({ dtype: 'float32', dims, bytes: new Uint8Array(data.buffer) })

/** The answer by the definition, without stages, runs or caches. */
export function toyAnswer(prompt: readonly number[], boundaries: readonly number[], maxTokens: number): number[] {
  const stages = boundaries.slice(0, -1).map((first) => ({ first, held: [] as number[] }))
  const feed = (id: number): number => {
    let x = id
    for (const { first, held } of stages) {
      const past = held.reduce((sum, y) => (sum + y) % 1009, 0)
      held.push(x)
      x = (x * 3 + past + first) % 1009
    }
    return x % toyVocab
  }
  const out: number[] = []
  let next = 0
  for (const id of prompt) next = feed(id)
  for (;;) {
    out.push(next)
    if (next === toyEnd || out.length >= maxTokens) return out
    next = feed(next)
  }
}
