/** What a browser gave, from the work of all of its keys: by day, and added up. Pure. */
import type { PeerWork, WorkDay } from '../../../protocol/overview.ts'
import { dayBefore, everyDay, sumOf, type DayValues } from '../parts/day-bars.ts'

/** From the bottom up. */
export const kinds = ['stage', 'audit', 'shadow', 'standby'] as const

export interface Given {
  /** Every day of the range, today the last. */
  readonly days: readonly DayValues[]
  readonly tokens: number
  readonly pieces: number
  /** Days on which anything was given. */
  readonly active: number
}

export function givenOf(works: readonly PeerWork[], range: number, now: number): Given {
  const first = dayBefore(now, range - 1)
  const byDay = new Map<string, WorkDay>()
  for (const day of works.flatMap((work) => work.days)) {
    if (day.day < first) continue
    const known = byDay.get(day.day)
    byDay.set(day.day, known ? added(known, day) : day)
  }
  const worked = [...byDay.values()]
  const given = worked.map((day) => ({ day: day.day, values: kinds.map((kind) => day[kind]) }))
  const none = { day: first, values: kinds.map(() => 0) }
  return {
    days: everyDay(given.length > 0 ? given : [none], first, dayBefore(now, 0)),
    tokens: given.reduce((sum, day) => sum + sumOf(day), 0),
    pieces: worked.reduce((sum, { pieces }) => sum + pieces, 0),
    active: worked.length,
  }
}

function added(a: WorkDay, b: WorkDay): WorkDay {
  const { day } = a
  const [stage, audit, shadow, standby] = kinds.map((kind) => a[kind] + b[kind]) as [number, number, number, number]
  return { day, stage, audit, shadow, standby, pieces: a.pieces + b.pieces }
}
