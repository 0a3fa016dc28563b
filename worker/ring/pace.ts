/** How fast a stage serves one session: milliseconds from a step's arrival to its output. Told when the server probes. */

/** Steps that the mean is taken over. */
const remembered = 8

export class ServicePace {
  readonly #arrivedAt = new Map<number, number>()
  #served: number[] = []

  arrived(position: number, at: number): void {
    this.#arrivedAt.set(position, at)
  }

  served(position: number, at: number): void {
    const arrivedAt = this.#arrivedAt.get(position)
    if (arrivedAt === undefined) return
    this.#arrivedAt.delete(position)
    this.#served = [...this.#served.slice(1 - remembered), at - arrivedAt]
  }

  /** Whatever waited is to come again. */
  clear(): void {
    this.#arrivedAt.clear()
  }

  /** The mean, or the time that the oldest step has been waiting where that is longer. */
  serviceMs(now: number): number {
    const mean = this.#served.reduce((sum, ms) => sum + ms, 0) / Math.max(1, this.#served.length)
    const [oldest = now] = this.#arrivedAt.values()
    return Math.max(mean, now - oldest)
  }
}
