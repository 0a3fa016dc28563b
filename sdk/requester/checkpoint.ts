/**
 * Which pieces of bulk work are done with, as ranges of their places: small enough to be kept anywhere as JSON, and read again with
 * distrust, since that is where it comes back from.
 */
import * as v from 'valibot'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { MapCheckpoint } from '../map-types.ts'

const place = v.pipe(v.number(), v.integer(), v.minValue(0))
/** Gaps are what failed; past so many something else is wrong. */
const maxRanges = 100_000
const schema = v.strictObject({
  v: v.literal(1),
  revision: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  done: v.pipe(v.array(v.strictTuple([place, place])), v.maxLength(maxRanges)),
})

/** @throws ManyhandsError bad-input for what is no checkpoint, or one of another model than this */
export function readCheckpoint(value: unknown, revision: string): MapCheckpoint {
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) throw new ManyhandsError('bad-input', 'What was given to go on from is no checkpoint of map().')
  if (parsed.output.revision !== revision)
    throw new ManyhandsError('bad-input', 'The checkpoint is of another revision of the model: results would not fit together. Begin anew.')
  return parsed.output
}

/** Places, joined to ranges [first, endExclusive] in ascending order. */
export class DonePlaces {
  readonly #ranges: [number, number][] = []

  constructor(ranges: readonly (readonly [number, number])[] = []) {
    const sorted = ranges.filter(([first, end]) => end > first).sort((a, b) => a[0] - b[0])
    for (const [first, end] of sorted) {
      const last = this.#ranges.at(-1)
      if (last && first <= last[1]) last[1] = Math.max(last[1], end)
      else this.#ranges.push([first, end])
    }
  }

  has(at: number): boolean {
    const range = this.#ranges[this.#after(at) - 1]
    return range !== undefined && at < range[1]
  }

  add(at: number): void {
    if (this.has(at)) return
    const next = this.#after(at)
    const before = this.#ranges[next - 1]
    const after = this.#ranges[next]
    if (before?.[1] === at && after?.[0] === at + 1) {
      before[1] = after[1]
      this.#ranges.splice(next, 1)
    } else if (before?.[1] === at) before[1] += 1
    else if (after?.[0] === at + 1) after[0] = at
    else this.#ranges.splice(next, 0, [at, at + 1])
  }

  get ranges(): readonly (readonly [number, number])[] {
    return this.#ranges.map(([first, end]) => [first, end])
  }

  /** Index of the first range that begins after a place. */
  #after(at: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ranges[middle]?.[0] as number) <= at) low = middle + 1
      else high = middle
    }
    return low
  }
}
