/**
 * A loaded stage as the ring knows it: sessions with their caches, steps one at a time, every input checked, and one way to
 * end: `lost`, after which the owner starts another worker.
 */
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { BlockRange, Manifest } from '../../protocol/manifest.ts'
import { elementCount, type TensorSpec } from '../../protocol/tensors.ts'
import type { StageEngine, StageReport, StepInput, StepOutput } from './engine.ts'
import type { RunQueue } from './run-queue.ts'
import type { SessionCaches } from './session-caches.ts'
import type { Stage } from './stage.ts'

export interface LoadedStage {
  readonly stage: Stage
  readonly range: BlockRange
  readonly report: StageReport
  readonly queue: RunQueue
  /** Absent for a model without a decoder. */
  readonly caches: SessionCaches | undefined
  readonly release: () => Promise<void>
  /** Elements of the inputs that the blocks' cost was counted with; of a decoder none, whose rows are all of one size. */
  readonly measuredElements?: number
}

/** Errors of a run after which the engine is as good as before. */
const harmless = new Set(['not-finite', 'out-of-memory', 'bad-input'])
/**
 * Multiply-accumulates of one run at most, unless the goldens take more: a worker hears nothing while it runs, and must not be taken
 * for lost. A photo's 960 x 960 take a sixth of them, and 0.6 s on one core of a desktop.
 */
export const mostRunCost = 30e9

export class LoadedStageEngine implements StageEngine {
  readonly manifest: Manifest
  readonly range: BlockRange
  readonly report: StageReport
  readonly inputSpecs: readonly TensorSpec[]
  readonly outputSpecs: readonly TensorSpec[]
  readonly lost: Promise<Error>
  readonly #loaded: LoadedStage

  constructor(loaded: LoadedStage) {
    this.#loaded = loaded
    this.manifest = loaded.stage.manifest
    this.range = loaded.range
    this.report = loaded.report
    this.inputSpecs = loaded.stage.graph.inputSpecs
    this.outputSpecs = loaded.stage.graph.outputSpecs
    this.lost = loaded.queue.lost
  }

  open(session: SessionId, maxPositions: number): void {
    this.#loaded.caches?.open(session, maxPositions)
  }

  held(session: SessionId): number {
    return this.#loaded.caches?.get(session)?.held ?? 0
  }

  rollback(session: SessionId, position: number): void {
    const cache = this.#loaded.caches?.get(session)
    if (cache) cache.held = Math.min(cache.held, Math.max(0, position))
  }

  close(session: SessionId): void {
    const release = this.#loaded.caches?.close(session)
    // A run may be using the cache: its memory is let go after that.
    if (release) this.#loaded.queue.take(async () => release()).catch(() => undefined)
  }

  async run(step: StepInput): Promise<StepOutput> {
    const { stage, caches, queue, report } = this.#loaded
    const { rows, position, logitsFrom } = step
    if (!Number.isInteger(rows) || rows < 1 || rows > report.rowLimit) throw bad(`${rows} rows; a run here has 1 to ${report.rowLimit}`)
    if (!Number.isInteger(logitsFrom) || logitsFrom < 0 || logitsFrom > rows) throw bad(`logits from row ${logitsFrom} of ${rows}`)
    stage.check(step)
    this.#checkSize(step)
    return queue.take(async () => {
      const cache = caches?.get(step.session)
      if (caches && !cache) throw new ManyhandsError('closed', `Session ${step.session} is not open here.`)
      if (cache && position !== cache.held) throw bad(`position ${position}, but ${cache.held} are held`)
      if (cache && position + rows > cache.maxPositions) {
        throw new ManyhandsError(
          'context-overflow',
          `The session was opened for ${cache.maxPositions} positions; this step ends at ${position + rows}.`,
        )
      }
      try {
        return await stage.run(step, cache)
      } catch (thrown) {
        const error = this.#asSizes(asError(thrown, 'engine-failed'))
        if (!harmless.has(error.code)) queue.end(error)
        throw error
      }
    })
  }

  /** Whoever asks decides how large the inputs of a model without a decoder are. @throws ManyhandsError bad-input */
  #checkSize({ inputs }: StepInput): void {
    const { measuredElements } = this.#loaded
    if (measuredElements === undefined) return
    const { first, end } = this.range
    const golden = this.manifest.blocks.slice(first, end).reduce((sum, { cost }) => sum + cost, 0)
    const cost = golden * (inputs.reduce((sum, { dims }) => sum + elementCount(dims), 0) / measuredElements)
    if (cost > Math.max(mostRunCost, golden))
      throw new ManyhandsError(
        'bad-input',
        `Inputs of this size are ${(cost / mostRunCost).toFixed(1)} times what is computed in one run at most. Ask for less at once.`,
      )
  }

  /** Sizes that the graph can't take (a picture whose sides don't halve) stop a wasm run cleanly: the inputs are at fault. */
  #asSizes(error: ManyhandsError): ManyhandsError {
    const { measuredElements, report } = this.#loaded
    if (measuredElements === undefined || report.backend !== 'wasm' || error.code !== 'engine-failed' || error.cause !== undefined)
      return error
    return new ManyhandsError('bad-input', `The model can't take inputs of these sizes. ${error.message}`)
  }

  /**
   * Frees what can be freed. A wasm heap never shrinks and a GPU's weights go with their process, so the owner ends the worker
   * as well: a new assignment takes a new worker.
   */
  async dispose(): Promise<void> {
    const { queue, release } = this.#loaded
    await queue.close(release, new ManyhandsError('closed', 'The stage was put away.'))
  }
}

const bad = (what: string) => new ManyhandsError('bad-input', `Step refused: ${what}.`)
