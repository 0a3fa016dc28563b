/**
 * The answer's text between the tokens that arrive and the reader: a queue, bounded by the answer, that can be
 * iterated once.
 */
import { deferred, type Deferred } from '../../link/deferred.ts'

export class TextQueue implements AsyncIterable<string> {
  readonly #pieces: string[] = []
  #waiting: Deferred<void> | undefined
  #end: { error?: unknown } | undefined

  push(piece: string): void {
    if (piece === '' || this.#end) return
    this.#pieces.push(piece)
    this.#wake()
  }

  finish(): void {
    this.#end ??= {}
    this.#wake()
  }

  fail(error: unknown): void {
    this.#end ??= { error }
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<string> {
    for (;;) {
      const piece = this.#pieces.shift()
      if (piece !== undefined) {
        yield piece
      } else if (this.#end) {
        if ('error' in this.#end) throw this.#end.error
        return
      } else {
        this.#waiting = deferred()
        await this.#waiting.promise
      }
    }
  }

  #wake(): void {
    this.#waiting?.resolve()
    this.#waiting = undefined
  }
}
