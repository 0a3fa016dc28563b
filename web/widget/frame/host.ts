/** The page around the frame: heard only if it is our parent and says one of its few words, told only how things stand. */
import { readHostWord, wrapped, type FrameWord, type HostWord } from '../wire.ts'

type Kept = Exclude<FrameWord, { t: 'ready' }>

export class Host {
  /** Of the page, once it has spoken: nobody else is told anything. */
  #origin: string | undefined
  /** The last of each kind, for a page that has not spoken yet. */
  readonly #last = new Map<Kept['t'], Kept>()

  constructor(heard: (word: HostWord) => void) {
    addEventListener('message', ({ source, origin, data }: MessageEvent) => {
      if (source !== parent || parent === window || origin === 'null') return
      const word = readHostWord(data)
      if (!word) return
      const first = this.#origin === undefined
      this.#origin = origin
      heard(word)
      if (first) for (const kept of this.#last.values()) this.#post(kept)
    })
    // To whoever it is, since it says nothing.
    parent.postMessage(wrapped({ t: 'ready' }), '*')
  }

  tell(word: Kept): void {
    this.#last.set(word.t, word)
    this.#post(word)
  }

  #post(word: Kept): void {
    if (this.#origin !== undefined) parent.postMessage(wrapped(word), this.#origin)
  }
}
