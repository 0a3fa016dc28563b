/** How much totals that only grow have grown over a while that ends now. Pure: the time is handed in. */
export class Lately<K extends string> {
  readonly #windowMs: number
  readonly #stepMs: number
  /** The oldest first; the first one is as old as the window, once there has been time. */
  #samples: { readonly at: number; readonly totals: ReadonlyMap<K, number> }[] = []

  /** @param stepMs between two samples that are kept: the window is that exact */
  constructor(windowMs: number, stepMs: number) {
    this.#windowMs = windowMs
    this.#stepMs = stepMs
  }

  /** To be called often; keeps a sample when it is time. `totals` is asked only then. */
  note(now: number, totals: () => ReadonlyMap<K, number>): void {
    const last = this.#samples.at(-1)
    if (last && now - last.at < this.#stepMs) return
    this.#samples.push({ at: now, totals: totals() })
    while ((this.#samples[1]?.at ?? Infinity) <= now - this.#windowMs) this.#samples.shift()
  }

  /** Growth of one total, and over how long that was. */
  of(key: K, total: number, now: number): { readonly growth: number; readonly ms: number } {
    const [first] = this.#samples
    return first ? { growth: total - (first.totals.get(key) ?? 0), ms: now - first.at } : { growth: 0, ms: 0 }
  }
}
