/** A peer's work added up by day and kind, from sums that the database made. Pure. */
import { maxWorkDays, type WorkDay } from '../protocol/overview.ts'
import type { WorkSum } from './store.ts'

export const dayMs = 86_400_000

/** The first of so many days, of which today is the last: since 1970, ms. */
export const firstOf = (days: number, now: number): number => (Math.floor(now / dayMs) - days + 1) * dayMs

/** The latest first. */
export function workDays(sums: readonly WorkSum[]): WorkDay[] {
  const byDay = new Map<number, WorkDay>()
  for (const { day, kind, rows, pieces } of sums) {
    const known = byDay.get(day) ?? { day: dateOf(day), stage: 0, audit: 0, shadow: 0, standby: 0, pieces: 0 }
    byDay.set(day, { ...known, [kind]: known[kind] + rows, pieces: known.pieces + pieces })
  }
  return [...byDay]
    .sort(([a], [b]) => b - a)
    .slice(0, maxWorkDays)
    .map(([, day]) => day)
}

export const dateOf = (day: number) => new Date(day * dayMs).toISOString().slice(0, 10)
