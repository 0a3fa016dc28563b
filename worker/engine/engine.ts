/**
 * The contract between the ring (sessions, links, custody) and the engine (ONNX, caches, backends): one stage of one model,
 * run a step at a time. Implemented by `stage-engine.ts`.
 */
import type { SessionId } from '../../protocol/ids.ts'
import type { Backend } from '../../protocol/ticket.ts'
import type { BlockRange, Manifest } from '../../protocol/manifest.ts'
import type { TensorSpec, TensorValue } from '../../protocol/tensors.ts'

export interface LoadProgress {
  readonly phase: 'fetching' | 'preparing' | 'checking'
  /** Bytes of this phase; 0 of 0 where they don't apply. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface LoadRequest {
  readonly manifest: Manifest
  readonly range: BlockRange
  /** Backends the volunteer allows, best first; the first that passes the golden check is used. */
  readonly backends: readonly Backend[]
  /** Bound of weights and caches together, in bytes. */
  readonly memoryBytes: number
}

/** What a loaded stage is, measured; everything that shows a backend shows this one. */
export interface StageReport {
  readonly backend: Backend
  /** wasm threads in use; 1 on WebGPU. */
  readonly threads: number
  /** Adapter's words on WebGPU; empty on wasm. */
  readonly adapter: string
  /** Most rows a run may have; from the golden check. */
  readonly rowLimit: number
  /** Median milliseconds of a one-row step. */
  readonly msPerRow: number
  /** Largest relative L2 error of a row against the goldens, over the rows within the limit. */
  readonly goldenError: number
  /** Bytes fetched from the network for this load (0 on a second visit) and bytes that came from the store. */
  readonly fetchedBytes: number
  readonly storedBytes: number
  /** Why weights will have to be fetched again next time; empty when they were kept. */
  readonly notKept: string
  /** Positions of cache that fit the memory bound, over all sessions. */
  readonly cachePositions: number
  /** Why a better backend was passed over; empty when none was. */
  readonly fallbackReason: string
}

export interface StepInput {
  readonly session: SessionId
  /** Where the rows start; equals `held(session)` (roll back first). 0 for a model without a decoder. */
  readonly position: number
  readonly rows: number
  /** The cut's tensors in wire order; for the first stage the feeds (`feedSpecs`), for a decoder token ids int64 [1, rows]. */
  readonly inputs: readonly TensorValue[]
  /** Last stage of a decoder: logits are computed for rows from this index on; `rows` for none. */
  readonly logitsFrom: number
}

export interface StepOutput {
  /**
   * The next cut's tensors in wire order; of the last stage the model's outputs (for a decoder: one tensor, logits f32
   * [rows - logitsFrom, vocab], or none when no row is wanted). Bytes are the caller's to keep.
   */
  readonly outputs: readonly TensorValue[]
  /** Milliseconds inside the model run. */
  readonly runMs: number
}

export interface StageEngine {
  readonly manifest: Manifest
  readonly range: BlockRange
  readonly report: StageReport
  /** What `StepInput.inputs` must be, in order: previous cut, or feeds. */
  readonly inputSpecs: readonly TensorSpec[]
  /** What `StepOutput.outputs` will be: next cut, or results. */
  readonly outputSpecs: readonly TensorSpec[]
  /** Reserves a cache. @throws ManyhandsError out-of-memory when the bound would be passed */
  open(session: SessionId, maxPositions: number): void
  /** Rows in the session's cache; 0 without a decoder. */
  held(session: SessionId): number
  /** Drops rows from `position` on; a no-op when fewer are held. */
  rollback(session: SessionId, position: number): void
  close(session: SessionId): void
  /**
   * One step. Calls are queued: one run at a time.
   * @throws ManyhandsError bad-input (dtype, shape, rows over the limit, more than a run may cost), not-finite, engine-failed (the engine is then dead: `lost` resolves)
   */
  run(step: StepInput): Promise<StepOutput>
  /** Resolves when the engine can't go on (GPU lost, run failed or hung). */
  readonly lost: Promise<Error>
  dispose(): Promise<void>
}
