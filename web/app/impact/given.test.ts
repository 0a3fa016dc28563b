import { expect, it } from 'vitest'
import type { PeerId } from '../../../protocol/ids.ts'
import type { PeerWork, WorkDay } from '../../../protocol/overview.ts'
import { givenOf } from './given.ts'

const now = Date.UTC(2026, 10, 26, 12)
const day = (day: string, stage: number, more: Partial<WorkDay> = {}): WorkDay => ({
  day,
  stage,
  audit: 0,
  shadow: 0,
  standby: 0,
  pieces: 1,
  ...more,
})
const work = (...days: WorkDay[]): PeerWork => ({ peer: 'a'.repeat(64) as PeerId, days })

it('adds up the work of all keys of a browser, over the days that are shown', () => {
  const given = givenOf(
    [work(day('2026-11-26', 10, { audit: 5 }), day('2026-11-20', 3)), work(day('2026-11-26', 2, { pieces: 4 }))],
    3,
    now,
  )
  expect(given.days).toEqual([
    { day: '2026-11-24', values: [0, 0, 0, 0] },
    { day: '2026-11-25', values: [0, 0, 0, 0] },
    { day: '2026-11-26', values: [12, 5, 0, 0] },
  ])
  expect(given).toMatchObject({ tokens: 17, pieces: 5, active: 1 })
})

it('has its days also where nothing was given', () => {
  const { days, tokens, active } = givenOf([work()], 30, now)
  expect([days.length, days.at(-1)?.day, tokens, active]).toEqual([30, '2026-11-26', 0, 0])
})
