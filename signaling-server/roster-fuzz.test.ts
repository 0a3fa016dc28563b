/** Volunteers come and go in any order: what each is given fits, and in the end every model is whole that can be. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { leaseMs } from '../protocol/limits.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { isWhole, mega, RosterScene } from '../testing/roster-scene.ts'
import { peerOf, revisionOf } from '../testing/swarms.ts'
import { firstRetryMs, longestRetryMs } from './roster.ts'
import { bytesNeeded, type StageCount, type Swarm } from './swarm.ts'

const people = 10
const blockBytes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }).map((sizes) => sizes.map((s) => s * mega))

type Event =
  | { readonly t: 'join' | 'drop' | 'leave' | 'ready' | 'fail' | 'pause' | 'resume'; readonly who: number; readonly memory: number }
  | 'tick'
  | 'wait'

const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom<Event>('tick', 'wait') },
    {
      weight: 8,
      arbitrary: fc.record({
        t: fc.constantFrom('join', 'join', 'join', 'drop', 'leave', 'ready', 'fail', 'pause', 'resume'),
        who: fc.nat(people - 1),
        memory: fc.integer({ min: 1, max: 8 }),
      }),
    },
  ),
  { maxLength: 40 },
)

function happen(s: RosterScene, event: Event): void {
  if (event === 'tick') return s.tick()
  if (event === 'wait') return s.settle(leaseMs)
  const peer = peerOf(event.who)
  switch (event.t) {
    case 'join':
      return s.join(peer, event.memory * mega)
    case 'drop':
      return s.drop(peer)
    case 'leave':
      s.roster.leave(peer)
      return s.drop(peer)
    case 'ready':
      return s.ready(peer)
    case 'fail':
      return s.fail(peer)
    default:
      return s.pause(peer, event.t === 'pause')
  }
}

/** After all that, everybody who is left means well, for as long as any pause after a failure lasts. */
function settled(stages: StageCount, models: readonly (readonly number[])[], happenings: readonly Event[]): RosterScene {
  const s = new RosterScene(stages, models)
  for (const event of happenings) happen(s, event)
  for (const peer of s.peers) s.pause(peer, false)
  const failures = happenings.filter((event) => typeof event === 'object' && event.t === 'fail').length
  s.settle(3 * leaseMs + (failures > 0 ? Math.min(longestRetryMs, firstRetryMs * 2 ** failures) : 0))
  return s
}

/** Whether each segment can have a holder of its own: Kuhn's matching, tried anew from nothing. */
function coverable(needs: readonly number[], memories: readonly number[]): boolean {
  const held = new Map<number, number>()
  const place = (segment: number, tried: Set<number>): boolean =>
    memories.some((memory, v) => {
      if (memory < (needs[segment] as number) || tried.has(v)) return false
      tried.add(v)
      const other = held.get(v)
      if (other !== undefined && !place(other, tried)) return false
      held.set(v, segment)
      return true
    })
  return needs.every((_, segment) => place(segment, new Set()))
}

describe('whatever order volunteers join, leave, fail and pause in', () => {
  it('what each is given fits its memory, begins and ends where segments do, and is of a model it chose', () => {
    fc.assert(
      fc.property(blockBytes, fc.constantFrom<StageCount>('auto', 1, 2, 3), events, (bytes, stages, happenings) => {
        const s = new RosterScene(stages, [bytes])
        for (const event of happenings) {
          happen(s, event)
          const { model, members } = s.roster.swarm(revisionOf(0)) as Swarm
          for (const { holding, memoryBytes } of members) {
            const blocks = holding?.blocks as BlockRange
            expect(bytesNeeded(model.manifest, blocks)).toBeLessThanOrEqual(memoryBytes)
            expect(model.plan.map((range) => range.first)).toContain(blocks.first)
            expect(model.plan.map((range) => range.end)).toContain(blocks.end)
          }
        }
      }),
    )
  })

  it('in so many stages the model is whole in the end exactly if those who are left can hold it', () => {
    fc.assert(
      fc.property(blockBytes, fc.integer({ min: 1, max: 5 }), events, (bytes, stages, happenings) => {
        const s = settled(stages, [bytes], happenings)
        const { plan, manifest } = (s.roster.swarm(revisionOf(0)) as Swarm).model
        const needs = plan.map((range) => bytesNeeded(manifest, range))
        expect(isWhole(s, 0)).toBe(coverable(needs, s.memories))
      }),
      {
        numRuns: 500,
        // The only one with room for the largest part had taken another, which had to be handed on first.
        examples: [[[1 * mega, 1 * mega, 2 * mega], 3, [1, 2, 1].map((memory, who) => ({ t: 'join' as const, who, memory }))]],
      },
    )
  })

  it('by size the model is whole in the end if one of those who are left can hold all of it', () => {
    fc.assert(
      fc.property(blockBytes, events, (bytes, happenings) => {
        const s = settled('auto', [bytes], happenings)
        const all = bytes.reduce((sum, b) => sum + b, 0)
        if (s.memories.some((memory) => memory >= all)) expect(isWhole(s, 0)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('every model is whole in the end if there are as many left as all of them have parts, and each can hold any', () => {
    const models = fc.array(blockBytes, { minLength: 1, maxLength: 2 })
    fc.assert(
      fc.property(models, fc.constantFrom<StageCount>('auto', 2, 3), events, (bytes, stages, happenings) => {
        const roomy = happenings.map((event) => (typeof event === 'object' ? { ...event, memory: 20 } : event))
        const s = settled(stages, bytes, roomy)
        const parts = s.roster.swarms().reduce((sum, { model }) => sum + model.plan.length, 0)
        if (s.peers.length >= parts) expect(bytes.map((_, i) => isWhole(s, i))).not.toContain(false)
      }),
      { numRuns: 200 },
    )
  })

  it('when nothing changes any more, nobody is given other work', () => {
    fc.assert(
      fc.property(blockBytes, fc.constantFrom<StageCount>('auto', 1, 2, 3), events, (bytes, stages, happenings) => {
        const s = settled(stages, [bytes, [mega, mega]], happenings)
        const before = s.peers.map((peer) => s.assigned(peer)?.lease)
        s.settle(3 * leaseMs)
        expect(s.peers.map((peer) => s.assigned(peer)?.lease)).toEqual(before)
      }),
      { numRuns: 200 },
    )
  })
})
