/**
 * Several pipelines compute one answer, apart from one another, until enough of them agree; where they can't any more, a
 * further one decides. One pipeline alone is a quorum of one. What agreeing means is handed in.
 */
import { deferred } from '../../link/deferred.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { Receipt } from '../../protocol/receipt.ts'
import type { SessionNews } from './session-news.ts'
import type { SessionTerms } from './session-source.ts'

/** One pipeline's attempt at an answer. */
export interface Pipeline<T> {
  readonly session: SessionId
  readonly news: SessionNews
  /** Sends what is asked. */
  begin(): void
  /** Rejects when the pipeline broke off or its answer is not what was signed. */
  readonly answer: Promise<T>
  /** Its answer is not wanted any more; of no effect after its end. */
  drop(): void
}

export type Candidate<T, P extends Pipeline<T>> = {
  readonly pipeline: P
  answer?: T
  failure?: ManyhandsError
}

/** Whose volunteers must not take part, and what it does again, where there is any. */
export type PipelineTerms = Pick<SessionTerms, 'apart' | 'corrects'>

export interface QuorumPorts<T, P extends Pipeline<T>> {
  open(terms: PipelineTerms): Promise<P>
  /** Nothing that either has said so far contradicts the other. */
  agree(a: Candidate<T, P>, b: Candidate<T, P>): boolean
  /** They contradict each other: somebody should find out who is right. */
  dispute(sessions: readonly SessionId[]): void
}

export class Quorum<T, P extends Pipeline<T>> {
  readonly candidates: Candidate<T, P>[] = []
  /** Those who agree, as many as were asked for or more, in the order they were opened. */
  readonly agreed: Promise<readonly P[]>
  /** Resolves when one was found wrong that counts: it agreed, or it was the only one. */
  readonly wrong: Promise<{ session: SessionId; reason: string }>
  /** How many must agree. */
  readonly size: number
  readonly #corrects: SessionId | undefined
  readonly #ports: QuorumPorts<T, P>
  readonly #done = deferred<readonly P[]>()
  readonly #wrong = deferred<{ session: SessionId; reason: string }>()
  #counted: readonly P[] = []
  /** No pipeline is wanted any more. */
  #closed = false
  #opening = false
  /** Why no further pipeline can be had. */
  #exhausted: ManyhandsError | undefined
  #disputing = 0

  /** @param corrects the session that is done again: by one pipeline, however many were asked for */
  constructor(pipelines: number, corrects: SessionId | undefined, ports: QuorumPorts<T, P>) {
    this.size = corrects === undefined ? pipelines : 1
    this.#corrects = corrects
    this.#ports = ports
    this.agreed = this.#done.promise
    this.agreed.catch(() => undefined)
    this.wrong = this.#wrong.promise
  }

