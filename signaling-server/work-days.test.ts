import { expect, it } from 'vitest'
import { maxWorkDays } from '../protocol/overview.ts'
import { dayMs, firstOf, workDays } from './work-days.ts'

it('[OV3] a peer’s work is added up by day and kind, the latest day first', () => {
  const day = Date.UTC(2026, 10, 26) / dayMs
  expect(
    workDays([
      { day: day - 3, kind: 'shadow', rows: 5, pieces: 1 },
      { day, kind: 'stage', rows: 30, pieces: 2 },
      { day, kind: 'audit', rows: 7, pieces: 1 },
    ]),
  ).toEqual([
    { day: '2026-11-26', stage: 30, audit: 7, shadow: 0, standby: 0, pieces: 3 },
    { day: '2026-11-23', stage: 0, audit: 0, shadow: 5, standby: 0, pieces: 1 },
  ])
})

it('[OV3] of so many days, today is the last, and there are never more than the limit', () => {
  expect(firstOf(1, Date.UTC(2026, 10, 26, 23, 59))).toBe(Date.UTC(2026, 10, 26))
  expect(firstOf(3, Date.UTC(2026, 10, 26))).toBe(Date.UTC(2026, 10, 24))
  const sums = Array.from({ length: maxWorkDays + 9 }, (_, day) => ({ day, kind: 'stage' as const, rows: 1, pieces: 1 }))
  expect(workDays(sums)).toHaveLength(maxWorkDays)
})
