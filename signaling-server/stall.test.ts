import { describe, expect, it } from 'vitest'
import { peerOf } from '../testing/swarms.ts'
import { slowest, type AskedStage } from './stall.ts'

const stage = (n: number, held?: number, serviceMs = 20): AskedStage => ({
  peer: peerOf(n),
  usualMs: 20,
  pace: held === undefined ? undefined : { held, serviceMs },
})

describe('[FO4] what holds a session up', () => {
  it('is whoever does not answer, before everything else', () => {
    expect(slowest([stage(1, 10, 900), stage(2), stage(3, 10)], 10)).toBe(peerOf(2))
  })

  it('is the first that lacks a row which its upstream has run; the first stage’s upstream is the host', () => {
    expect(slowest([stage(1, 10), stage(2, 10), stage(3, 10)], 10)).toBe(peerOf(1))
    expect(slowest([stage(1, 11), stage(2, 10), stage(3, 10)], 10)).toBe(peerOf(2))
    expect(slowest([stage(1, 11), stage(2, 11), stage(3, 10)], 10)).toBe(peerOf(3))
  })

  it('is the one that crawls, though another is waited for just then', () => {
    expect(slowest([stage(1, 11), stage(2, 10), stage(3, 10, 400)], 10)).toBe(peerOf(3))
    expect(slowest([stage(1, 11), stage(2, 10, 40), stage(3, 10, 60)], 10)).toBe(peerOf(2))
  })

  it('is the slowest against its own word where all have the row', () => {
    const usuallySlow = { ...stage(2, 11, 200), usualMs: 200 }
    expect(slowest([stage(1, 11, 30), usuallySlow, stage(3, 11, 100)], 10)).toBe(peerOf(3))
  })
})
