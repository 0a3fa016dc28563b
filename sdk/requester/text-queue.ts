/**
 * The answer's text between the tokens that arrive and the reader: a queue, bounded by the answer, that can be
 * iterated once. It only ever appends: an answer that is told again adds to it where it goes on as what was said before.
 */
import { deferred, type Deferred } from '../../link/deferred.ts'

export class TextQueue implements AsyncIterable<string> {
  readonly #pieces: string[] = []
  #waiting: Deferred<void> | undefined
  #end: { error?: unknown } | undefined
  /** All that was said, read or not. */
  text = ''

  /** Takes an answer from its beginning on, piece by piece; from where it differs from what was said, nothing of it is said. */
  teller(): (piece: string) => void {
    let at = 0
    let parted = false
    return (piece) => {
      const known = this.text.slice(at, at + piece.length)
      parted ||= !piece.startsWith(known)
      if (parted) return
      at += piece.length
      this.#push(piece.slice(known.length))
    }
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

  #push(piece: string): void {
    if (piece === '' || this.#end) return
    this.text += piece
    this.#pieces.push(piece)
    this.#wake()
  }

  #wake(): void {
    this.#waiting?.resolve()
    this.#waiting = undefined
  }
}
