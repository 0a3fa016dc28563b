/**
 * The answer's text between the tokens that arrive and the reader: a queue, bounded by the answer, that can be
 * iterated once. It only ever appends: an answer that is told again adds to it where it goes on as what was said before.
 */
import { deferred, type Deferred } from '../../link/deferred.ts'
import type { AnswerPiece, AnswerToken } from '../types.ts'

export class TextQueue implements AsyncIterable<AnswerPiece> {
  readonly #pieces: AnswerPiece[] = []
  #waiting: Deferred<void> | undefined
  #end: { error?: unknown } | undefined
  /** All that was said, read or not. */
  text = ''
  #tokens = 0

  /** Takes an answer from its beginning on, piece by piece; from where it differs from what was said, nothing of it is said. */
  teller(): (piece: AnswerPiece) => void {
    let at = 0
    let tokensAt = 0
    let parted = false
    return ({ text, tokens }) => {
      const known = this.text.slice(at, at + text.length)
      parted ||= !text.startsWith(known)
      if (parted) return
      at += text.length
      const knownTokens = Math.min(tokens.length, Math.max(0, this.#tokens - tokensAt))
      tokensAt += tokens.length
      this.#push(text.slice(known.length), tokens.slice(knownTokens))
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

  async *[Symbol.asyncIterator](): AsyncIterator<AnswerPiece> {
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

  #push(text: string, tokens: readonly AnswerToken[]): void {
    if ((text === '' && tokens.length === 0) || this.#end) return
    this.text += text
    this.#tokens += tokens.length
    this.#pieces.push({ text, tokens })
    this.#wake()
  }

  #wake(): void {
    this.#waiting?.resolve()
    this.#waiting = undefined
  }
}
