/**
 * Token ids to text as it becomes certain, both cut at a stop string. What it is told goes on to `say`, piece by piece.
 */
import type { ChatTokenizer } from '../../models/chat.ts'
import { StopMatcher } from './stop-strings.ts'

export class AnswerText {
  /** The ids that the text is made of. */
  readonly keptIds: number[] = []
  text = ''
  readonly #stream: ReturnType<ChatTokenizer['stream']>
  readonly #stops: StopMatcher
  readonly #eos: readonly number[]
  readonly #say: (piece: string) => void

  constructor(
    tokenizer: ChatTokenizer,
    eos: readonly number[],
    stop: string | readonly string[] | undefined,
    say: (piece: string) => void,
  ) {
    this.#stream = tokenizer.stream()
    this.#stops = new StopMatcher(stop)
    this.#eos = eos
    this.#say = say
  }

  /** A stop string is complete: nothing more will be said. */
  get stopped(): boolean {
    return this.#stops.stopped
  }

  push(id: number): void {
    if (this.stopped) return
    if (!this.#eos.includes(id)) this.#append(this.#stops.push(this.#stream.push(id)))
    if (!this.stopped) this.keptIds.push(id)
  }

  end(): void {
    if (this.stopped) return
    this.#append(this.#stops.push(this.#stream.end()))
    this.#append(this.#stops.end())
  }

  #append(text: string): void {
    this.text += text
    this.#say(text)
  }
}
