import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../protocol/ids.ts'
import { largestLimit, usualLimit } from './policy.ts'
import type { Rank } from './standing.ts'
import { compareWork, judge } from './verdict.ts'

describe('two works', () => {
  const differ = { hashesEqual: false, bothWasm: false }

  it('are the same by hash, and between wasm peers only so', () => {
    expect(compareWork({ ...differ, hashesEqual: true })).toBe('same')
    expect(compareWork({ ...differ, bothWasm: true, worst: 0 })).toBe('different')
  })

  it('of backends that round differently are compared by sketch, within the limit', () => {
    expect(compareWork(differ)).toBe('sketch')
    expect(compareWork({ ...differ, worst: usualLimit })).toBe('same')
    for (const worst of [1.01 * usualLimit, 1, NaN, Infinity]) expect(compareWork({ ...differ, worst })).toBe('different')
  })

  it('may be calibrated, but not past the largest limit', () => {
    expect(compareWork({ ...differ, worst: 3e-5 }, 4e-5)).toBe('same')
    expect(compareWork({ ...differ, worst: 1.01 * largestLimit }, 1)).toBe('different')
  })
})

/** Each vote is its voter's rank and what it found: equal letters agree. */
function verdictOf(votes: string, available = 3): string {
  const parsed = votes.split(' ').map((vote, i) => {
    const [rank, found] = vote.split(':') as [Rank, string]
    return { peer: `${i}` as PeerId, rank, found }
  })
  const verdict = judge(
    parsed,
    (i, j) => parsed[i]?.found === parsed[j]?.found || [parsed[i], parsed[j]].some((v) => v?.found === '*'),
    available,
  )
  return verdict.t === 'lost' ? `lost ${verdict.losers.join(' ')}` : verdict.t
}

describe('a verdict on producer, auditor and referees', () => {
  it.each([
    ['nobody is named on one word against another', 'proven:x new:a', 'more'],
    ['a newcomer loses against two', 'proven:x new:a proven:x', 'lost 1'],
    ['who is proven needs three against it', 'proven:x new:a proven:a', 'more'],
    ['and then loses', 'proven:x new:a proven:a proven:a', 'lost 0'],
    ['an anchor counts twice', 'proven:x new:a anchor:a', 'lost 0'],
    ['a liar and its fellow lose together', 'proven:x new:x anchor:a proven:a', 'lost 0 1'],
    ['an anchor is not named by newcomers', 'anchor:x new:a new:a new:a', 'more'],
    ['two camps as strong accuse nobody yet', 'proven:x new:a proven:x proven:a', 'more'],
    ['all different is a split in the end', 'proven:a new:b proven:c proven:d anchor:e', 'split'],
    ['everyone agreeing with a third is no mismatch', 'proven:x new:a proven:*', 'agreed'],
    ['a barred one still needs two against it', 'barred:x proven:a', 'more'],
    ['strangers can judge strangers', 'new:x new:a new:a', 'lost 0'],
  ])('%s', (_, votes, verdict) => expect(verdictOf(votes)).toBe(verdict))

  it('is a split when nobody more can be asked', () => {
    expect(verdictOf('proven:x new:a', 0)).toBe('split')
    expect(verdictOf('proven:x new:a proven:a', 0)).toBe('split')
  })
})
