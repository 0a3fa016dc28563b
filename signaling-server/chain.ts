/**
 * Chains of block ranges from the first block to the last, each beginning where the one before ends. A peer holds one range
 * and ranges only lead forward, so none can stand in a chain twice. Pure.
 */
import type { BlockRange } from '../protocol/manifest.ts'
import type { Model, Volunteer } from './swarm.ts'

export interface Piece<T> {
  readonly range: BlockRange
  /** Not negative. */
  readonly cost: number
  readonly of: T
}

/** The pieces of the cheapest chain over blocks 0 to `end`; undefined when they don't join up. Of equals the first given. */
export function cheapestChain<T>(pieces: readonly Piece<T>[], end: number): T[] | undefined {
  const best = new Map<number, { cost: number; last?: Piece<T> }>([[0, { cost: 0 }]])
  // Every piece leads forward, so in the order of their beginnings each boundary is final when it is left.
  for (const piece of pieces.toSorted((a, b) => a.range.first - b.range.first)) {
    const from = best.get(piece.range.first)
    if (!from) continue
    const cost = from.cost + piece.cost
    if (cost < (best.get(piece.range.end)?.cost ?? Infinity)) best.set(piece.range.end, { cost, last: piece })
  }
  const chain: T[] = []
  for (let at = end; at > 0;) {
    const last = best.get(at)?.last
    if (!last) return undefined
    chain.unshift(last.of)
    at = last.range.first
  }
  return chain
}

/** The largest r for which a chain exists of pieces that all have room for r: -1 without any chain. */
export function widestChain(pieces: readonly { readonly range: BlockRange; readonly room: number }[], end: number): number {
  const widest = new Map<number, number>([[0, Infinity]])
  for (const { range, room } of pieces.toSorted((a, b) => a.range.first - b.range.first)) {
    const through = Math.min(room, widest.get(range.first) ?? -1)
    if (through > (widest.get(range.end) ?? -1)) widest.set(range.end, through)
  }
  return widest.get(end) ?? -1
}

/** A range of a chain, and the volunteer that holds it, where one does. */
export interface ChainLink {
  readonly range: BlockRange
  readonly holder?: Volunteer
}

/** The chain nearest to whole: ranges that these volunteers hold, and segments of the plan where nobody does. Of equal volunteers the first given. */
export function nearestChain({ plan, manifest }: Model, volunteers: Iterable<Volunteer>): ChainLink[] {
  const held: Piece<ChainLink>[] = []
  for (const v of volunteers) {
    if (v.holding) held.push({ range: v.holding.blocks, cost: 0, of: { range: v.holding.blocks, holder: v } })
  }
  const segments = plan.map((range) => ({ range, cost: 1, of: { range } }))
  // The plan alone is a chain, so there is one.
  return cheapestChain<ChainLink>([...held, ...segments], manifest.blocks.length) as ChainLink[]
}

/** The segments of the plan that the chain nearest to whole still needs; none when these volunteers make one. */
export const missingSegments = (model: Model, volunteers: Iterable<Volunteer>): BlockRange[] =>
  nearestChain(model, volunteers)
    .filter(({ holder }) => holder === undefined)
    .map(({ range }) => range)
