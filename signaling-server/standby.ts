/**
 * Where a warm standby pays, and who stands by: somebody who computes a stage's rows alongside, so that a long answer goes on
 * at once when the stage is lost, instead of after all its rows have been run again. Pure.
 */
import type { PeerId } from '../protocol/ids.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { sessionsPerStage } from './routing.ts'
import { isServing, type Volunteer } from './swarm.ts'
import { agedMs } from './trust/policy.ts'

/**
 * Up to here a stage's rows are run again in about a second (measured for ten layers on wasm: 256 in 1.25 s, 1,024 in 12.4 s),
 * and running them twice would cost more than it saves.
 */
export const standbyFromRows = 256
/** Of a volunteer's time, what it spends on being ready is bounded. */
const standbysPerVolunteer = 2
/** Whoever serves as many sessions has no time to spare. */
const busySessions = sessionsPerStage / 2

export interface StandbyWanted {
  readonly blocks: BlockRange
  /** Peers that take part in the session, or stand by for another stage of it. */
  readonly taken: ReadonlySet<PeerId>
  readonly maxPositions: number
  readonly maxRows: number
  readonly decoder: boolean
}

/**
 * Whether a session is long enough, and its stage likely enough to go: a standby costs as much again as the stage, and most tabs
 * that close do so in their first minutes. Without a decoder there is one row.
 */
export const standbyPays = (rows: number, decoder: boolean, onlineMs: number): boolean =>
  decoder && rows >= standbyFromRows && onlineMs < agedMs

/** The least busy replica of exactly these blocks with room for the session. @param standing standbys that a volunteer has now */
export function standbyFor(
  members: Iterable<Volunteer>,
  { blocks, taken, maxPositions, maxRows, decoder }: StandbyWanted,
  standing: (v: Volunteer) => number,
): Volunteer | undefined {
  let best: Volunteer | undefined
  for (const v of members) {
    const { holding } = v
    if (!holding?.ready || !isServing(v) || taken.has(v.peer)) continue
    if (holding.blocks.first !== blocks.first || holding.blocks.end !== blocks.end || holding.ready.rowLimit < maxRows) continue
    if (decoder && v.positions + maxPositions > holding.ready.cachePositions) continue
    if (standing(v) >= standbysPerVolunteer || v.sessions >= busySessions) continue
    if (!best || v.sessions + standing(v) < best.sessions + standing(best)) best = v
  }
  return best
}
