/**
 * What is counted of projects: verified work of those who gave for them and answered requests, in the very commit that writes
 * the work, so that a killed server neither loses nor doubles any; consents and visitors apart. Pure.
 */
import type { PeerId, ProjectId, SessionId } from '../../protocol/ids.ts'
import type { Counters } from '../../protocol/projects.ts'
import type { Tally, Write } from '../store.ts'
import { dayMs } from '../work-days.ts'
import type { CountedDay } from './project-store.ts'

/** Days since 1970, UTC. */
export const dayOf = (now: number): number => Math.floor(now / dayMs)

/** Of a volunteer, the project that it gives for, or gave for lately. */
export type GaveFor = (peer: PeerId) => ProjectId | undefined

/** The work among these writes, counted for the projects that it was given for. */
export function workTallies(writes: readonly Write[], gaveFor: GaveFor): Write[] {
  const tallies = writes.flatMap((write): Tally[] => {
    if (write.t !== 'work') return []
    const { id, kind, peer, first, rows, at } = write.entry
    const project = gaveFor(peer)
    return project === undefined || rows === 0
      ? []
      : [{ id: `${id}/${peer}/${first}/${kind}`, counter: 'rows', project, day: dayOf(at), amount: rows }]
  })
  return inOrder(tallies).map((tally) => ({ t: 'tally', tally }))
}

/** An answer to a project's request. @param stages who computed it */
export function requestTallies(project: ProjectId, session: SessionId, stages: readonly PeerId[], gaveFor: GaveFor, now: number): Write[] {
  const one = { id: session, project, day: dayOf(now), amount: 1 }
  const own = stages.every((peer) => gaveFor(peer) === project)
  return [
    { t: 'tally', tally: { ...one, counter: 'requests' } },
    ...(own ? [{ t: 'tally', tally: { ...one, counter: 'byAudience' } } as const] : []),
  ]
}

/** Whoever counts for the same projects at the same time does so in the same order: then no two wait for each other. */
export const inOrder = (tallies: readonly Tally[]): Tally[] =>
  tallies.toSorted((a, b) => compare(a.project, b.project) || compare(a.counter, b.counter) || a.day - b.day)

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

export interface CounterRow {
  readonly counter: string
  readonly amount: number
}

export const nothingCounted: Counters = { visitors: 0, consents: 0, rows: 0, requests: 0, byAudience: 0 }

/** What another version has counted besides is left out. */
export function countersOf(rows: readonly CounterRow[]): Counters {
  const known = rows.filter(({ counter }) => counter in nothingCounted)
  return { ...nothingCounted, ...Object.fromEntries(known.map(({ counter, amount }) => [counter, amount])) }
}

/** The latest first. */
export function daysOf(rows: readonly (CounterRow & { readonly day: number })[]): CountedDay[] {
  const byDay = new Map<number, CounterRow[]>()
  for (const row of rows) byDay.set(row.day, [...(byDay.get(row.day) ?? []), row])
  return [...byDay].map(([day, counted]) => ({ day, counters: countersOf(counted) })).sort((a, b) => b.day - a.day)
}
