/**
 * One request as the page follows it, whatever is asked: how far it is, who computed it, how fast, and its receipt.
 */
import { asError, type ManyhandsError } from '../../../protocol/errors.ts'
import type { Progress, Receipt, StageInfo, Timing } from '../../../sdk/types.ts'

export type AskedPhase = 'asking' | Progress['phase'] | 'done' | 'stopped' | 'failed'

export class Asked {
  phase: AskedPhase = $state('asking')
  /** Requests before this one, while queued. */
  ahead = $state(0)
  tokens = $state(0)
  promptTokens = $state(0)
  /** Tokens a second so far, without the first. */
  rate = $state(0)
  error: ManyhandsError | undefined = $state.raw()
  stages: readonly StageInfo[] = $state.raw([])
  timing: Timing | undefined = $state.raw()
  totalMs = $state(0)
  receipt: Receipt | undefined = $state.raw()
  /** Why there is none. */
  receiptError: ManyhandsError | undefined = $state.raw()
  readonly over: boolean = $derived(this.phase === 'done' || this.phase === 'stopped' || this.phase === 'failed')
  readonly #startedAt = performance.now()
  #firstAt = 0
  readonly #abort = new AbortController()

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  stop(): void {
    this.#abort.abort()
  }

  progress(progress: Progress): void {
    if (this.over) return
    this.phase = progress.phase
    if (progress.phase === 'queued') this.ahead = progress.ahead
    if (progress.phase === 'prompt') this.promptTokens = progress.promptTokens
    if (progress.phase === 'answer') this.#answered(progress.tokens)
  }

  #answered(tokens: number): void {
    const at = performance.now()
    if (this.tokens === 0) this.#firstAt = at
    else this.rate = ((tokens - 1) * 1000) / Math.max(1, at - this.#firstAt)
    this.tokens = tokens
  }

  done(stages: readonly StageInfo[], receipt: Promise<Receipt>, timing?: Timing): void {
    this.phase = 'done'
    this.totalMs = performance.now() - this.#startedAt
    this.stages = stages
    this.timing = timing
    receipt.then(
      (value) => (this.receipt = value),
      (thrown: unknown) => (this.receiptError = asError(thrown)),
    )
  }

  fail(thrown: unknown): void {
    const error = asError(thrown)
    this.phase = error.code === 'aborted' ? 'stopped' : 'failed'
    this.error = error
  }
}
