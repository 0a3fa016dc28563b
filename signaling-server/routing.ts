/**
 * Which pipeline a session gets: the quickest chain of volunteers that serve, each with room. Pure.
 */
import type { BlockRange } from '../protocol/manifest.ts'
import { cheapestChain, missingSegments, widestChain } from './chain.ts'
import { isServing, type Holding, type Model, type Ready, type Swarm, type Volunteer } from './swarm.ts'

export type Routing =
  | { readonly stages: readonly Serving[] }
  /** Nobody who serves holds these blocks. */
  | { readonly missing: readonly BlockRange[] }
  /** Held, but too many positions for any pipeline, busy or not; `most` would do. */
  | { readonly tooLong: true; readonly most: number }
  /** Held, but every pipeline has a stage at its bound. */
  | { readonly full: true }

/** Sessions a stage serves at once: on two cores, four fill a pipeline of three; the rest is fairness and waiting. */
export const sessionsPerStage = 8
/** Of these, places for requesters who have no session yet: nobody shuts the others out, whatever he opens. */
export const keptPlaces = 2
/** A hop in milliseconds, so that a longer chain must earn its keep. */
const hopMs = 1
/** No stage is quicker, whatever it says. */
const leastMsPerRow = 0.1
/** Replicas whose cost differs by less than this share take turns by chance. */
const spread = 0.1

export interface Serving extends Volunteer {
  holding: Holding & { ready: Ready }
}

/**
 * @param places sessions that a stage may have, this one included
 * @param random uniform in [0, 1)
 */
export function route({ model, members }: Swarm, maxPositions: number, places: number, random: () => number): Routing {
  const serving = [...members].filter((v): v is Serving => isServing(v))
  const missing = missingSegments(model, serving)
  if (missing.length > 0) return { missing }
  const end = model.manifest.blocks.length
  const decoder = model.manifest.decoder !== undefined
  if (decoder) {
    const most = widestChain(
      serving.map(({ holding }) => ({ range: holding.blocks, room: holding.ready.cachePositions })),
      end,
    )
    if (most < maxPositions) return { tooLong: true, most }
  }
  const free = serving.filter((v) => v.sessions < places && (!decoder || v.positions + maxPositions <= v.holding.ready.cachePositions))
  const stages = cheapestChain<Serving>(
    free.map((v) => ({ range: v.holding.blocks, cost: stageCost(v) * (1 + spread * random()), of: v })),
    end,
  )
  return stages ? { stages } : { full: true }
}

/** Milliseconds a row takes there and on its way, with the sessions already there. */
function stageCost({ holding, sessions, power }: Serving): number {
  return hopMs + (Math.max(leastMsPerRow, holding.ready.msPerRow) * (1 + sessions)) / Math.max(0.05, power)
}

/** Whether a session would find a pipeline now, if nobody else were there: for the catalogue. */
export const missingNow = (model: Model, members: Iterable<Volunteer>): BlockRange[] =>
  missingSegments(model, [...members].filter(isServing))
