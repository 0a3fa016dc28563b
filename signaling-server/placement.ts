/**
 * Which blocks a volunteer is given: the least covered stage of the model most in need that fits its memory. Pure.
 */
import type { BlockRange } from '../protocol/manifest.ts'
import type { Revision } from '../protocol/ids.ts'
import { bytesNeeded, demandNow, holders, rangeKey, type Model, type StageCount, type Volunteer } from './swarm.ts'

export type Placement = { readonly revision: Revision; readonly blocks: BlockRange } | { readonly idle: string }

/**
 * @param stages with 'auto' a volunteer takes as many neighbouring stages that nobody holds as fit it, so that one alone can
 *   serve a whole model; with a number exactly one
 */
export function place(volunteer: Volunteer, others: readonly Volunteer[], models: readonly Model[], stages: StageCount, now: number): Placement {
  const wanted = models.filter((m) => volunteer.models.length === 0 || volunteer.models.includes(m.revision))
  if (wanted.length === 0) return { idle: models.length === 0 ? 'This server has no models yet.' : 'This server has none of the models that you chose.' }
  const needs = wanted
    .map((model) => ({ model, cover: model.plan.map((range) => coverage(others, model.revision, range)) }))
    .sort((a, b) => need(b.model, b.cover, now) - need(a.model, a.cover, now))
  let tooLarge = false
  for (const { model, cover } of needs) {
    const order = model.plan.map((_, i) => i).sort((a, b) => (cover[a] as number) - (cover[b] as number) || a - b)
    for (const i of order) {
      const range = model.plan[i] as BlockRange
      if (bytesNeeded(model.manifest, range) > volunteer.memoryBytes) {
        tooLarge = true
        continue
      }
      const blocks = stages === 'auto' ? widen(volunteer, model, cover, i) : range
      if (avoided(volunteer, model.revision, blocks, now)) continue
      return { revision: model.revision, blocks }
    }
  }
  return { idle: tooLarge ? 'No part of a model fits the memory that you allow. Allow more to help.' : 'What could be done here failed a moment ago. It will be tried again.' }
}

/** Capacity that a stage's holders add up to: each counts by its speed, an unmeasured one as average. */
function coverage(volunteers: readonly Volunteer[], revision: Revision, range: BlockRange): number {
  return holders(volunteers, revision, range, 'any')
    .filter((v) => !v.paused)
    .reduce((sum, v) => sum + v.power * (v.holding?.ready ? Math.min(4, 20 / Math.max(1, v.holding.ready.msPerRow)) : 1), 0)
}

/** A model with a stage that nobody holds comes first once it has been begun or asked for; then by demand over coverage. */
function need(model: Model, cover: readonly number[], now: number): number {
  const demand = 1 + demandNow(model, now)
  const least = Math.min(...cover)
  const begun = cover.some((c) => c > 0)
  if (least === 0) return begun ? 1e6 * demand : 1e3 * demand
  return demand / least
}

/** From stage i on, in both directions, over stages that nobody holds, as far as memory goes. */
function widen(volunteer: Volunteer, model: Model, cover: readonly number[], i: number): BlockRange {
  const { plan, manifest } = model
  let range = plan[i] as BlockRange
  if ((cover[i] as number) > 0) return range
  const grow = (next: number, wider: (other: BlockRange) => BlockRange): boolean => {
    const other = plan[next]
    if (!other || (cover[next] as number) > 0) return false
    const candidate = wider(other)
    if (bytesNeeded(manifest, candidate) > volunteer.memoryBytes) return false
    range = candidate
    return true
  }
  for (let next = i + 1; grow(next, ({ end }) => ({ first: range.first, end })); next++);
  for (let next = i - 1; grow(next, ({ first }) => ({ first, end: range.end })); next--);
  return range
}

function avoided(volunteer: Volunteer, revision: Revision, blocks: BlockRange, now: number): boolean {
  return (volunteer.avoid.get(rangeKey(revision, blocks)) ?? 0) > now
}
