/**
 * What a peer has shown, and what follows from it: plain data that the store keeps, and pure functions of it. Trust is
 * earned by audits that agreed, on either side; nothing else adds to it, so a new key is worth nothing.
 */
import * as v from 'valibot'
import type { PeerId } from '../../protocol/ids.ts'
import {
  agedMs,
  anchorRoutingCost,
  barredMs,
  fullAgreements,
  leastShown,
  mostFreshCost,
  mostPrefixDoublings,
  provenAgreements,
  strikeOutlivedBy,
} from './policy.ts'

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

const amount = v.pipe(v.number(), v.finite(), v.minValue(0))

export const standingSchema = v.object({
  /** Audits that agreed with this peer's work, as producer or auditor, by their weight; a strike takes all beyond the threshold. */
  agreements: amount,
  /** Audits lost that are not outlived. */
  strikes: count,
  /** Audits that agreed since the last strike, each counting 1. */
  sinceStrike: count,
  lastStrikeAt: v.optional(count),
  barredAt: v.optional(count),
})

export type Standing = Readonly<v.InferOutput<typeof standingSchema>>

/** A peer as decisions see it. */
export interface Known {
  readonly peer: PeerId
  readonly standing: Standing
  /** Named by the operator: counts as proven from the start. */
  readonly anchor: boolean
  /** Where it comes from, as limits count; undefined for a private address, which counts by its key. */
  readonly prefix: string | undefined
  /** Keys barred from there, faded by time: see prefixes.ts. */
  readonly prefixBars: number
  /** A mismatch that it is a side of is being decided: until then it gets no new work, and what it has under way is audited. */
  readonly disputed?: boolean
}

export type Rank = 'anchor' | 'proven' | 'new' | 'barred'

export const stranger: Standing = { agreements: 0, strikes: 0, sinceStrike: 0 }

/** As it counts now: a bar that is over leaves a stranger. */
export const standingAt = (standing: Standing, now: number): Standing =>
  standing.barredAt !== undefined && now - standing.barredAt >= barredMs ? stranger : standing

/**
 * Both sides of an audit that agreed.
 * @param weight what an audit is worth at the time: see `agreementWeight`
 */
export function afterAgreement(standing: Standing, weight: number): Standing {
  const sinceStrike = standing.sinceStrike + 1
  const outlived = standing.strikes > 0 && sinceStrike >= strikeOutlivedBy
  return { ...standing, agreements: standing.agreements + weight, sinceStrike, strikes: outlived ? 0 : standing.strikes }
}

/** The side that referees decided against. The first loss may be bad luck: trust falls to the threshold. The second is not. */
export function afterLoss(standing: Standing, now: number): Standing {
  const strikes = standing.strikes + 1
  const struck = { strikes, sinceStrike: 0, lastStrikeAt: now }
  if (strikes > 1) return { ...struck, agreements: 0, barredAt: standing.barredAt ?? now }
  return { ...struck, agreements: Math.min(standing.agreements, provenAgreements) }
}

/** A strike that turned out to be its backend's (quarantine.ts), not its own. */
export const forgiven = ({ agreements, sinceStrike }: Standing): Standing => ({ agreements, strikes: 0, sinceStrike })

/** Agreements asked of a newcomer from there. */
export const agreementsNeeded = (prefixBars: number): number =>
  Math.round(provenAgreements * 2 ** Math.min(mostPrefixDoublings, prefixBars))

export function rankOf({ standing, anchor, prefixBars }: Known, now: number): Rank {
  const { agreements, barredAt } = standingAt(standing, now)
  if (barredAt !== undefined) return 'barred'
  if (anchor) return 'anchor'
  return agreements >= agreementsNeeded(prefixBars) ? 'proven' : 'new'
}

/** Whether it may work for answers. A 'new' one may only where nobody proven holds the blocks: that is the router's to see. */
export function mayProduce(known: Known, now: number): boolean {
  const rank = rankOf(known, now)
  return !known.disputed && (rank === 'anchor' || rank === 'proven')
}

/**
 * What a route's cost through this peer is multiplied by. Work goes to the longest known first, so a key that has just become
 * proven can spoil little; and to tabs that have been open for a while, since most that close do so in their first minutes.
 * @param onlineMs how long it has been there this time
 */
export function routingCost({ standing, anchor, prefixBars }: Known, onlineMs = Infinity): number {
  const shown = Math.min(1, Math.max(leastShown, standing.agreements / fullAgreements))
  const unknown = anchor ? anchorRoutingCost : standing.agreements < agreementsNeeded(prefixBars) ? 1 / shown : 1 / Math.sqrt(shown)
  return unknown * Math.min(mostFreshCost, Math.max(1, agedMs / Math.max(1, onlineMs)))
}

/** Of two that may both be at fault: negative when `a` is trusted less. */
export const compareTrust = (a: Known, b: Known): number =>
  Number(a.anchor) - Number(b.anchor) || b.standing.strikes - a.standing.strikes || a.standing.agreements - b.standing.agreements

/** What a person is told of its own standing; the words are the page's. */
export interface Explanation {
  readonly rank: Rank
  readonly agreements: number
  readonly needed: number
  readonly strikes: number
  /** Agreements until a strike is forgotten. */
  readonly outlivedIn?: number
  /** When a bar ends. */
  readonly until?: number
}

export function explain(known: Known, now: number): Explanation {
  const { agreements, strikes, sinceStrike, barredAt } = standingAt(known.standing, now)
  const needed = agreementsNeeded(known.prefixBars)
  return {
    rank: rankOf(known, now),
    agreements,
    needed,
    strikes,
    ...(strikes > 0 && barredAt === undefined && { outlivedIn: strikeOutlivedBy - sinceStrike }),
    ...(barredAt !== undefined && { until: barredAt + barredMs }),
  }
}
