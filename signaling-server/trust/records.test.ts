/** What is remembered beside people: backends, prefixes, and whose work is looked at again. */
import { describe, expect, it } from 'vitest'
import { jobsToRecheck } from './backtrack.ts'
import { backtrackChunks, prefixBarHalfLifeMs, quarantineLosers } from './policy.ts'
import { afterBar, barsAt } from './prefixes.ts'
import { afterBackendAudit, backendKey, isQuarantined, unknownBackend } from './quarantine.ts'

describe('a backend', () => {
  const audited = (audits: readonly (readonly [lost: boolean, peer: string, prefix?: string])[]) =>
    audits.reduce((record, [lost, peer, prefix]) => afterBackendAudit(record, lost, { peer, prefix }), unknownBackend)

  it('that fails whoever runs it is quarantined, not its people', () => {
    expect(isQuarantined(audited(['a', 'b', 'c'].map((peer) => [true, peer])))).toBe(true)
  })

  it('is not for one peer that loses often, nor for a crowd behind one address', () => {
    expect(isQuarantined(audited(Array.from({ length: 50 }, () => [true, 'a'] as const)))).toBe(false)
    expect(isQuarantined(audited(['a', 'b', 'c', 'd'].map((peer) => [true, peer, '1.2.3'])))).toBe(false)
  })

  it('is not for liars among many honest', () => {
    const mixed = Array.from({ length: 300 }, (_, i) => [i % 3 === 0, `p${i}`] as const)
    expect(audited(mixed).losers).toHaveLength(quarantineLosers)
    expect(isQuarantined(audited(mixed))).toBe(false)
  })

  it('is named by model, backend and adapter', () => {
    expect(backendKey('r', 'webgpu', 'mesa')).not.toBe(backendKey('r', 'webgpu'))
    expect(backendKey('r', 'webgpu')).not.toBe(backendKey('s', 'webgpu'))
  })
})

it('a prefix is remembered for its bars, half as much with every half-life', () => {
  const twice = afterBar(afterBar(undefined, 0), 0)
  expect(barsAt(twice, 0)).toBe(2)
  expect(barsAt(twice, prefixBarHalfLifeMs)).toBeCloseTo(1)
  expect(barsAt(undefined, 5)).toBe(0)
  expect(barsAt(twice, -5)).toBe(2)
})

describe('after a loss', () => {
  const kept = Array.from({ length: 40 }, (_, i) => ({ at: 10 * i, chunks: 7, checked: i === 20 }))

  it('the nearest are audited again, as many as make the last chunks', () => {
    const jobs = jobsToRecheck(kept, 201, false)
    expect(jobs.map(({ at }) => at).slice(0, 3)).toEqual([210, 190, 220])
    expect(jobs).toHaveLength(Math.ceil(backtrackChunks / 7))
  })

  it('of a barred key everything that nobody proven has checked', () => expect(jobsToRecheck(kept, 0, true)).toHaveLength(39))
})
