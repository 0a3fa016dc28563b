/**
 * How many pieces of bulk work to have under way at once: one more for every round that went well, as many as had places when
 * one has to wait in a line, half when there is not even room in that. Pure.
 */
export class Pace {
  readonly #most: number
  #limit: number

  /** @param first to begin with @param most whatever the network takes */
  constructor(first: number, most: number) {
    this.#most = Math.max(1, most)
    this.#limit = Math.min(this.#most, Math.max(1, first))
  }

  get limit(): number {
    return Math.floor(this.#limit)
  }

  /** One came back, and had a place at once. */
  went(): void {
    this.#limit = Math.min(this.#most, this.#limit + 1 / this.#limit)
  }

  /** One waits in a line, so many being under way with it. */
  queued(underWay: number): void {
    this.#limit = Math.max(1, Math.min(this.#limit, underWay - 1))
  }

  /** One was turned away, so many being under way with it. */
  turnedAway(underWay: number): void {
    this.#limit = Math.max(1, Math.min(this.#limit, underWay / 2))
  }
}
