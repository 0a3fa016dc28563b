/**
 * One thing at a time on a runtime: two runs at once hang or corrupt it, and nothing may be freed under a run. A run that
 * fails or does not come back ends the queue: whatever waits is refused, and `lost` tells the owner.
 */
import { ManyhandsError } from '../../protocol/errors.ts'

export class RunQueue {
  readonly lost: Promise<Error>
  readonly #limitMs: number
  #last: Promise<unknown> = Promise.resolve()
  #end: ManyhandsError | undefined
  #resolveLost!: (reason: Error) => void

  /** @param limitMs a run that takes longer hangs */
  constructor(limitMs: number) {
    this.#limitMs = limitMs
    this.lost = new Promise((resolve) => (this.#resolveLost = resolve))
  }

  /** Runs `work` when everything before it has ended. @throws what `work` throws, or engine-failed once the queue is lost */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#guarded(work))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  /** Ends the queue: no run is started any more. */
  end(reason: ManyhandsError): void {
    if (this.#end) return
    this.#end = reason
    this.#resolveLost(reason)
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    if (this.#end) throw this.#end
    let timer: ReturnType<typeof setTimeout> | undefined
    const hung = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.end(
          new ManyhandsError(
            'engine-failed',
            `A run did not come back within ${this.#limitMs / 1000} s: this device's engine has to be started again.`,
          ),
        )
        reject(this.#end)
      }, this.#limitMs)
    })
    const ended = this.lost.then((reason) => Promise.reject(reason))
    ended.catch(() => undefined)
    try {
      return await Promise.race([work(), hung, ended])
    } finally {
      clearTimeout(timer)
    }
  }
}
