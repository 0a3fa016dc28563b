/**
 * Which pipeline a session gets: the quickest chain of ready volunteers whose blocks join up, each with room. Pure.
 */
import type { BlockRange } from '../protocol/manifest.ts'
import type { Model, Volunteer } from './swarm.ts'

export type Routing =
  | { readonly stages: readonly Volunteer[] }
  /** Nobody ready holds these blocks. */
  | { readonly missing: readonly BlockRange[] }
  /** Held, but every holder is at its bound. */
  | { readonly full: true }

/** Sessions a stage serves at once: on two cores, four fill the pipeline; the rest is fairness and waiting. */
export const sessionsPerStage = 8

/**
 * Dijkstra over block boundaries: from 0 to the end, an edge for each volunteer with room, its cost the time a row takes there,
 * its present load counted in. A peer serves one stage of a session.
 */
export function route(model: Model, volunteers: readonly Volunteer[], maxPositions: number, exclude: ReadonlySet<string> = new Set()): Routing {
  const ready = volunteers.filter((v) => v.holding?.ready && !v.paused && v.holding.revision === model.revision && !exclude.has(v.peer))
  const missing = uncovered(model, ready)
  if (missing.length > 0) return { missing }
  const decoder = model.manifest.decoder !== undefined
  const free = ready.filter((v) => v.sessions < sessionsPerStage && (!decoder || v.positions + maxPositions <= (v.holding?.ready?.cachePositions ?? 0)))
  const end = model.manifest.blocks.length
  const best = new Map<number, { cost: number; path: readonly Volunteer[] }>([[0, { cost: 0, path: [] }]])
  const settled = new Set<number>()
  for (;;) {
    const at = nearest(best, settled)
    if (at === undefined) return { full: true }
    const { cost, path } = best.get(at) as { cost: number; path: readonly Volunteer[] }
    if (at === end) return { stages: path }
    settled.add(at)
    for (const v of free) {
      const { blocks } = v.holding as { blocks: BlockRange }
      if (blocks.first !== at || path.includes(v)) continue
      const reached = cost + stageCost(v)
      if (reached < (best.get(blocks.end)?.cost ?? Infinity)) best.set(blocks.end, { cost: reached, path: [...path, v] })
    }
  }
}

/** A hop in milliseconds, so that a longer chain must earn its keep. */
const hopMs = 1

const stageCost = (v: Volunteer) => hopMs + ((v.holding?.ready?.msPerRow ?? 0) * (1 + v.sessions)) / Math.max(0.05, v.power)

function nearest(best: ReadonlyMap<number, { cost: number }>, settled: ReadonlySet<number>): number | undefined {
  let found: number | undefined
  for (const [at, { cost }] of best) if (!settled.has(at) && (found === undefined || cost < (best.get(found)?.cost ?? Infinity))) found = at
  return found
}

/** Planned stages that no chain from the first block to the last can pass. */
function uncovered({ plan, manifest }: Model, ready: readonly Volunteer[]): BlockRange[] {
  const from = new Set([0])
  const to = new Set([manifest.blocks.length])
  for (let grown = true; grown; ) {
    grown = false
    for (const { holding } of ready) {
      const { first, end } = (holding as { blocks: BlockRange }).blocks
      if (from.has(first) && !from.has(end)) grown = Boolean(from.add(end))
      if (to.has(end) && !to.has(first)) grown = Boolean(to.add(first))
    }
  }
  if (from.has(manifest.blocks.length)) return []
  const gaps = plan.filter(({ first, end }) => !ready.some(({ holding: h }) => (h as { blocks: BlockRange }).blocks.first <= first && (h as { blocks: BlockRange }).blocks.end >= end))
  return gaps.length > 0 ? gaps : plan.filter(({ first, end }) => !(from.has(first) && to.has(end)))
}
