/**
 * What a network prefix is remembered for: keys are free, addresses less so. Where keys were barred, the next newcomers wait
 * longer and must show more. Nobody is barred for where he comes from.
 */
import * as v from 'valibot'
import { prefixBarHalfLifeMs } from './policy.ts'

export const prefixStandingSchema = v.object({
  /** Keys barred, each halved with every half-life since, as of `at`. */
  bars: v.pipe(v.number(), v.finite(), v.minValue(0)),
  at: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
})

export type PrefixStanding = Readonly<v.InferOutput<typeof prefixStandingSchema>>

export const barsAt = (prefix: PrefixStanding | undefined, now: number): number =>
  prefix ? prefix.bars * 2 ** (-Math.max(0, now - prefix.at) / prefixBarHalfLifeMs) : 0

export const afterBar = (prefix: PrefixStanding | undefined, now: number): PrefixStanding => ({ bars: barsAt(prefix, now) + 1, at: now })
