/**
 * Shares a model's blocks out among a number of stages: runs of neighbouring blocks, the most expensive stage as cheap as
 * can be. Used by the server's placement and by the carve command; pure.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import type { Block, BlockRange } from '../protocol/manifest.ts'

/**
 * Of all splits with the cheapest most expensive stage, the one whose other stages are the most even in cost, then in memory.
 * @param stages how many; at most one for each block is made
 * @returns ranges in order that cover all blocks
 * @throws ManyhandsError bad-input on fewer than one block or stage
 */
export function splitStages(blocks: readonly Pick<Block, 'cost' | 'residentBytes'>[], stages: number): BlockRange[] {
  if (blocks.length === 0 || !Number.isInteger(stages) || stages < 1) {
    throw new ManyhandsError('bad-input', `${blocks.length} blocks can't be shared out among ${stages} stages; give at least one of each.`)
  }
  const n = blocks.length
  const count = Math.min(stages, n)
  const cost = runningSums(blocks.map((b) => b.cost))
  const bytes = runningSums(blocks.map((b) => b.residentBytes))
  const between = (sums: Float64Array, first: number, end: number) => (sums[end] as number) - (sums[first] as number)
  const most = cheapestMost(cost, count)

  // even[k][end]: the unevenness of blocks 0 to end in k + 1 stages, and where the last of these starts.
  let even: Best[] = []
  const starts: Int32Array[] = []
  for (let k = 0; k < count; k++) {
    const next: Best[] = []
    const start = new Int32Array(n + 1)
    for (let end = k + 1; end <= n; end++) {
      let best: Best | undefined
      for (let first = end - 1; first >= k && between(cost, first, end) <= most; first--) {
        const before = k === 0 ? (first === 0 ? none : undefined) : even[first]
        if (!before) continue
        const sum = { cost: before.cost + between(cost, first, end) ** 2, bytes: before.bytes + between(bytes, first, end) ** 2 }
        if (best && (best.cost < sum.cost || (best.cost === sum.cost && best.bytes <= sum.bytes))) continue
        best = sum
        start[end] = first
      }
      if (best) next[end] = best
    }
    even = next
    starts.push(start)
  }
  const ranges: BlockRange[] = []
  for (let k = count - 1, end = n; k >= 0; k--) {
    const first = starts[k]?.[end] ?? 0
    ranges.unshift({ first, end })
    end = first
  }
  return ranges
}

/** Sums of squares over stages: the smaller, the more even. */
interface Best {
  readonly cost: number
  readonly bytes: number
}
const none: Best = { cost: 0, bytes: 0 }

function runningSums(values: readonly number[]): Float64Array {
  const sums = new Float64Array(values.length + 1)
  for (const [i, value] of values.entries()) sums[i + 1] = (sums[i] as number) + value
  return sums
}

/** The cost of the most expensive of `count` stages in the best split, each with a block at least. */
function cheapestMost(cost: Float64Array, count: number): number {
  const n = cost.length - 1
  let most = cost.slice()
  for (let k = 1; k < count; k++) {
    const next = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY)
    for (let end = k + 1; end <= n; end++) {
      for (let first = end - 1; first >= k; first--) {
        const last = (cost[end] as number) - (cost[first] as number)
        if (last >= (next[end] as number)) break
        next[end] = Math.min(next[end] as number, Math.max(most[first] as number, last))
      }
    }
    most = next
  }
  return most[n] as number
}
