/**
 * Who waits for a place, in bounds: a requester over them hears `busy` and when to come again. Whoever has the fewest places
 * goes first, by network and then by key, since keys are free. Pure but for its own list.
 */

/** Whose a request is: its network, where that counts, and its key. */
export type Who = readonly [network: string, key: string] | readonly [key: string]

interface Waiting<T> {
  readonly who: Who
  readonly request: T
  readonly since: number
}

/** Sessions that wait at one model at most. */
export const queueBound = 32
/** Longest a request waits before it is told to come again. */
export const queueMs = 60_000
/** One requester may hold so many places of a queue, so that nobody fills it alone. */
export const perRequester = 8
/** The same, of all requesters behind one network prefix. */
export const perNetwork = 16

export class AdmissionQueue<T> {
  /** In the order in which they came. */
  #waiting: Waiting<T>[] = []
  /** Milliseconds a session lasted lately, smoothed: what retry-after is made from. */
  #sessionMs = 5_000

  get length(): number {
    return this.#waiting.length
  }

  has(request: T): boolean {
    return this.#waiting.some((w) => w.request === request)
  }

  /** How many are ahead, or when to come again. */
  enter(who: Who, request: T, now: number): { readonly ahead: number } | { readonly retryAfterMs: number } {
    const ahead = this.#waiting.length
    const [network, key = network] = who
    const own = this.#waiting.filter((w) => w.who.at(-1) === key).length
    const near = this.#waiting.filter((w) => w.who[0] === network).length
    if (ahead >= queueBound || own >= perRequester || near >= perNetwork) return { retryAfterMs: this.retryAfterMs() }
    this.#waiting.push({ who, request, since: now })
    return { ahead }
  }

  /**
   * Offers each its turn once; whom `admit` takes is no longer in line.
   * @param admit does nothing where it returns false
   * @param places sessions that a network or key has under way
   */
  drain(admit: (request: T) => boolean, places: (who: string) => number): void {
    const left = [...this.#waiting]
    while (left.length > 0) {
      const next = left.reduce((first, w) => (fewer(w.who, first.who, places) ? w : first))
      left.splice(left.indexOf(next), 1)
      const at = this.#waiting.indexOf(next)
      if (at < 0) continue
      // Out of the line first: what `admit` sets off may come back here.
      this.#waiting.splice(at, 1)
      if (!admit(next.request)) this.#waiting.splice(at, 0, next)
    }
  }

  leave(match: (request: T) => boolean): void {
    this.#waiting = this.#waiting.filter((w) => !match(w.request))
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

const fewer = (a: Who, b: Who, places: (who: string) => number): boolean =>
  (places(a[0]) - places(b[0]) || places(a.at(-1) as string) - places(b.at(-1) as string)) < 0
