/**
 * How much of whose work is audited: by what the producer has shown, and by what was found in the network lately. The draw
 * itself is the caller's, after the producer has signed.
 */
import * as v from 'valibot'
import {
  alarmFrom,
  alarmFull,
  alarmMemory,
  canaryShare,
  earlyAudits,
  firstCanaryShare,
  mostShare,
  quietShare,
  recheckShare,
  unprovenShare,
  watchedFor,
  watchedShare,
} from './policy.ts'
import { agreementsNeeded, rankOf, type Known } from './standing.ts'

export const networkStandingSchema = v.object({
  /** Producers barred per audit, averaged over the last `alarmMemory` audits. */
  barRate: v.pipe(v.number(), v.finite(), v.minValue(0)),
})

/** What was found in the network lately. */
export type NetworkStanding = Readonly<v.InferOutput<typeof networkStandingSchema>>

export const quietNetwork: NetworkStanding = { barRate: 0 }

/** After every audit's end: `barred` when it, or the re-audits that followed it, barred a producer. */
export const afterAudit = ({ barRate }: NetworkStanding, barred: boolean): NetworkStanding => ({
  barRate: barRate + (Number(barred) - barRate) / alarmMemory,
})

/** The share for those with full trust. */
export const networkShare = ({ barRate }: NetworkStanding): number =>
  quietShare + (mostShare - quietShare) * Math.min(1, Math.max(0, (barRate - alarmFrom) / (alarmFull - alarmFrom)))

/**
 * What an agreement counts for now. More audits make nobody trusted sooner: trust is given out at the same rate, as much for
 * the same number of answers, so an alarm doesn't let the next liars in.
 */
export const agreementWeight = (network: NetworkStanding): number => quietShare / networkShare(network)

/** Probability that a stage-job of this producer is audited. */
export function auditShare(producer: Known, network: NetworkStanding, now: number): number {
  const share = networkShare(network)
  if (producer.anchor) return share
  const { agreements, strikes, sinceStrike } = producer.standing
  if (producer.disputed) return 1
  if (strikes > 0 && sinceStrike < watchedFor) return watchedShare
  const isNew = rankOf(producer, now) === 'new'
  const beyond = isNew ? agreements : agreements - agreementsNeeded(producer.prefixBars)
  return Math.max(share, earlyAudits / (earlyAudits + beyond), isNew ? unprovenShare : 0)
}

/** Probability that an audit in which this auditor agreed is done again by a proven peer. */
export const recheckShareOf = (auditor: Known, now: number): number => (rankOf(auditor, now) === 'new' ? recheckShare : 0)

/** Probability that what this auditor is given next is work whose outcome is known already. */
export function canaryShareOf(auditor: Known, now: number): number {
  if (rankOf(auditor, now) !== 'new') return canaryShare
  return auditor.standing.agreements === 0 ? firstCanaryShare : canaryShare
}
