/**
 * Something that the server knows, read again and again for as long as somebody looks at it. What was read last stays while the
 * server is out of reach.
 */
import { asError, type ManyhandsError } from '../../protocol/errors.ts'

export class Polled<T> {
  /** Undefined until it was read once. */
  value: T | undefined = $state.raw()
  /** Why the last reading failed. */
  error: ManyhandsError | undefined = $state.raw()
  /** Of `value`, ms since 1970. */
  readAt = $state(0)
  readonly #read: () => Promise<T>
  readonly #everyMs: number
  #reading = false

  constructor(read: () => Promise<T>, everyMs: number) {
    this.#read = read
    this.#everyMs = everyMs
  }

  /** One reading at a time. */
  async refresh(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      this.value = await this.#read()
      this.readAt = Date.now()
      this.error = undefined
    } catch (thrown) {
      this.error = asError(thrown)
    } finally {
      this.#reading = false
    }
  }

  /** Keeps it fresh while the page is visible. @returns how to stop it */
  watch(): () => void {
    void this.refresh()
    const timer = setInterval(() => document.visibilityState === 'visible' && void this.refresh(), this.#everyMs)
    return () => clearInterval(timer)
  }
}
