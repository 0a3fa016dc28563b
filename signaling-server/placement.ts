/**
 * Which blocks a volunteer is given: what the model most in need lacks and this volunteer can hold. And which replica moves
 * when a part of a model has lost its last holder. Pure.
 */
import type { Revision } from '../protocol/ids.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { seenFrom, viewpointOf, viewpointsOf, type Viewpoint } from './audience.ts'
import { missingSegments, nearestChain, type ChainLink } from './chain.ts'
import { bytesNeeded, demandNow, holds, isCounted, rangeKey, type Model, type StageCount, type Swarm, type Volunteer } from './swarm.ts'

export interface Placement {
  readonly revision: Revision
  readonly blocks: BlockRange
}

/** A page that is reloaded is back within this; nobody takes its place meanwhile. */
export const returnMs = 5_000
/** Milliseconds a row that a replica is counted whole at; quicker ones for more, up to `mostReplicas`. */
const usualMsPerRow = 20
/** However quick, a volunteer may leave: it is not counted for more than so many. */
const mostReplicas = 4
/** What a model lacks that others have begun to hold comes before everything: without it their part is idle. */
const begunFactor = 1e6
/** A model that nobody holds, against one more replica of a model with as much demand: it comes first, however slow the other's holders. */
const newFactor = 4
/** Nobody's part counts as less than this, so that one more replica is worth twice its model's demand at most. */
const leastCover = 0.5
/** A part with one holder comes before every part with two, however slow those are: without it a session has nowhere to go on. */
const secondWorth = 1 / leastCover
const furtherFactor = 0.4
/** Looking from one more viewpoint takes a millisecond with 5,000 volunteers: so many projects' at once, others half a second later. */
const projectsInTurn = 8
const turnMs = 500
/** One more replica of a part is worth little while another part has no holder. */
const incompleteFactor = 0.01

/**
 * @param stages with 'auto' a volunteer takes as many neighbouring segments that nobody holds as fit it, so that one alone can
 *   serve a whole model; with a number exactly one
 * @returns why there is nothing, as a sentence for people, where nothing fits
 */
export function place(
  volunteer: Volunteer,
  swarms: readonly Swarm[],
  stages: StageCount,
  now: number,
): Placement | { readonly idle: string } {
  const wanted = swarms.filter(({ model }) => volunteer.models.length === 0 || volunteer.models.includes(model.revision))
  if (swarms.length === 0) return { idle: 'This server has no models yet.' }
  if (wanted.length === 0) return { idle: 'This server has none of the models that you chose.' }
  let best: (Placement & { score: number }) | undefined
  let retryAt = Infinity
  for (const { model, members } of wanted) {
    // What those hold who serve nobody whom this one serves helps nobody here.
    const swarm = { model, members: seenFrom(viewpointOf(volunteer), members) }
    const cover = coverage(swarm)
    const holders = heldBy(swarm).map((all) => all.length)
    const missing = new Set(missingSegments(model, [...swarm.members].filter(isCounted)))
    for (const [i, segment] of model.plan.entries()) {
      const score = need(model, cover, holders, missing, i, now)
      if (score <= (best?.score ?? 0)) continue
      if (bytesNeeded(model.manifest, segment) > volunteer.memoryBytes) continue
      // What failed as a whole may still do in part.
      const ranges = stages === 'auto' && missing.has(segment) ? [widen(volunteer, model, missing, segment), segment] : [segment]
      const failedUntil = (range: BlockRange) => volunteer.failures.get(rangeKey(model.revision, range))?.until ?? 0
      const blocks = ranges.find((range) => failedUntil(range) <= now)
      if (blocks) best = { revision: model.revision, blocks, score }
      else retryAt = Math.min(retryAt, ...ranges.map(failedUntil))
    }
  }
  if (best) return { revision: best.revision, blocks: best.blocks }
  if (retryAt === Infinity) return { idle: 'No part of a model fits the memory that you allow. Allow more to help.' }
  return { idle: `What could be done here failed. Trying again in ${Math.ceil((retryAt - now) / 1000)} s.` }
}

export interface Move {
  readonly volunteer: Volunteer
  readonly placement: Placement
}

/**
 * A model lacks a part and nobody is free: who takes its place, one move at a time. Its own replicas go first, handing on the
 * part that only they can leave to another; with 'auto' a holder takes on what lies beside its range. Another model's replicas
 * go only if with them this one is whole. No move makes any model lack more, so none is undone by the next. What a project lacks
 * whose volunteers serve it alone, those volunteers move for.
 * @param awaited whether sessions under way wait for the model: then nobody's return is
 */
