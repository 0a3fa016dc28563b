/**
 * One stage's work under examination: who computed it, with what outcome, and whether any two of them did the same. Pure:
 * what follows from it, trust/verdict.ts says.
 */
import type { Hash, PeerId, SessionId } from '../protocol/ids.ts'
import { sketchDistance } from '../protocol/sketch.ts'
import { hashesEqual } from './audit-run.ts'
import { compareWork, judge, type Verdict } from './trust/verdict.ts'
import type { Rank } from './trust/standing.ts'

/** What one peer committed to, the producer first of all. */
export interface Work {
  readonly peer: PeerId
  readonly rank: Rank
  readonly wasm: boolean
  /** Backend and adapter, as quarantine knows them. */
  readonly backendKey: string
  readonly outputs: readonly (readonly Hash[])[]
  /** How far the producer's are from its own, where hashes can't tell; Infinity where more tokens differ than ties explain. */
  readonly worst?: number
  /** Sketch of its own rows, under the seed of the case. */
  readonly own?: Float32Array
}

/** A re-execution that is over. */
export interface Reexecution extends Work {
  readonly shadow: SessionId
}

export const compareToProducer = (producer: Work, work: Work): 'same' | 'different' | 'sketch' =>
  compareWork({
    hashesEqual: hashesEqual(producer.outputs, work.outputs),
    bothWasm: producer.wasm && work.wasm,
    ...(work.worst === undefined ? {} : { worst: work.worst }),
  })

/** @param works the producer's, then those of auditor and referees in the order asked */
export const verdictOf = (works: readonly Work[], available: number): Verdict =>
  judge(
    works,
    (i, j) => {
      const [a, b] = [works[Math.min(i, j)] as Work, works[Math.max(i, j)] as Work]
      return a === b || same(works[0] as Work, a, b)
    },
    available,
  )

function same(producer: Work, a: Work, b: Work): boolean {
  if (a === producer) return compareToProducer(producer, b) === 'same'
  const exact = compareWork({ hashesEqual: hashesEqual(a.outputs, b.outputs), bothWasm: a.wasm && b.wasm })
  if (exact !== 'sketch') return exact === 'same'
  // Who equals the producer to the bit was not asked for a sketch: what the other found of the producer's holds of it too.
  if (hashesEqual(a.outputs, producer.outputs)) return compareToProducer(producer, b) === 'same'
  if (hashesEqual(b.outputs, producer.outputs)) return compareToProducer(producer, a) === 'same'
  if (!a.own || !b.own || a.own.length !== b.own.length) return false
  return compareWork({ hashesEqual: false, bothWasm: false, worst: sketchDistance(a.own, b.own).worst }) === 'same'
}
