/**
 * One request as the page follows it, whatever is asked: how far it is, who computed it, how fast, how sure it is by now, and
 * its receipt.
 */
import { asError, type ManyhandsError } from '../../../protocol/errors.ts'
import type { Progress, Proofs, Receipt, ReceiptFileJson, StageInfo, Timing } from '../../../sdk/types.ts'
import { checkedWords, type CheckedWords } from '../words/checked.ts'
import type { Checking } from './checking.svelte.ts'

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
  /** Why it waits, while a part of the pipeline is replaced. */
  pause = $state('')
  stages: readonly StageInfo[] = $state.raw([])
  timing: Timing | undefined = $state.raw()
  totalMs = $state(0)
  /** The latest. */
  receipt: Receipt | undefined = $state.raw()
  /** Of every pipeline that agreed. */
  receipts: readonly Receipt[] = $state.raw([])
  /** Why there is none. */
  receiptError: ManyhandsError | undefined = $state.raw()
  /** Everything that proves it, as a file. */
  record: (() => Promise<ReceiptFileJson>) | undefined = $state.raw()
  /** Why it was found wrong: while it is asked again, and once something else has taken its place. */
  #correcting: string | undefined = $state()
  #corrected: string | undefined = $state()
  /** No more is to be heard of how it was checked. */
  protected unheard = $state(false)
  readonly pipelines: number
  readonly over: boolean = $derived(this.phase === 'done' || this.phase === 'stopped' || this.phase === 'failed')
  readonly checked: CheckedWords = $derived.by(() =>
    checkedWords({
      pipelines: this.pipelines,
      done: this.phase === 'done',
      correcting: this.#correcting,
      corrected: this.#corrected,
      receipt: this.receipt,
      unheard: this.unheard,
    }),
  )
  readonly #startedAt = performance.now()
  #firstAt = 0
  readonly #abort = new AbortController()

  constructor(checking: Checking) {
    this.pipelines = checking.pipelines
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  stop(): void {
    this.#abort.abort()
  }

  progress(progress: Progress): void {
    if (progress.phase === 'correcting') this.#correcting = progress.reason
    if (this.over) return
    this.phase = progress.phase
    if (progress.phase === 'waiting') this.pause = progress.reason
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

  /** Something else has taken the place of what was shown. */
  replaced(reason: string): void {
    this.#correcting = undefined
    this.#corrected = reason
  }

  done(stages: readonly StageInfo[], proofs: Proofs, timing?: Timing): void {
    this.timing = timing
    this.record = () => proofs.record()
    this.ended(stages)
    void this.#hear(proofs)
  }

  /** It is all there. */
  protected ended(stages: readonly StageInfo[]): void {
    this.phase = 'done'
    this.totalMs = performance.now() - this.#startedAt
    this.stages = stages
    this.#correcting = undefined
  }

  /** The receipts as they come, up to the last. */
  async #hear({ receipt, receipts, settled }: Proofs): Promise<void> {
    try {
      this.receipt = await receipt
      this.receipts = await receipts
    } catch (thrown) {
      this.receiptError = asError(thrown)
    }
    try {
      this.receipt = await settled
      this.#correcting = undefined
    } catch {
      this.unheard = true
    }
  }

  fail(thrown: unknown): void {
    const error = asError(thrown)
    this.phase = error.code === 'aborted' ? 'stopped' : 'failed'
    this.error = error
  }
}
