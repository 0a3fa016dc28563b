/**
 * The tokens that enough pipelines agree on, as far as they do. Since more than half of all that may take part must agree,
 * there is never but one such line. Pure.
 */

/** The ids that one pipeline has sent so far. */
export interface TokenLine {
  readonly ids: readonly number[]
}

export class TokenBranch {
  /** Agreed on. */
  readonly ids: number[] = []
  /** Nothing after what is agreed on matters any more: a stop string is complete. */
  closed = false
  readonly #size: number
  /** How many of a line's ids are known to be the branch's; those that left it are not in here. */
  readonly #compared = new Map<TokenLine, number>()

  /** @param size how many must agree */
  constructor(size: number) {
    this.#size = size
  }

  /** @returns what has been agreed on anew, with these lines counting */
  advance(lines: readonly TokenLine[]): readonly number[] {
    const from = this.ids.length
    while (!this.closed) {
      const votes = new Map<number, number>()
      for (const line of lines) {
        const id = this.keeps(line) ? line.ids[this.ids.length] : undefined
        if (id !== undefined) votes.set(id, (votes.get(id) ?? 0) + 1)
      }
      const agreed = [...votes].find(([, count]) => count >= this.#size)
      if (!agreed) break
      this.ids.push(agreed[0])
    }
    return this.ids.slice(from)
  }

  /** What the line has sent so far is not against the branch. */
  keeps(line: TokenLine): boolean {
    let at = this.#compared.get(line) ?? 0
    const end = Math.min(line.ids.length, this.ids.length)
    while (at < end && line.ids[at] === this.ids[at]) at++
    this.#compared.set(line, at)
    return at === end
  }

  /** Neither contradicts the other; who has left the branch contradicts everyone. `over`: no more comes from it. */
  agree(a: TokenLine & { readonly over: boolean }, b: TokenLine & { readonly over: boolean }): boolean {
    if (!this.keeps(a) || !this.keeps(b)) return false
    if (this.closed) return [a, b].every((line) => !line.over || line.ids.length >= this.ids.length)
    const shared = Math.min(a.ids.length, b.ids.length)
    for (let at = this.ids.length; at < shared; at++) if (a.ids[at] !== b.ids[at]) return false
    const [shorter, longer] = a.ids.length < b.ids.length ? [a, b] : [b, a]
    return !shorter.over || shorter.ids.length === longer.ids.length
  }
}
