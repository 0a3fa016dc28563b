/**
 * Whether two computed the same, and who is at fault when not. The accused is named only when enough others, by rank, agree
 * with each other and all disagree with it; otherwise nobody is.
 */
import type { PeerId } from '../../protocol/ids.ts'
import { largestLimit, mostReferees, usualLimit } from './policy.ts'
import type { Rank } from './standing.ts'

export interface Comparison {
  /** Every chunk's hash is the same. */
  readonly hashesEqual: boolean
  readonly bothWasm: boolean
  /** Largest estimated distance of a row (`sketchDistance().worst`), once sketches have been exchanged. */
  readonly worst?: number
}

/** 'sketch': hashes differ, but their backends round differently: reveal a seed and compare sketches. */
export function compareWork({ hashesEqual, bothWasm, worst }: Comparison, limit = usualLimit): 'same' | 'different' | 'sketch' {
  if (hashesEqual) return 'same'
  if (bothWasm) return 'different'
  if (worst === undefined) return 'sketch'
  // NaN is different, too.
  return worst <= Math.min(limit, largestLimit) ? 'same' : 'different'
}

export interface Vote {
  readonly peer: PeerId
  readonly rank: Rank
}

export type Verdict =
  /** Ask one more referee. */
  | { readonly t: 'more' }
  /** Everyone agrees with someone whom the others agree with: the mismatch was none. */
  | { readonly t: 'agreed' }
  | { readonly t: 'lost'; readonly losers: readonly PeerId[] }
  /** Nobody is accused; the request is run again. */
  | { readonly t: 'split' }

/** What a vote is worth. A newcomer's needs another's beside it. */
const weights: Record<Rank, number> = { anchor: 2, proven: 1, new: 1, barred: 0 }
/** What must stand together against one of that rank: two against a newcomer, three against who is proven; an anchor counts twice. */
const needed: Record<Rank, number> = { anchor: 4, proven: 3, new: 2, barred: 1 }

const weightOf = (votes: readonly Vote[]): number => votes.reduce((sum, { rank }) => sum + weights[rank], 0)

/**
 * @param votes producer, auditor, then referees in the order asked
 * @param same whether the works of votes i and j are the same
 * @param available how many more referees there are
 */
export function judge(votes: readonly Vote[], same: (i: number, j: number) => boolean, available: number): Verdict {
  const camp = largestCamp(votes, same)
  const outside = votes.flatMap((vote, i) => (camp.some((j) => j === i || same(i, j)) ? [] : [vote]))
  const referees = votes.length - 2
  const strength = weightOf(camp.map((i) => votes[i] as Vote))
  if (referees > 0) {
    if (outside.length === 0) return { t: 'agreed' }
    if (camp.length > 1 && strength > weightOf(outside) && outside.every(({ rank }) => strength >= needed[rank]))
      return { t: 'lost', losers: outside.map(({ peer }) => peer) }
  }
  return available > 0 && referees < mostReferees ? { t: 'more' } : { t: 'split' }
}

/** Indices of the weightiest set of votes that all agree with each other; five votes make 32 sets at most. */
function largestCamp(votes: readonly Vote[], same: (i: number, j: number) => boolean): number[] {
  let best: number[] = []
  let bestWeight = -1
  for (let set = 1; set < 1 << votes.length; set++) {
    const members = votes.map((_, i) => i).filter((i) => (set >> i) & 1)
    const weight = weightOf(members.map((i) => votes[i] as Vote))
    if (weight <= bestWeight) continue
    if (members.every((i) => members.every((j) => j <= i || same(i, j)))) {
      best = members
      bestWeight = weight
    }
  }
  return best
}