  /** Opens as many as must agree, then lets all begin. @returns whether they did */
  async start(): Promise<boolean> {
    try {
      while (this.candidates.length < this.size && !this.#closed) await this.#open()
    } catch (thrown) {
      this.#fail(this.#tooFew(asError(thrown)))
    }
    if (this.#closed) return false
    for (const { pipeline } of this.candidates) pipeline.begin()
    this.check()
    return true
  }

  /** Whenever one of them has said more. */
  check(): void {
    if (this.#closed || this.candidates.length < this.size) return
    const { agree } = this.#ports
    const alive = this.candidates.filter((c) => !c.failure)
    this.#dispute(alive.filter((a) => alive.some((b) => a !== b && !agree(a, b))))
    const winners = largestCircle(
      alive.filter((c) => c.answer !== undefined),
      agree,
    )
    if (winners.length >= this.size) return this.#agree(winners)
    if (this.#opening || largestCircle(alive, agree).length >= this.size) return
    if (this.#exhausted || this.candidates.length >= 2 * this.size - 1) return this.#fail(this.#noAgreement())
    void this.#openAnother()
  }

  /** The first one's receipt, once every one's says how its audits went. */
  async settled(): Promise<Receipt> {
    const receipts = await Promise.all((await this.agreed).map(({ news }) => news.settled))
    return receipts[0] as Receipt
  }

  /** Resolves when no more is to be heard of those who agree. */
  async over(): Promise<void> {
    await Promise.all((await this.agreed).map(({ news }) => news.over))
  }

  /** None of them is wanted any more. */
  drop(): void {
    this.#closed = true
    for (const { pipeline } of this.candidates) pipeline.drop()
  }

  async #open(): Promise<P> {
    const apart = this.candidates.map((c) => c.pipeline.session)
    const corrects = this.#corrects
    const pipeline = await this.#ports.open({
      ...(apart.length > 0 ? { apart } : {}),
      ...(corrects === undefined ? {} : { corrects }),
    })
    const candidate: Candidate<T, P> = { pipeline }
    this.candidates.push(candidate)
    void pipeline.answer
      .then(
        (answer) => (candidate.answer = answer),
        (thrown: unknown) => (candidate.failure ??= asError(thrown)),
      )
      .then(() => this.check())
    void pipeline.news.wrong.then((reason) => this.#foundWrong(candidate, reason))
    if (this.#closed) pipeline.drop()
    return pipeline
  }

  async #openAnother(): Promise<void> {
    this.#opening = true
    try {
      const pipeline = await this.#open()
      if (!this.#closed) pipeline.begin()
    } catch (thrown) {
      this.#exhausted = asError(thrown)
    } finally {
      this.#opening = false
    }
    this.check()
  }

  /** Before there is an agreement it costs one its voice; what has been agreed on is to be corrected. */
  #foundWrong(candidate: Candidate<T, P>, reason: string): void {
    const { pipeline } = candidate
    if (this.size === 1 || this.#counted.includes(pipeline)) return this.#wrong.resolve({ session: pipeline.session, reason })
    if (this.#closed) return
    candidate.failure ??= new ManyhandsError('disputed', reason)
    pipeline.drop()
    this.check()
  }

  #dispute(sides: readonly Candidate<T, P>[]): void {
    if (sides.length <= this.#disputing) return
    this.#disputing = sides.length
    this.#ports.dispute(sides.map((c) => c.pipeline.session))
  }

  #agree(winners: readonly Candidate<T, P>[]): void {
    this.#counted = winners.map((c) => c.pipeline)
    this.drop()
    this.#done.resolve(this.#counted)
  }

  #fail(error: ManyhandsError): void {
    this.drop()
    this.#done.reject(error)
  }

  #tooFew(error: ManyhandsError): ManyhandsError {
    const had = this.candidates.length
    if (error.code !== 'no-volunteers' || had === 0) return error
    return new ManyhandsError(
      'no-volunteers',
      `${this.size} pipelines that share no volunteer were asked for; there are volunteers for ${had}. ${error.message}`,
      error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs },
    )
  }

  /** They contradicted each other, or so many broke off that too few were left. */
  #noAgreement(): ManyhandsError {
    const failures = this.candidates.flatMap((c) => c.failure ?? [])
    if (this.#disputing === 0) return failures.at(-1) ?? new ManyhandsError('internal', 'Pipelines that agree were not counted.')
    const others = this.#exhausted ? ` No further pipeline could be had: ${this.#exhausted.message}` : ''
    return new ManyhandsError(
      'disputed',
      `${this.candidates.length} pipelines computed this, and no ${this.size} of them came to the same answer.${others}`,
    )
  }
}

/** The most of them that agree all with all; there are five at most. */
function largestCircle<C>(of: readonly C[], agree: (a: C, b: C) => boolean): readonly C[] {
  let largest: readonly C[] = []
  const grow = (circle: readonly C[], others: readonly C[]) => {
    if (circle.length > largest.length) largest = circle
    others.forEach((one, i) =>
      grow(
        [...circle, one],
        others.slice(i + 1).filter((other) => agree(one, other)),
      ),
    )
  }
  grow([], of)
  return largest
}
