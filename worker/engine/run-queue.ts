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
  /** Set once nothing more is taken. */
  #closed: ManyhandsError | undefined
  #resolveLost!: (reason: Error) => void
  /** Rejects the run in hand. */
  #giveUp: (reason: Error) => void = () => undefined

  /** @param limitMs a run that takes longer hangs */
  constructor(limitMs: number) {
    this.#limitMs = limitMs
    this.lost = new Promise((resolve) => (this.#resolveLost = resolve))
  }

  /** Runs `work` when everything before it has ended. @throws what `work` throws, or engine-failed once the queue is lost */
  take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(this.#closed)
    const turn = this.#last.then(() => this.#guarded(work))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  /** Ends the queue when what was taken is done, with `work`: whatever comes from now on is refused. */
  async close(work: () => Promise<void>, reason: ManyhandsError): Promise<void> {
    const last = this.take(work)
    this.#closed ??= reason
    await last.catch(() => undefined)
    this.end(reason)
  }

  /** Ends the queue: no run is started any more. */
  end(reason: ManyhandsError): void {
    if (this.#end) return
    this.#end = reason
    this.#giveUp(reason)
    this.#resolveLost(reason)
  }

  #guarded<T>(work: () => Promise<T>): Promise<T> {
    if (this.#end) return Promise.reject(this.#end)
    return new Promise<T>((resolve, reject) => {
      const sentence = `A run did not come back within ${this.#limitMs / 1000} s: this device's engine has to be started again.`
      const timer = setTimeout(() => this.end(new ManyhandsError('engine-failed', sentence)), this.#limitMs)
      this.#giveUp = reject
      work()
        .then(resolve, reject)
        .finally(() => clearTimeout(timer))
    })
  }
}
