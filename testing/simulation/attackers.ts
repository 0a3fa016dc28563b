/**
 * Those who cheat, and how. All know every threshold, their own standing and whom they are paired with; none knows what is
 * drawn. Each lie is an error whose size the comparison is given.
 */
import { usualLimit } from '../../signaling-server/trust/policy.ts'
import type { Random } from './random.ts'

export type Kind = 'honest' | 'vandal' | 'lazy' | 'stealthy' | 'sleeper' | 'cartel'

/** Of the attackers in `mixed`, parts of twenty. */
const mixed: readonly (readonly [Kind, number])[] = [
  ['vandal', 4],
  ['lazy', 5],
  ['stealthy', 3],
  ['sleeper', 4],
  ['cartel', 4],
]

export interface Attack {
  readonly kind: 'none' | 'mixed' | 'sleepers' | 'cartel'
  /** Of all peers. */
  readonly share: number
}

/** What the i-th of n attackers is. */
export function kindOf({ kind }: Attack, i: number, n: number): Kind {
  if (kind === 'sleepers') return 'sleeper'
  if (kind === 'cartel') return 'cartel'
  let left = ((i + 0.5) / n) * 20
  for (const [kind, parts] of mixed) if ((left -= parts) < 0) return kind
  return 'cartel'
}

/** A key's plan, drawn when it is made. */
export interface Plan {
  /** Vandals and the lazy: half their keys cheat from the first piece of work, the others once they may produce. */
  readonly atOnce: boolean
  /** Stage-jobs that it does well once it may produce, before its first lie. */
  readonly patience: number
}

/** Jobs that a sleeper waits for, and a cartel; each key draws its own about this mean. */
const patienceOf: Record<Kind, number> = { honest: 0, vandal: 0, lazy: 0, stealthy: 0, sleeper: 300, cartel: 50 }
/** Share of its jobs in which it lies once it does. Sleepers burst; the others hope to be overlooked. */
const lieShareOf: Record<Kind, number> = { honest: 0, vandal: 1, lazy: 1, stealthy: 0.2, sleeper: 1, cartel: 0.1 }

export const planOf = (kind: Kind, random: Random): Plan => ({
  atOnce: (kind === 'vandal' || kind === 'lazy') && random.uniform() < 0.5,
  patience: random.exponential(patienceOf[kind]),
})

/** @returns the error of this stage-job; 0 when it is done well */
export function lieAsProducer(kind: Kind, { patience }: Plan, jobsDone: number, random: Random): number {
  return jobsDone >= patience && random.uniform() < lieShareOf[kind] ? lieSize(kind, random) : 0
}

/** An auditor alone gains nothing by a lie: only those lie who don't do the work, or destroy. */
export const lieAsAuditor = (kind: Kind, { atOnce }: Plan, random: Random): number => (atOnce ? lieSize(kind, random) : 0)

/** Garbage 0.3 to 1.3; f16 to int8 weights 1e-4 to 1e-2; the stealthy from half the limit to ten times it. */
function lieSize(kind: Kind, random: Random): number {
  if (kind === 'lazy') return 10 ** (-4 + 2 * random.uniform())
  if (kind === 'stealthy') return (usualLimit / 2) * 20 ** random.uniform()
  return 0.3 + random.uniform()
}
