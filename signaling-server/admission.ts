/**
 * Who waits for a place, in bounds: a requester over them hears `busy` and when to come again. Whoever has the fewest places
 * goes first, by network and then by key, since keys are free. Each project has a line of its own beside the public's, so that
 * none of them fills another's. Pure but for its own list.
 */
import type { Viewpoint } from './audience.ts'

/** Whose a request is: its network, where that counts, and its key. */
export type Who = readonly [network: string, key: string] | readonly [key: string]

interface Waiting<T> {
  readonly who: Who
  readonly line: Viewpoint
  readonly request: T
  readonly since: number
}

/** Sessions that wait in one line of a model at most. */
export const queueBound = 32
/** The same of all lines together: a dozen projects in the news at once. */
export const everyLineBound = 400
/** Longest a request waits before it is told to come again. */
export const queueMs = 60_000
/** Whoever has waited for so long waits behind nobody's own any more: a project that is always busy shuts nobody out for good. */
export const patienceMs = 30_000
/** One requester may hold so many places of a line, so that nobody fills it alone. */
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

  /** The projects whose requests wait. */
  get projects(): ReadonlySet<Viewpoint> {
    return new Set(this.#waiting.map((w) => w.line).filter((line) => line !== undefined))
  }

  /** How many are ahead in the line, or when to come again. @param line the project that it is asked for */
  enter(who: Who, request: T, now: number, line?: Viewpoint): { readonly ahead: number } | { readonly retryAfterMs: number } {
    const before = this.#waiting.filter((w) => w.line === line)
    const [network, key = network] = who
    const own = before.filter((w) => w.who.at(-1) === key).length
    const near = before.filter((w) => w.who[0] === network).length
    if (before.length >= queueBound || this.#waiting.length >= everyLineBound || own >= perRequester || near >= perNetwork)
      return { retryAfterMs: this.retryAfterMs() }
    this.#waiting.push({ who, line, request, since: now })
    return { ahead: before.length }
  }

  /**
   * Offers each its turn once; whom `admit` takes is no longer in line.
   * @param admit does nothing where it returns false
   * @param places sessions that a network or key has under way
   * @param among whose turn it is; `since` is when the request came
   */
  drain(
    admit: (request: T) => boolean,
    places: (who: string) => number,
    among: (line: Viewpoint, since: number) => boolean = () => true,
  ): void {
    const left = this.#waiting.filter((w) => among(w.line, w.since))
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
