/**
 * Token buckets by key: what a peer, a network prefix or an address may do per second. Pure: the caller hands in the time.
 */

export interface RateLimit {
  /** What comes back to a bucket each second. */
  readonly perSecond: number
  /** What a full bucket holds. */
  readonly burst: number
  /** Keys remembered; past it the one idle longest is forgotten, which gives it a full bucket again. */
  readonly maxKeys: number
}

export type Taken = { readonly ok: true } | { readonly ok: false; readonly retryAfterMs: number }

interface Bucket {
  tokens: number
  atMs: number
}

export class RateLimiter {
  readonly #limit: RateLimit
  /** In the order of last use: the first is idle longest. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(limit: RateLimit) {
    if (!(limit.perSecond > 0 && limit.burst > 0 && limit.maxKeys >= 1)) throw new RangeError('a rate limit needs positive numbers')
    this.#limit = limit
  }

  get keys(): number {
    return this.#buckets.size
  }

  /** Takes `cost` from the key's bucket, or nothing when there is less. A cost above the burst counts as the burst. */
  take(key: string, cost: number, nowMs: number): Taken {
    const { perSecond, burst, maxKeys } = this.#limit
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs }
    // A clock that steps back gives nothing, and takes nothing.
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) * perSecond) / 1000)
    bucket.atMs = nowMs
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > maxKeys) this.#forgetOldest()
    const wanted = Math.min(cost, burst)
    if (bucket.tokens < wanted) return { ok: false, retryAfterMs: Math.max(1, Math.ceil(((wanted - bucket.tokens) / perSecond) * 1000)) }
    bucket.tokens -= wanted
    return { ok: true }
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key)
      return
    }
  }
}
