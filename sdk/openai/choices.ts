/**
 * The answers to one request, each a generation of its own: all of them whole, or piece by piece as they come. When one fails
 * or nobody wants them any more, all stop, at the volunteers too.
 */
import type { AnswerPiece, Correction, Generated, GenerateOptions, Generation } from '../types.ts'
import { ApiError } from './api-error.ts'

/** Begins one of the answers. */
export type Ask = (choice: number, options: Pick<GenerateOptions, 'signal' | 'onCorrection'>) => Generation

export type ChoiceNews =
  | { readonly choice: number; readonly piece: AnswerPiece }
  /** The last of this choice. */
  | { readonly choice: number; readonly done: Generated }

/** @throws what the first of them that fails broke off with */
export async function wholeChoices(count: number, ask: Ask, signal: AbortSignal): Promise<readonly Generated[]> {
  const stop = new Stop(signal)
  try {
    return await Promise.all(Array.from({ length: count }, (_, choice) => ask(choice, { signal: stop.signal })))
  } finally {
    stop.now()
  }
}

/** @throws ApiError when what was streamed is found wrong; else what the first of them that fails broke off with */
export async function* streamedChoices(count: number, ask: Ask, signal: AbortSignal): AsyncGenerator<ChoiceNews> {
  const stop = new Stop(signal)
  try {
    yield* merged(Array.from({ length: count }, (_, choice) => news(choice, ask, stop.signal)))
  } finally {
    stop.now()
  }
}

async function* news(choice: number, ask: Ask, signal: AbortSignal): AsyncGenerator<ChoiceNews> {
  let correction: Correction | undefined
  const generation = ask(choice, { signal, onCorrection: (one) => (correction ??= one) })
  for await (const piece of generation.pieces()) yield { choice, piece }
  const done = await generation
  if (correction) throw foundWrong(choice, correction)
  yield { choice, done }
}

/** Text that has been sent can't be taken back: the stream ends here, and the error has what would have been right. */
function foundWrong(choice: number, { answer, from, reason }: Correction): ApiError {
  return new ApiError(`What was streamed has been found wrong from character ${from} on: ${reason} Ask again, or take the correction.`, {
    status: 500,
    type: 'server_error',
    code: 'answer_corrected',
    more: { correction: { index: choice, from, content: answer.text } },
  })
}

/** Whatever comes first from any of them, until all are over. */
async function* merged<T>(sources: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const next = (source: AsyncGenerator<T>) => source.next().then((result) => ({ source, result }))
  const waiting = new Map(sources.map((source) => [source, next(source)]))
  for (const promise of waiting.values()) promise.catch(() => undefined)
  while (waiting.size > 0) {
    const { source, result } = await Promise.race(waiting.values())
    if (result.done) waiting.delete(source)
    else {
      const following = next(source)
      following.catch(() => undefined)
      waiting.set(source, following)
      yield result.value
    }
  }
}

/** The caller's signal, and one's own beside it. */
class Stop {
  readonly #own = new AbortController()
  readonly #outer: AbortSignal
  readonly #onAbort = () => this.#own.abort(this.#outer.reason)

  constructor(outer: AbortSignal) {
    this.#outer = outer
    if (outer.aborted) this.#onAbort()
    outer.addEventListener('abort', this.#onAbort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#own.signal
  }

  now(): void {
    this.#outer.removeEventListener('abort', this.#onAbort)
    this.#own.abort()
  }
}
