/**
 * A session stands still or crawls, and its stages have said how far they are and how fast: which of them holds it up. Pure.
 * docs/protocol.md [FO].
 */
import type { PeerId } from '../protocol/ids.ts'

/** What a stage answers to `probe`. */
export interface Pace {
  /** Rows run. */
  readonly held: number
  /** Mean milliseconds from a step's arrival to its output, over the last ones. */
  readonly serviceMs: number
}

export interface AskedStage {
  readonly peer: PeerId
  /** What it said it needs for a row. */
  readonly usualMs: number
  /** Undefined when it did not answer in time. */
  readonly pace: Pace | undefined
}

/** A stage answers between two steps, and a long run is a few hundred milliseconds. */
export const probeMs = 1_000
/** Whoever is so many times slower against its own word than the one that has the row is what holds the session up. */
const crawlFactor = 4

/**
 * The one that did not answer; else the first whose upstream has run a row that it has not, unless another crawls; else the
 * one that is slowest against its own word.
 * @param position of the row that the host waits for
 */
export function slowest(stages: readonly AskedStage[], position: number): PeerId | undefined {
  const silent = stages.find((s) => !s.pace)
  if (silent) return silent.peer
  const ratio = ({ pace, usualMs }: AskedStage) => (pace?.serviceMs ?? 0) / Math.max(1, usualMs)
  const crawling = stages.toSorted((a, b) => ratio(b) - ratio(a))[0]
  const waitedFor = stages.find((s, i) => (s.pace?.held ?? 0) < (i === 0 ? position + 1 : (stages[i - 1]?.pace?.held ?? 0)))
  if (!waitedFor || !crawling) return crawling?.peer
  return ratio(crawling) >= crawlFactor * Math.max(1, ratio(waitedFor)) ? crawling.peer : waitedFor.peer
}
