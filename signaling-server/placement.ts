/**
 * Which blocks a volunteer is given: what the model most in need lacks and this volunteer can hold. And which replica moves
 * when a part of a model has lost its last holder. Pure.
 */
import type { Revision } from '../protocol/ids.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { missingSegments } from './chain.ts'
import { bytesNeeded, demandNow, holds, isCounted, rangeKey, type Model, type StageCount, type Swarm, type Volunteer } from './swarm.ts'

export interface Placement {
  readonly revision: Revision
  readonly blocks: BlockRange
}

/** A page that is reloaded is back within this; nobody takes its place meanwhile. */
export const returnMs = 5_000
/** Volunteers of a swarm that are looked at for being spared; each look costs a walk over the swarm. */
const mostLooks = 64
/** Milliseconds a row that a replica is counted whole at; quicker ones for more, up to `mostReplicas`. */
const usualMsPerRow = 20
/** However quick, a volunteer may leave: it is not counted for more than so many. */
const mostReplicas = 4
/** What a model lacks that others have begun to hold comes before everything: without it their part is idle. */
const begunFactor = 1e6
/** A model that nobody holds, against one more replica of a model with as much demand. */
const newFactor = 4
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
  for (const swarm of wanted) {
    const { model } = swarm
    const cover = coverage(swarm)
    const missing = new Set(missingSegments(model, [...swarm.members].filter(isCounted)))
    for (const [i, segment] of model.plan.entries()) {
      const score = need(model, cover, missing, i, now)
      if (score <= (best?.score ?? 0)) continue
      if (bytesNeeded(model.manifest, segment) > volunteer.memoryBytes) continue
      // What failed as a whole may still do in part.
      const ranges = stages === 'auto' && missing.has(segment) ? [widen(volunteer, model, missing, i), segment] : [segment]
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

/**
 * A model lacks a part and nobody is free: the replica that can be spared and can take its place. Nothing moves unless
 * enough can be spared to make the model whole, so every move brings a model nearer to serving and none is undone by the next.
 */
export function move(
  swarms: readonly Swarm[],
  stages: StageCount,
  now: number,
): { readonly volunteer: Volunteer; readonly placement: Placement } | undefined {
  for (const swarm of swarms.toSorted((a, b) => demandNow(b.model, now) - demandNow(a.model, now))) {
    const { model } = swarm
    const missing = missingSegments(
      model,
      [...swarm.members].filter((v) => isCounted(v) || returning(v, now)),
    )
    if (missing.length === 0) continue
    const spare = spareFor(model, missing, swarms, now)
    if (spare.length < missing.length) continue
    for (const [i, segment] of model.plan.entries()) {
      if (!missing.includes(segment)) continue
      const volunteer = spare.find((v) => fits(v, model, segment, now))
      if (!volunteer) continue
      const wide = stages === 'auto' ? widen(volunteer, model, new Set(missing), i) : segment
      const blocks = fits(volunteer, model, wide, now) ? wide : segment
      return { volunteer, placement: { revision: model.revision, blocks } }
    }
  }
  return undefined
}

const returning = (v: Volunteer, now: number) =>
  v.holding?.ready !== undefined && !v.paused && v.awaySince !== undefined && now - v.awaySince < returnMs

const fits = (v: Volunteer, model: Model, range: BlockRange, now: number) =>
  bytesNeeded(model.manifest, range) <= v.memoryBytes && (v.failures.get(rangeKey(model.revision, range))?.until ?? 0) <= now

/** Members without a session, without whom their swarms lack no more than with them, and who can hold some of `missing`. */
function spareFor(model: Model, missing: readonly BlockRange[], swarms: readonly Swarm[], now: number): Volunteer[] {
  const spare: Volunteer[] = []
  for (const { model: theirs, members } of swarms) {
    let counted = [...members].filter(isCounted)
    const lacks = missingSegments(theirs, counted).length
    let looks = mostLooks
    for (const v of counted) {
      const may = v.models.length === 0 || v.models.includes(model.revision)
      if (v.sessions > 0 || !may || !missing.some((range) => fits(v, model, range, now))) continue
      if (spare.length >= missing.length || looks-- === 0) break
      const without = counted.filter((other) => other !== v)
      if (missingSegments(theirs, without).length > lacks) continue
      spare.push(v)
      counted = without
    }
  }
  return spare
}

/** Capacity that the holders of each segment add up to: a volunteer of usual speed counts 1. */
function coverage({ model, members }: Swarm): number[] {
  const counted = [...members].filter(isCounted)
  return model.plan.map((segment) => counted.filter((v) => holds(v, segment)).reduce((sum, v) => sum + replicas(v), 0))
}

function replicas({ power, holding }: Volunteer): number {
  const msPerRow = holding?.ready?.msPerRow
  return power * (msPerRow === undefined ? 1 : Math.min(mostReplicas, usualMsPerRow / Math.max(1, msPerRow)))
}

/** How much one more holder of segment i is worth. */
function need(model: Model, cover: readonly number[], missing: ReadonlySet<BlockRange>, i: number, now: number): number {
  const demand = 1 + demandNow(model, now)
  const worth = demand / Math.max(0.1, cover[i] as number)
  if (missing.size === 0) return worth
  if (!missing.has(model.plan[i] as BlockRange)) return incompleteFactor * worth
  return (missing.size < model.plan.length ? begunFactor : newFactor) * (demand / missing.size)
}

/** From segment i on, in both directions, over missing segments, as far as memory goes. */
function widen(volunteer: Volunteer, { plan, manifest }: Model, missing: ReadonlySet<BlockRange>, i: number): BlockRange {
  let range = plan[i] as BlockRange
  const take = (next: BlockRange | undefined): boolean => {
    if (!next || !missing.has(next)) return false
    const wider = { first: Math.min(range.first, next.first), end: Math.max(range.end, next.end) }
    if (bytesNeeded(manifest, wider) > volunteer.memoryBytes) return false
    range = wider
    return true
  }
  for (let next = i + 1; take(plan[next]); next++);
  for (let next = i - 1; take(plan[next]); next--);
  return range
}
