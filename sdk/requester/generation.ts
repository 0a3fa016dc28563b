/**
 * `net.generate`: a question asked, its answer as text while it comes and as a whole at its end, and what is learnt of it
 * afterwards.
 */
import { deferred } from '../../link/deferred.ts'
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import type { ReceiptFileJson } from '../../protocol/receipt-file.ts'
import type { Receipt } from '../../protocol/receipt.ts'
import type { AnswerPiece, Generated, GenerateOptions, Generation } from '../types.ts'
import { BrokenAnswer } from './broken-answer.ts'
import { follow } from './follow.ts'
import type { Question } from './question.ts'
import type { SessionSource } from './session-source.ts'
import { TextQueue } from './text-queue.ts'
import type { TokenAsking, TokensAgreed } from './token-asking.ts'

export class Generating implements Generation {
  readonly settled: Promise<Receipt>
  readonly receipts: Promise<readonly Receipt[]>
  readonly receipt: Promise<Receipt>
  readonly #source: SessionSource
  readonly #options: GenerateOptions
  readonly #queue = new TextQueue()
  readonly #first = deferred<TokensAgreed>()
  #question: Question | undefined
  #asking: TokenAsking | undefined
  #last: TokensAgreed | undefined

  constructor(source: SessionSource, question: Promise<Question>, options: GenerateOptions) {
    this.#source = source
    this.#options = options
    this.settled = this.#follow(question)
    const news = this.#first.promise.then(({ pipelines }) => pipelines.map((p) => p.news))
    this.receipts = news.then((all) => Promise.all(all.map((one) => one.receipt)))
    this.receipt = news.then(([one]) => one?.receipt as Promise<Receipt>)
    // Each is a way to learn of a failure; none must be taken.
    for (const promise of [this.#first.promise, this.settled, this.receipts, this.receipt]) promise.catch(() => undefined)
  }

  async record(): Promise<ReceiptFileJson> {
    await this.#first.promise
    const [pipeline] = (this.#last as TokensAgreed).pipelines
    const { ids = [] } = this.#question ?? {}
    if (!pipeline) throw new Error('An answer without a pipeline.')
    const { signature } = await pipeline.answer
    const told = { prompt: { ids }, answer: { ids: pipeline.ids }, answerSignature: signature }
    return this.#source.record(await pipeline.news.receipt, told)
  }

  pieces(): AsyncIterable<AnswerPiece> {
    return this.#queue
  }

  async *[Symbol.asyncIterator](): AsyncIterator<string> {
    for await (const { text } of this.#queue) if (text !== '') yield text
  }

  // eslint-disable-next-line unicorn/no-thenable -- a Generation is awaited on purpose
  then<A = Generated, B = never>(
    done?: ((value: Generated) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#first.promise.then(({ generated }) => generated).then(done, failed)
  }

  async #follow(asked: Promise<Question>): Promise<Receipt> {
    try {
      // Not needed to connect, and here before the question is.
      const [{ TokenAsking }, question] = await Promise.all([import('./token-asking.ts'), asked])
      this.#question = question
      return await follow<TokensAgreed>({
        ask: (corrects) => (this.#asking = new TokenAsking(this.#source, question, corrects, this.#queue.teller())),
        correcting: (reason) => this.#options.onProgress?.({ phase: 'correcting', reason }),
        answered: (agreed, reason) => this.#answered(agreed, reason),
      })
    } catch (thrown) {
      const error = this.#broken(asError(thrown))
      this.#first.reject(error)
      this.#queue.fail(error)
      throw error
    }
  }

  #answered(agreed: TokensAgreed, reason: string | undefined): void {
    const { generated: answer } = agreed
    const given = this.#last?.generated.text ?? this.#queue.text
    this.#last = agreed
    if (reason !== undefined && answer.text !== given) this.#options.onCorrection?.({ answer, from: shared(given, answer.text), reason })
    this.#queue.finish()
    this.#first.resolve(agreed)
  }

  #broken(error: ManyhandsError): ManyhandsError {
    const { text, keptIds = [] } = this.#asking?.text ?? {}
    return text === undefined || keptIds.length === 0 ? error : new BrokenAnswer(error, { text, tokenIds: keptIds })
  }
}

/** Characters that both begin with. */
function shared(a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  return at
}