export function move(
  swarms: readonly Swarm[],
  stages: StageCount,
  now: number,
  awaited: (revision: Revision) => boolean = () => false,
): Move | undefined {
  for (const viewpoint of inTurn(viewpointsOf(swarms.flatMap(({ members }) => [...members])), now)) {
    const seen = swarms.map(({ model, members }) => ({ model, members: seenFrom(viewpoint, members) }))
    const mine = (v: Volunteer) => viewpointOf(v) === viewpoint
    const moved = moveOf(seen, mine, stages, now, awaited)
    if (moved) return moved
  }
  return undefined
}

/** The public's each time, and of the projects' some: with hundreds of them each has its turn within a minute. */
function inTurn([everybody, ...projects]: readonly Viewpoint[], now: number): Viewpoint[] {
  const from = (Math.floor(now / turnMs) * projectsInTurn) % Math.max(1, projects.length)
  return [everybody, ...[...projects.slice(from), ...projects.slice(0, from)].slice(0, projectsInTurn)]
}

/** @param mine who is there for those who look at it so, and may move for them */
function moveOf(
  swarms: readonly Swarm[],
  mine: (v: Volunteer) => boolean,
  stages: StageCount,
  now: number,
  awaited: (revision: Revision) => boolean,
): Move | undefined {
  const mayMove = (v: Volunteer) => v.sessions === 0 && isCounted(v) && mine(v)
  const standing = (swarm: Swarm) => standingIn(swarm, now, awaited(swarm.model.revision))
  for (const swarm of swarms.toSorted((a, b) => demandNow(b.model, now) - demandNow(a.model, now))) {
    const { model } = swarm
    const chain = nearestChain(model, standing(swarm))
    const missing = chain.filter(({ holder }) => !holder).map(({ range }) => range)
    if (missing.length === 0) continue
    const wide = (volunteer: Volunteer, range: BlockRange): Move => {
      const wider = stages === 'auto' && missing.includes(range) ? widen(volunteer, model, missing, range) : range
      const blocks = fits(volunteer, model, wider, now) ? wider : range
      return { volunteer, placement: { revision: model.revision, blocks } }
    }
    const own = spares(swarm, chain, mayMove)
    const others = swarms
      .filter((other) => other !== swarm)
      .flatMap((other) => spares(other, nearestChain(other.model, standing(other)), mayMove))
    const handed =
      handOver(chain, own, model, now, mayMove).first ?? (stages === 'auto' ? extend(chain, missing, model, now, mayMove) : undefined)
    if (handed) return wide(handed.volunteer, handed.range)
    const { first, whole } = handOver(chain, [...own, ...others], model, now, mayMove)
    if (first && whole) return wide(first.volunteer, first.range)
  }
  for (const swarm of swarms) {
    const second = secondHolder(swarm, now, mayMove)
    if (second) return second
  }
  return undefined
}

type MayMove = (v: Volunteer) => boolean

/** A part has one holder, and another part three: the one that can be spared there goes where a session would have nowhere to go on. */
function secondHolder(swarm: Swarm, now: number, mayMove: MayMove): Move | undefined {
  const { model } = swarm
  const held = heldBy(swarm)
  const holdersOf = (segment: BlockRange) => held[model.plan.indexOf(segment)] as Volunteer[]
  for (const segment of model.plan.filter((s) => holdersOf(s).length === 1)) {
    const volunteer = [...swarm.members].find(
      (v) =>
        mayMove(v) &&
        v.holding?.ready !== undefined &&
        fits(v, model, segment, now) &&
        model.plan.every((s) => !holds(v, s) || holdersOf(s).length > 2),
    )
    if (volunteer) return { volunteer, placement: { revision: model.revision, blocks: segment } }
  }
  return undefined
}

/** Those that serve, will, or are expected back; of equals those come first that had better stay, and the absent last. */
function standingIn({ members }: Swarm, now: number, awaited: boolean): Volunteer[] {
  const worth = (v: Volunteer) => (isCounted(v) ? v.sessions + (v.holding?.ready ? 0.5 : 0) : -1)
  return [...members].filter((v) => isCounted(v) || (!awaited && returning(v, now))).sort((a, b) => worth(b) - worth(a))
}

const returning = (v: Volunteer, now: number) =>
  v.holding?.ready !== undefined && !v.paused && v.awaySince !== undefined && now - v.awaySince < returnMs

const fits = (v: Volunteer, model: Model, range: BlockRange, now: number) =>
  (v.models.length === 0 || v.models.includes(model.revision)) &&
  bytesNeeded(model.manifest, range) <= v.memoryBytes &&
  (v.failures.get(rangeKey(model.revision, range))?.until ?? 0) <= now

/** Without them their model lacks no more. */
function spares({ members }: Swarm, chain: readonly ChainLink[], mayMove: MayMove): Volunteer[] {
  const needed = new Set(chain.map(({ holder }) => holder))
  return [...members].filter((v) => mayMove(v) && !needed.has(v))
}

