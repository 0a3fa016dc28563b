/**
 * One pipeline's results for some feeds, checked against the last stage's signature; and the asking of them, by one pipeline
 * or by a quorum.
 */
import { deferred } from '../../link/deferred.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Revision, SessionId } from '../../protocol/ids.ts'
import { unpackTensors, type TensorSpec, type TensorValue } from '../../protocol/tensors.ts'
import type { RunOptions } from '../types.ts'
import type { Asked } from './follow.ts'
import { Quorum, type Pipeline, type PipelineTerms } from './quorum.ts'
import { sameResults } from './same-results.ts'
import type { SessionNews } from './session-news.ts'
import type { OpenSession, SessionSource } from './session-source.ts'

/** What is to be computed. */
export interface Job {
  readonly revision: Revision
  /** Packed, so many tensors. */
  readonly feeds: Uint8Array<ArrayBuffer>
  readonly feedTensors: number
  readonly results: readonly TensorSpec[]
  readonly pipelines: number
  readonly options: RunOptions
}

export interface RunAnswer {
  readonly values: readonly TensorValue[]
  /** As they came and were signed. */
  readonly packed: Bytes
  readonly signature: Bytes
}

export class RunPipeline implements Pipeline<RunAnswer> {
  readonly news: SessionNews
  readonly #job: Job
  readonly #asking: OpenSession
  readonly #answer = deferred<RunAnswer>()
  #packed: Uint8Array | undefined

  static async open(source: SessionSource, job: Job, terms: PipelineTerms): Promise<RunPipeline> {
    const tensors = { feeds: job.feedTensors, answer: job.results.length }
    const all = { ...terms, revision: job.revision, maxPositions: 1, sampling: null, tensors }
    // No step comes before `begin`.
    const { asking, news } = await source.open(all, (step) => pipeline.take(step.payload), job.options)
    const pipeline = new RunPipeline(job, asking, news)
    return pipeline
  }

  private constructor(job: Job, asking: OpenSession, news: SessionNews) {
    this.#job = job
    this.#asking = asking
    this.news = news
    this.#answer.promise.catch(() => undefined)
    this.#finish().then(this.#answer.resolve, (thrown: unknown) => this.#answer.reject(asError(thrown)))
  }

  get session(): SessionId {
    return this.#asking.ticket.session
  }

  get stages() {
    return this.#asking.ticket.stages
  }

  get answer(): Promise<RunAnswer> {
    return this.#answer.promise
  }

  begin(): void {
    this.#asking.start(1, 0)
    this.#asking.send(0, 1, this.#job.feeds)
    this.#asking.flush().catch((thrown: unknown) => this.#asking.fail(asError(thrown)))
  }

  take(payload: Uint8Array): void {
    this.#packed = payload
  }

  drop(): void {
    this.#asking.fail(new ManyhandsError('aborted', 'Not wanted any more.'))
  }

  async #finish(): Promise<RunAnswer> {
    const { signature } = await this.#asking.ended
    const packed = this.#packed
    if (!packed) throw new ManyhandsError('peer-lost', 'The session ended without a result.')
    await this.#asking.checkAnswer(packed, signature)
    return { values: unpackTensors(packed, this.#job.results), packed: packed.slice(), signature: signature as Bytes }
  }
}

/** Results, and the pipelines that agree on them. */
export interface RunAgreed {
  readonly answer: RunAnswer
  readonly pipelines: readonly RunPipeline[]
}

export class RunAsking implements Asked<RunAgreed> {
  readonly answer: Promise<RunAgreed>
  readonly quorum: Quorum<RunAnswer, RunPipeline>

  constructor(source: SessionSource, job: Job, corrects: SessionId | undefined) {
    const backends = (pipeline: RunPipeline) => pipeline.stages.map(({ backend }) => backend)
    this.quorum = new Quorum(job.pipelines, corrects, {
      open: (terms) => RunPipeline.open(source, job, terms),
      agree: (a, b) => {
        if (!a.answer || !b.answer) return true
        return sameResults(
          { values: a.answer.values, backends: backends(a.pipeline) },
          { values: b.answer.values, backends: backends(b.pipeline) },
        )
      },
      dispute: (sessions) => source.dispute(sessions),
    })
    this.answer = this.#ask()
    this.answer.catch(() => undefined)
  }

  async #ask(): Promise<RunAgreed> {
    await this.quorum.start()
    const pipelines = await this.quorum.agreed
    const [first] = pipelines as readonly [RunPipeline]
    return { answer: await first.answer, pipelines }
  }
}
