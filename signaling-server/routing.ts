/**
 * Which pipeline a session gets: the quickest chain of volunteers that serve, each with room; and who takes the place of stages
 * that are gone. Pure.
 */
import type { PeerId } from '../protocol/ids.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { distance, seenFrom, type Viewpoint } from './audience.ts'
import { cheapestChain, missingSegments, widestChain, type Piece } from './chain.ts'
import { isServing, type Holding, type Model, type Ready, type Swarm, type Volunteer } from './swarm.ts'

export type Routing =
  | { readonly stages: readonly Serving[] }
  /** Nobody who serves holds these blocks. */
  | { readonly missing: readonly BlockRange[] }
  /** Held, but too many positions for any pipeline, busy or not; `most` would do. */
  | { readonly tooLong: true; readonly most: number }
  /** Held, but every pipeline has a stage at its bound. */
  | { readonly full: true }

/** What a choice of peers goes by besides their speed and room. */
export interface Choice {
  /** For whom it is: their own volunteers come first, the public's then, other projects' last. */
  readonly viewpoint?: Viewpoint
  /** Of those who may serve, the ones that others need more now. */
  reserved?(v: Volunteer): boolean
  /** It has waited so long that nothing is kept from it for others any more. */
  readonly patient?: boolean
  /** Peers that must not take part. */
  readonly without?: ReadonlySet<PeerId>
  /** Whose work may be part of an answer while others could do it; of those who have not proven themselves no more are taken than need be. */
  mayProduce?(peer: PeerId): boolean
  /** What its cost is multiplied by: the longest known first. @param onlineMs how long it has been there this time */
  trustCost?(peer: PeerId, onlineMs: number): number
  /** Milliseconds since some moment: whoever was slow a while ago comes last. */
  readonly now?: number
  /** Uniform in [0, 1). */
  random(): number
}

/** Sessions a stage serves at once: on two cores, four fill a pipeline of three; the rest is fairness and waiting. */
export const sessionsPerStage = 8
/** Of these, places for requesters who have no session yet: nobody shuts the others out, whatever he opens. */
export const keptPlaces = 2
/** Of the places at a project's volunteers, those that nobody else gets. */
export const keptForOwn = 2
/** A hop in milliseconds, so that a longer chain must earn its keep. */
const hopMs = 1
/** No stage is quicker, whatever it says. */
const leastMsPerRow = 0.1
/** Replicas whose cost differs by less than this share take turns by chance. */
const spread = 0.1
/** Against one who was slow a while ago. */
const slowFactor = 10
/** A replacement behind the same address as a stage that stays may go with it. */
const nearFactor = 2
/** A stage that stays keeps what it has computed: whatever a newcomer's speed, it would have all of it to do again. */
const dropCost = 1e6
/** Above any speed and any number of stages that would have to begin anew. */
const unprovenCost = 1e9
/** Against who is not of the same project, twice against another project's: above any usual speed, and below a stage that would have to begin anew. */
const distanceCost = 1e5
/** A standby has computed the session's rows already. */
const standbyFactor = 1e-3

export interface Serving extends Volunteer {
  holding: Holding & { ready: Ready }
}

/** @param places sessions that a stage may have, this one included */
export function route({ model, members }: Swarm, maxPositions: number, places: number, choice: Choice): Routing {
  const { viewpoint, without, reserved } = choice
  const serving = [...seenFrom(viewpoint, members)].filter((v): v is Serving => isServing(v) && !without?.has(v.peer))
  const missing = missingSegments(model, serving)
  if (missing.length > 0) return { missing }
  const end = model.manifest.blocks.length
  const decoder = model.manifest.decoder !== undefined
  const trusted = trustedEnough(serving, end, choice)
  if (decoder) {
    const most = widestChain(
      trusted.map(({ holding }) => ({ range: holding.blocks, room: holding.ready.cachePositions })),
      end,
    )
    if (most < maxPositions) return { tooLong: true, most }
  }
  const keepsPlaces = (v: Serving) => !choice.patient && v.gives !== undefined && v.gives.project !== viewpoint
  const placesAt = (v: Serving) => (keepsPlaces(v) ? places - keptForOwn : places)
  const free = trusted.filter((v) => v.sessions < placesAt(v) && hasRoom(v, decoder, maxPositions) && !reserved?.(v))
  const stages = cheapestChain<Serving>(
    free.map((v) => pieceOf(v, stageCost(v, choice) + distanceCost * distance(v, viewpoint))),
    end,
  )
  return stages ? { stages } : { full: true }
}

