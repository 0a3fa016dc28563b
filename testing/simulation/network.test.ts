/** Directions, not figures: those are docs/simulation.md's, of larger and longer runs. */
import { describe, expect, it } from 'vitest'
import { simulate } from './network.ts'
import { parseOptions, type Options } from './options.ts'

const options = (attackers: string, jobs = 60_000): Options =>
  parseOptions(['--attackers', attackers, '--peers', '1000', '--jobs', String(jobs), '--seed', '3', '--young'])

describe('a simulated network', () => {
  const honest = simulate(options('none'))
  const attacked = simulate(options('mixed:0.2'))

  it('repeats for a seed, and differs for another', () => {
    const small = options('mixed:0.2', 5_000)
    expect(simulate(small)).toEqual(simulate(small))
    expect(simulate({ ...small, seed: 4 })).not.toEqual(simulate(small))
  })

  it('answers everybody', () => {
    for (const { completed } of [honest, attacked]) expect(completed).toBeGreaterThan(0.999)
  })

  it('without liars bars hardly anybody, though honest work fails at times', () => {
    expect(honest.liesAtDelivery).toBe(0)
    expect(honest.wrongAtDelivery).toBeGreaterThan(0)
    expect(honest.honestBansPerMillionJobs).toBeLessThan(60)
  })

  it('finds liars, and corrects most of what they did', () => {
    expect(attacked.attackerBansPerMillionJobs).toBeGreaterThan(100)
    expect(attacked.liesAtDelivery).toBeLessThan(0.005)
    expect(attacked.liesAfterCorrection).toBeLessThan(attacked.liesAtDelivery / 2)
  })
})

it('refuses what it does not understand', () => {
  for (const args of [['--attackers', 'some'], ['--attackers', 'mixed:2'], ['--peers', '3'], ['--seed', 'x'], ['--what']])
    expect(() => parseOptions(args)).toThrow(/\?|whole number/)
})