interface Handed {
  readonly volunteer: Volunteer
  readonly range: BlockRange
}

/**
 * A holder for every range of the chain, as far as it goes: Kuhn's matching, from the holders there are. A holder may hand its
 * range on to another so as to take one that only it can.
 * @returns `first`: a move that leaves no range without its holder; `whole`: all of them together leave none without one
 */
function handOver(
  chain: readonly ChainLink[],
  free: readonly Volunteer[],
  model: Model,
  now: number,
  mayMove: MayMove,
): { readonly first: Handed | undefined; readonly whole: boolean } {
  const rangeOf = new Map<Volunteer, BlockRange>()
  const holderOf = new Map<BlockRange, Volunteer>()
  const take = (v: Volunteer, range: BlockRange) => {
    rangeOf.set(v, range)
    holderOf.set(range, v)
  }
  for (const { range, holder } of chain) if (holder) take(holder, range)
  const candidates = [...free, ...[...rangeOf.keys()].filter(mayMove)]
  const find = (range: BlockRange, asked: Set<Volunteer>): boolean =>
    candidates.some((v) => {
      if (asked.has(v) || !(holdsExactly(v, model, range) || fits(v, model, range, now))) return false
      asked.add(v)
      const own = rangeOf.get(v)
      if (own && !find(own, asked)) return false
      take(v, range)
      return true
    })
  const found = chain.map(({ range, holder }) => holder !== undefined || find(range, new Set()))
  const moves = [...rangeOf].map(([volunteer, range]) => ({ volunteer, range })).filter((m) => !holdsExactly(m.volunteer, model, m.range))
  const first = moves.find(({ volunteer }) => {
    const left = chain.find(({ holder }) => holder === volunteer)?.range
    return !left || holdsExactly(holderOf.get(left), model, left)
  })
  return { first, whole: found.every(Boolean) }
}

const holdsExactly = (v: Volunteer | undefined, { revision }: Model, { first, end }: BlockRange) =>
  v?.holding?.revision === revision && v.holding.blocks.first === first && v.holding.blocks.end === end

/** A holder without a session that has room for what is missing beside its own range. */
function extend(
  chain: readonly ChainLink[],
  missing: readonly BlockRange[],
  model: Model,
  now: number,
  mayMove: MayMove,
): Handed | undefined {
  for (const { range, holder } of chain) {
    if (!holder || !mayMove(holder)) continue
    const wider = widen(holder, model, missing, range)
    if (wider !== range && fits(holder, model, wider, now)) return { volunteer: holder, range: wider }
  }
  return undefined
}

/** Capacity that the holders of each segment add up to: a volunteer of usual speed counts 1. Rows that are no tokens have no usual speed. */
function coverage(swarm: Swarm): number[] {
  const { decoder } = swarm.model.manifest
  return heldBy(swarm).map((holders) => holders.reduce((sum, v) => sum + (decoder ? replicas(v) : v.power), 0))
}

/** Of every segment of the plan those who hold it, or will. */
function heldBy({ model, members }: Swarm): Volunteer[][] {
  const counted = [...members].filter(isCounted)
  return model.plan.map((segment) => counted.filter((v) => holds(v, segment)))
}

function replicas({ power, holding }: Volunteer): number {
  const msPerRow = holding?.ready?.msPerRow
  return power * (msPerRow === undefined ? 1 : Math.min(mostReplicas, usualMsPerRow / Math.max(1, msPerRow)))
}

/** How much one more holder of segment i is worth. */
function need(
  model: Model,
  cover: readonly number[],
  holders: readonly number[],
  missing: ReadonlySet<BlockRange>,
  i: number,
  now: number,
): number {
  const demand = 1 + demandNow(model, now)
  const further = (furtherFactor * demand) / Math.max(leastCover, cover[i] as number)
  const worth = (holders[i] as number) < 2 ? secondWorth * demand : further
  if (missing.size === 0) return worth
  if (!missing.has(model.plan[i] as BlockRange)) return incompleteFactor * worth
  if (missing.size < model.plan.length) return begunFactor * (demand / missing.size)
  // Of two that nobody holds, the one that fewer can make whole.
  return newFactor * demand * (0.5 + 0.5 / missing.size)
}

/** From a range on over missing segments, forward and then back, as far as memory goes. */
function widen({ memoryBytes }: Volunteer, { manifest }: Model, missing: Iterable<BlockRange>, from: BlockRange): BlockRange {
  const left = [...missing]
  for (let range = from; ;) {
    const { first, end } = range
    const wider = [
      ...left.filter((next) => next.first === end).map((next) => ({ first, end: next.end })),
      ...left.filter((next) => next.end === first).map((next) => ({ first: next.first, end })),
    ].find((grown) => bytesNeeded(manifest, grown) <= memoryBytes)
    if (!wider) return range
    range = wider
  }
}
