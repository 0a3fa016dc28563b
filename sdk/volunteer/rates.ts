/** Rates that people read: rows a second over the last seconds, and the time a download still takes. */

const windowMs = 5_000

export class RateMeter {
  readonly #samples: { rows: number; at: number }[] = []

  /** Rows so far at a time in ms; gives the rate over the window, per second. A lower count starts anew. */
  add(rows: number, at: number): number {
    if (rows < (this.#samples.at(-1)?.rows ?? 0)) this.#samples.length = 0
    this.#samples.push({ rows, at })
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) > windowMs) this.#samples.shift()
    const first = this.#samples[0]
    return first && at > first.at ? ((rows - first.rows) * 1000) / (at - first.at) : 0
  }
}

/** Undefined until there is something to judge by. */
export function secondsLeft(doneBytes: number, totalBytes: number, elapsedMs: number): number | undefined {
  if (doneBytes <= 0 || totalBytes <= doneBytes || elapsedMs < 500) return undefined
  return ((totalBytes - doneBytes) * elapsedMs) / doneBytes / 1000
}
