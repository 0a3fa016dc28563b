/**
 * After a loss: which of the loser's stage-jobs whose rows are still kept are audited again, and in which order.
 */
import { backtrackChunks } from './policy.ts'

export interface KeptJob {
  /** When it ended. */
  readonly at: number
  readonly chunks: number
  /** Audited by a proven peer or an anchor already, with the same outcome. */
  readonly checked: boolean
}

/**
 * The nearest to the loss first, since lies come in bursts. After a first strike the last `backtrackChunks`; of a barred key
 * everything that is kept.
 */
export function jobsToRecheck<J extends KeptJob>(kept: readonly J[], lostAt: number, barred: boolean): J[] {
  const nearest = kept.filter(({ checked }) => !checked).sort((a, b) => Math.abs(a.at - lostAt) - Math.abs(b.at - lostAt))
  if (barred) return nearest
  let left = backtrackChunks
  return nearest.filter(({ chunks }) => {
    const taken = left > 0
    left -= chunks
    return taken
  })
}