export interface Rerouting {
  /** Stages that go on. */
  readonly kept: readonly Volunteer[]
  readonly maxPositions: number
  /** Rows a run of the session may have: nobody with a lower limit can take part. */
  readonly maxRows: number
  /** Who has computed the session's rows already, beside those who are kept. */
  isStandby?(v: Volunteer): boolean
}

/**
 * A whole pipeline again: those who are kept stay, others take the place of those who are gone, one or several for a range. Where
 * the kept ranges don't join with anybody's, they go too. A session under way comes before new ones: it needs room in the
 * caches, not one of the places that are shared out.
 */
export function reroute({ model, members }: Swarm, { kept, maxPositions, maxRows, isStandby }: Rerouting, choice: Choice): Routing {
  const end = model.manifest.blocks.length
  const decoder = model.manifest.decoder !== undefined
  const staying = kept.filter((v): v is Serving => v.holding?.ready !== undefined)
  const seen = seenFrom(choice.viewpoint, members)
  const others = [...seen].filter((v): v is Serving => isServing(v) && !choice.without?.has(v.peer) && !staying.includes(v as Serving))
  const missing = missingSegments(model, [...staying, ...others])
  if (missing.length > 0) return { missing }
  const fit = others.filter((v) => v.holding.ready.rowLimit >= maxRows && (isStandby?.(v) === true || hasRoom(v, decoder, maxPositions)))
  const near = new Set(staying.map((v) => v.network).filter((network) => network !== undefined))
  const stages = cheapestChain<Serving>(
    [
      ...staying.map((v) => pieceOf(v, 0)),
      ...fit.map((v) => {
        const dropped = staying.filter((s) => overlap(s.holding.blocks, v.holding.blocks)).length
        const own =
          stageCost(v, choice) * (isStandby?.(v) ? standbyFactor : 1) * (v.network !== undefined && near.has(v.network) ? nearFactor : 1)
        const away = isStandby?.(v) ? 0 : distanceCost * distance(v, choice.viewpoint)
        return pieceOf(v, own + away + dropped * dropCost + (choice.mayProduce?.(v.peer) === false ? unprovenCost : 0))
      }),
    ],
    end,
  )
  return stages ? { stages } : { full: true }
}

/** Whether a session would find a pipeline now among these, if nobody else were there: for the catalogue. */
export const missingNow = (model: Model, members: Iterable<Volunteer>): BlockRange[] =>
  missingSegments(model, [...members].filter(isServing))

/** Everybody who is proven, and of the others only whom no chain of proven ones can spare: while a network is young, all. */
function trustedEnough(serving: readonly Serving[], end: number, { mayProduce }: Choice): readonly Serving[] {
  if (!mayProduce) return serving
  const unproven = (v: Serving) => (mayProduce(v.peer) ? 0 : 1)
  const fewest = cheapestChain<Serving>(
    serving.map((v) => pieceOf(v, unproven(v))),
    end,
  )
  // The blocks that no chain of the fewest goes without.
  const spared = (v: Serving) => !fewest?.some((f) => unproven(f) === 1 && overlap(f.holding.blocks, v.holding.blocks))
  return serving.filter((v) => unproven(v) === 0 || !spared(v))
}

const pieceOf = (v: Serving, cost: number): Piece<Serving> => ({ range: v.holding.blocks, cost, of: v })

const overlap = (a: BlockRange, b: BlockRange): boolean => a.first < b.end && b.first < a.end

const hasRoom = ({ positions, holding }: Serving, decoder: boolean, maxPositions: number): boolean =>
  !decoder || positions + maxPositions <= holding.ready.cachePositions

/** Milliseconds a row takes there and on its way, with the sessions already there. */
function stageCost({ peer, since, holding, sessions, power, slowUntil }: Serving, { random, now, trustCost }: Choice): number {
  const rowMs = (Math.max(leastMsPerRow, holding.ready.msPerRow) * (1 + sessions)) / Math.max(0.05, power)
  const slow = slowUntil !== undefined && now !== undefined && now < slowUntil ? slowFactor : 1
  const trust = trustCost?.(peer, now === undefined ? Infinity : now - since) ?? 1
  return (hopMs + rowMs * slow) * trust * (1 + spread * random())
}
