/**
 * Stop strings are matched here, by whoever asked: text that might begin one is held back until it is certain.
 */
import { ManyhandsError } from '../../protocol/errors.ts'

const maxStops = 8
const maxStopChars = 200

export class StopMatcher {
  readonly #stops: readonly string[]
  #held = ''
  stopped = false

  /** @throws ManyhandsError bad-input */
  constructor(stop: string | readonly string[] | undefined) {
    this.#stops = stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop
    const fits =
      this.#stops.length <= maxStops && this.#stops.every((s) => typeof s === 'string' && s.length > 0 && s.length <= maxStopChars)
    if (!fits) throw new ManyhandsError('bad-input', `stop takes up to ${maxStops} texts of 1 to ${maxStopChars} characters.`)
  }

  /** The text that is certain now; once a stop string is complete, the text before it, and nothing ever after. */
  push(piece: string): string {
    if (this.stopped) return ''
    const text = this.#held + piece
    const found = Math.min(...this.#stops.map((s) => text.indexOf(s)).filter((at) => at >= 0))
    if (found !== Infinity) {
      this.stopped = true
      this.#held = ''
      return text.slice(0, found)
    }
    const keep = Math.max(0, ...this.#stops.map((s) => overlap(text, s)))
    this.#held = text.slice(text.length - keep)
    return text.slice(0, text.length - keep)
  }

  /** What was held back, when no more comes. */
  end(): string {
    const rest = this.#held
    this.#held = ''
    return this.stopped ? '' : rest
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(text.length, stop.length - 1); n > 0; n--) if (text.endsWith(stop.slice(0, n))) return n
  return 0
}
