/**
 * Who waits for a place, in order and in bounds: a requester over the bound hears `busy` and when to come again. Pure but for
 * its own list.
 */
export interface Waiting<T> {
  readonly key: string
  readonly request: T
  readonly since: number
}

/** Sessions that wait at one model at most. */
export const queueBound = 32
/** Longest a request waits before it is told to come again. */
export const queueMs = 60_000
/** One requester may hold so many places of a queue, so that nobody fills it alone. */
export const perRequester = 8

export class AdmissionQueue<T> {
  readonly #waiting: Waiting<T>[] = []
  /** Milliseconds a session lasted lately, smoothed: what retry-after is made from. */
  #sessionMs = 5_000

  get length(): number {
    return this.#waiting.length
  }

  /** How many are ahead, or when to come again. */
  enter(key: string, request: T, now: number): { readonly ahead: number } | { readonly retryAfterMs: number } {
    const own = this.#waiting.filter((w) => w.key === key).length
    if (this.#waiting.length >= queueBound || own >= perRequester) return { retryAfterMs: this.retryAfterMs() }
    this.#waiting.push({ key, request, since: now })
    return { ahead: this.#waiting.length - 1 }
  }

  /** Takes from the front as long as `admit` has a place. */
  drain(admit: (request: T) => boolean): void {
    while (this.#waiting[0] && admit(this.#waiting[0].request)) this.#waiting.shift()
  }

  leave(match: (request: T) => boolean): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) if (match((this.#waiting[i] as Waiting<T>).request)) this.#waiting.splice(i, 1)
  }

  /** Those who have waited too long; they are no longer in line. */
  expired(now: number): T[] {
    const gone: T[] = []
    while (this.#waiting[0] && now - this.#waiting[0].since > queueMs) gone.push((this.#waiting.shift() as Waiting<T>).request)
    return gone
  }

  sessionEnded(ms: number): void {
    this.#sessionMs += 0.2 * (Math.min(ms, queueMs) - this.#sessionMs)
  }

  retryAfterMs(): number {
    return Math.round(Math.max(1_000, (this.#sessionMs * (1 + this.#waiting.length)) / 4))
  }
}
