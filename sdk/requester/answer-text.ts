/**
 * Token ids to text as it becomes certain, both cut at a stop string. What it is told goes on to `say`, piece by piece, with
 * the tokens' odds where there are any.
 */
import type { ChatTokenizer } from '../../models/chat.ts'
import type { TokenOdds } from '../../protocol/logprobs.ts'
import type { AnswerPiece, AnswerToken, LikelyToken } from '../types.ts'
import { StopMatcher } from './stop-strings.ts'

export class AnswerText {
  /** The ids that the text is made of. */
  readonly keptIds: number[] = []
  /** The same without an end token; of those that came with odds. */
  readonly tokens: AnswerToken[] = []
  text = ''
  readonly #tokenizer: ChatTokenizer
  readonly #stream: ReturnType<ChatTokenizer['stream']>
  readonly #stops: StopMatcher
  readonly #eos: readonly number[]
  readonly #say: (piece: AnswerPiece) => void
  /** Tokens said so far; the others' text is held back. */
  #said = 0

  constructor(
    tokenizer: ChatTokenizer,
    eos: readonly number[],
    stop: string | readonly string[] | undefined,
    say: (piece: AnswerPiece) => void,
  ) {
    this.#tokenizer = tokenizer
    this.#stream = tokenizer.stream()
    this.#stops = new StopMatcher(stop)
    this.#eos = eos
    this.#say = say
  }

  /** A stop string is complete: nothing more will be said. */
  get stopped(): boolean {
    return this.#stops.stopped
  }

  push(id: number, odds?: TokenOdds): void {
    if (this.stopped) return
    const ends = this.#eos.includes(id)
    const text = ends ? '' : this.#stops.push(this.#stream.push(id))
    if (!this.stopped) {
      this.keptIds.push(id)
      if (odds && !ends) this.tokens.push(this.#token(id, odds))
    }
    this.#append(text, this.stopped)
  }

  end(): void {
    if (this.stopped) return
    this.#append(this.#stops.push(this.#stream.end()), false)
    this.#append(this.#stops.end(), true)
  }

  #append(text: string, last: boolean): void {
    this.text += text
    const tokens = text !== '' || last ? this.tokens.slice(this.#said) : []
    this.#said += tokens.length
    if (text !== '' || tokens.length > 0) this.#say({ text, tokens })
  }

  #token(id: number, { logprob, top }: TokenOdds): AnswerToken {
    return { ...this.#likely(id, logprob), top: top.map(([of, odds]) => this.#likely(of, odds)) }
  }

  #likely(id: number, logprob: number): LikelyToken {
    return { id, bytes: this.#tokenizer.bytes(id), logprob }
  }
}
