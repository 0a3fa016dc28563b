/**
 * One pipeline's answer to a prompt: the prompt out in runs, token ids in, and at the end the check that the last stage
 * signed for them.
 */
import { deferred } from '../../link/deferred.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { Finish } from '../../protocol/link-messages.ts'
import type { TokenOdds } from '../../protocol/logprobs.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { tokenBytes } from '../../protocol/receipt.ts'
import type { Sampling } from '../../protocol/sampling.ts'
import { packTensors, unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import { feedSpecs, readTokens, writeTokens } from '../../worker/ring/step-tensors.ts'
import type { CallOptions } from '../types.ts'
import type { Pipeline } from './quorum.ts'
import type { SessionNews } from './session-news.ts'
import type { OpenSession, SessionSource, SessionTerms } from './session-source.ts'

/** Rows of a prompt run: long enough to use the processor well, short enough that the stages overlap. */
const promptRunRows = 16

export interface Prompt {
  readonly manifest: Manifest
  readonly ids: readonly number[]
  readonly maxTokens: number
  readonly sampling: Sampling
  /** Of each token the odds are wanted, and of so many of the likeliest. */
  readonly logprobs?: number | undefined
}

/** Checked at its end: these ids, signed. */
export interface TokenAnswer {
  readonly finish: Finish
  readonly signature: Bytes
}

export class TokenPipeline implements Pipeline<TokenAnswer> {
  /** Every id the last stage sent, which is what it signed. */
  readonly ids: number[] = []
  /** Of each id, where they are wanted. */
  readonly odds: TokenOdds[] = []
  readonly arrivals: { readonly at: number; readonly computeMs: number }[] = []
  readonly news: SessionNews
  readonly #asking: OpenSession
  readonly #prompt: Prompt
  readonly #answer = deferred<TokenAnswer>()
  over = false

  /** @param changed a token came */
  static async open(
    source: SessionSource,
    prompt: Prompt,
    terms: Pick<SessionTerms, 'revision' | 'apart' | 'corrects'>,
    options: CallOptions,
    changed: () => void,
  ): Promise<TokenPipeline> {
    const maxPositions = prompt.ids.length + prompt.maxTokens
    const tensors = { feeds: 1, answer: 1 }
    const all = { ...terms, maxPositions, sampling: prompt.sampling, tensors }
    // No step comes before `begin`.
    const take = (step: Step, odds?: TokenOdds) => {
      pipeline.take(step, odds)
      changed()
    }
    const { asking, news } = await source.open(all, take, options)
    const pipeline = new TokenPipeline(prompt, asking, news)
    return pipeline
  }

  private constructor(prompt: Prompt, asking: OpenSession, news: SessionNews) {
    this.#prompt = prompt
    this.#asking = asking
    this.news = news
    this.#answer.promise.catch(() => undefined)
    void this.#finish()
  }

  get session(): SessionId {
    return this.#asking.ticket.session
  }

  /** With its stages as they are now. */
  get ticket() {
    return this.#asking.ticket
  }

  get answer(): Promise<TokenAnswer> {
    return this.#answer.promise
  }

  begin(): void {
    const { ids, maxTokens, logprobs, manifest } = this.#prompt
    const odds = logprobs === undefined ? undefined : { count: logprobs, vocab: manifest.decoder?.vocab ?? 0 }
    this.#asking.start(ids.length, maxTokens, odds)
    for (const { from, to } of evenRuns(ids.length, Math.min(promptRunRows, this.ticket.maxRows))) {
      this.#asking.send(from, to - from, packTensors([writeTokens(ids.slice(from, to))]))
    }
    this.#asking.flush().catch((thrown: unknown) => this.#asking.fail(asError(thrown)))
  }

  take(step: Step, odds?: TokenOdds): void {
    const { manifest } = this.#prompt
    const [value] = unpackTensors(step.payload, feedSpecs(manifest))
    this.ids.push(...readTokens(value as TensorValue, step.rows, manifest.decoder?.vocab ?? 0))
    if (odds) this.odds.push(odds)
    this.arrivals.push({ at: performance.now(), computeMs: step.computeMicros / 1000 })
  }

  /** Enough was said. */
  stop(): void {
    this.#asking.stop()
  }

  drop(): void {
    this.#asking.fail(new ManyhandsError('aborted', 'Not wanted any more.'))
  }

  async #finish(): Promise<void> {
    try {
      const { finish, signature } = await this.#asking.ended
      await this.#asking.checkAnswer(tokenBytes(this.ids), signature)
      this.over = true
      this.#answer.resolve({ finish, signature: signature as Bytes })
    } catch (thrown) {
      this.over = true
      this.#answer.reject(asError(thrown))
    }
  }
}

/** Runs of nearly equal length, so that no row is left to run alone (a run of one row rounds differently). */
export function evenRuns(length: number, most: number): { from: number; to: number }[] {
  const runs = Math.ceil(length / most)
  return Array.from({ length: runs }, (_, i) => ({ from: Math.floor((i * length) / runs), to: Math.floor(((i + 1) * length) / runs) }))
}
