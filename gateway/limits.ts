/**
 * What each key may ask for: so many requests a minute, which come back one by one as time passes, and so many at once. Pure
 * but for its own counts.
 */
export interface Limits {
  readonly perMinute: number
  readonly atOnce: number
}

export type Entry =
  | { readonly ok: true; readonly remaining: number; readonly leave: () => void }
  | { readonly ok: false; readonly why: 'per minute' | 'at once'; readonly retryAfterMs: number }

interface Holder {
  /** Requests that it may still make, in parts of one; as of `at`, ms. */
  left: number
  at: number
  under: number
}

/** Somebody with too many under way may try again: how long an answer takes is not known. */
const atOnceRetryMs = 1_000

export class RequestLimits {
  readonly #limits: Limits
  readonly #holders = new Map<string, Holder>()

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** @param now ms */
  enter(name: string, now: number): Entry {
    const { perMinute, atOnce } = this.#limits
    const holder = this.#holders.get(name) ?? { left: perMinute, at: now, under: 0 }
    this.#holders.set(name, holder)
    const perMs = perMinute / 60_000
    holder.left = Math.min(perMinute, holder.left + (now - holder.at) * perMs)
    holder.at = now
    if (holder.left < 1) return { ok: false, why: 'per minute', retryAfterMs: Math.ceil((1 - holder.left) / perMs) }
    if (holder.under >= atOnce) return { ok: false, why: 'at once', retryAfterMs: atOnceRetryMs }
    holder.left -= 1
    holder.under += 1
    let left = false
    const leave = () => {
      if (left) return
      left = true
      holder.under -= 1
    }
    return { ok: true, remaining: Math.floor(holder.left), leave }
  }
}
