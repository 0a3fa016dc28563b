/** What the demo tells while it works: a line for each step, with its time; where a terminal is watching, the line moves. */
import type { Writable } from 'node:stream'

/** Shows how far a step is; a terminal shows the newest only. */
export type ShowProgress = (text: string) => void

export class Steps {
  readonly #out: Writable
  readonly #live: boolean

  constructor(out: Writable & { isTTY?: boolean }) {
    this.#out = out
    this.#live = out.isTTY === true
  }

  line(text = ''): void {
    this.#out.write(`${text}\n`)
  }

  /** As it is, without a new line: an answer that grows. */
  piece(text: string): void {
    this.#out.write(text)
  }

  /** @param work what it returns is shown beside the name; undefined: nothing is */
  async step<T>(name: string, work: (progress: ShowProgress) => Promise<readonly [T, string]>): Promise<T> {
    const start = performance.now()
    let last = ''
    const show = (text: string) => {
      if (this.#live) this.#out.write(`\r\x1b[K  ${name}  ${text}`)
      // Elsewhere a change of kind is enough: percentages would fill a log.
      else if (text.replace(/[\d.,]+/g, '') !== last.replace(/[\d.,]+/g, '')) this.#out.write(`  ${name}  ${text}\n`)
      last = text
    }
    try {
      const [value, result] = await work(show)
      const seconds = ((performance.now() - start) / 1000).toFixed(1)
      this.#out.write(`${this.#live ? '\r\x1b[K' : ''}✓ ${name}  ${result}  ${seconds} s\n`)
      return value
    } catch (error) {
      if (this.#live && last !== '') this.#out.write('\r\x1b[K')
      throw error
    }
  }
}
