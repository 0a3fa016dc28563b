/**
 * What one execution of a stage-job gave, as one number: how far it is from the right result. Two executions are compared by
 * the server's own comparison, fed with what the shipped sketch estimates for their distance.
 */
import { sketchDistance, sketchRows } from '../../protocol/sketch.ts'
import { usualLimit } from '../../signaling-server/trust/policy.ts'
import { compareWork } from '../../signaling-server/trust/verdict.ts'
import type { Random } from './random.ts'

export interface Work {
  /** Relative L2 distance from the right result; 0 for honest work that went well. */
  readonly error: number
  readonly wasm: boolean
  /** The same object: the same bytes. Colluders hand theirs on. */
  readonly result: object
}

/** What honest wasm peers get, all to the bit. */
const rightBytes = {}

export const rightWork = (wasm: boolean): Work => ({ error: 0, wasm, result: wasm ? rightBytes : {} })
export const wrongWork = (error: number, wasm: boolean): Work => ({ error, wasm, result: {} })

/** By the definition of the shipped comparison: what is within its limit is not wrong. */
export const isWrong = ({ error }: Work): boolean => error > usualLimit

/** Honest noise between different backends: median 8e-7, one in 1,000 above 2.5e-6 (facts: 1e-7 to 3e-6). */
const noiseMedian = 8e-7
const noiseSpread = 0.37

export interface Comparing {
  same(a: Work, b: Work): boolean
}

/** @param falseMismatches share of comparisons of equal work that come out different all the same */
export function createComparing(random: Random, falseMismatches: number): Comparing {
  const overestimates = sampleSketches(random)
  return {
    same(a, b) {
      const alike = a.error === 0 && b.error === 0
      if (alike && random.uniform() < falseMismatches) return false
      const hashesEqual = a.result === b.result
      const bothWasm = a.wasm && b.wasm
      const first = compareWork({ hashesEqual, bothWasm })
      if (first !== 'sketch') return first === 'same'
      const noise = noiseMedian * Math.exp(noiseSpread * random.normal())
      const distance = Math.hypot(a.error, b.error, noise)
      const worst = distance * (overestimates[random.below(overestimates.length)] as number)
      return compareWork({ hashesEqual, bothWasm, worst }) === 'same'
    },
  }
}

/** What the shipped sketch says of the worst row of a 32-row chunk, as a multiple of the true distance: 1,000 samples. */
function sampleSketches(random: Random): number[] {
  const [rows, width, distance] = [32, 64, 1e-3]
  return Array.from({ length: 1000 }, () => {
    const right = Float32Array.from({ length: rows * width }, () => random.normal())
    const wrong = right.slice()
    for (let i = 0; i < rows; i++) {
      const row = right.subarray(i * width, (i + 1) * width)
      const error = Float64Array.from(row, () => random.normal())
      const scale = (distance * Math.hypot(...row)) / Math.hypot(...error)
      for (let j = 0; j < width; j++) wrong[i * width + j] = (row[j] as number) + scale * (error[j] as number)
    }
    const seed = Uint8Array.from({ length: 32 }, () => random.below(256))
    return sketchDistance(sketchRows(right, width, seed), sketchRows(wrong, width, seed)).worst / distance
  })
}
