import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../protocol/ids.ts'
import { afterAudit, agreementWeight, auditShare, canaryShareOf, networkShare, quietNetwork, recheckShareOf } from './audit-policy.ts'
import { alarmMemory, mostShare, provenAgreements, quietShare, unprovenShare, watchedFor } from './policy.ts'
import { afterAgreement, afterLoss, stranger, type Known } from './standing.ts'

const known = (agreements: number, more: Partial<Known> = {}): Known => ({
  peer: 'a' as PeerId,
  standing: { ...stranger, agreements },
  anchor: false,
  prefix: undefined,
  prefixBars: 0,
  ...more,
})
const share = (of: Known, network = quietNetwork) => auditShare(of, network, 0)
const longKnown = known(1e5)

describe('the share that is audited', () => {
  it('is all of who has just become proven, and falls to what a quiet network needs', () => {
    expect(share(known(provenAgreements))).toBe(1)
    const shares = [0, 10, 100, 1000].map((beyond) => share(known(provenAgreements + beyond)))
    expect(shares).toEqual(shares.toSorted((a, b) => b - a))
    expect(shares.at(-1)).toBe(quietShare)
  })

  it('of who produces unproven is never small', () => {
    expect(share(known(0))).toBe(1)
    expect(share(known(provenAgreements - 1))).toBe(unprovenShare)
  })

  it('is everything after a strike, for a while, and while a mismatch is decided', () => {
    let standing = afterLoss(longKnown.standing, 0)
    for (let i = 0; i < watchedFor - 1; i++) standing = afterAgreement(standing, 1)
    expect(share(known(0, { standing }))).toBe(1)
    expect(share(known(0, { standing: { ...afterAgreement(standing, 1), agreements: 1e5 } }))).toBe(quietShare)
    expect(share({ ...longKnown, disputed: true })).toBe(1)
  })

  it('rises when producers are found lying, not when one is, and falls again', () => {
    const one = afterAudit(quietNetwork, true)
    expect(networkShare(one)).toBe(quietShare)
    let network = quietNetwork
    for (let i = 0; i < alarmMemory; i++) network = afterAudit(network, i % 1000 === 0)
    expect(share(longKnown, network)).toBe(mostShare)
    for (let i = 0; i < 5 * alarmMemory; i++) network = afterAudit(network, false)
    expect(share(longKnown, network)).toBe(quietShare)
  })

  it('gives out no more trust for being larger', () => {
    let network = quietNetwork
    for (const found of [true, true, true, true, true, true, true, true]) network = afterAudit(network, found)
    expect(networkShare(network)).toBeGreaterThan(quietShare)
    expect(networkShare(network) * agreementWeight(network)).toBeCloseTo(quietShare)
  })
})

it('auditors are tried themselves: newcomers most, at first half of the time with what is known', () => {
  expect(recheckShareOf(known(0), 0)).toBeGreaterThan(0)
  expect(recheckShareOf(longKnown, 0)).toBe(0)
  expect(canaryShareOf(known(0), 0)).toBeGreaterThan(canaryShareOf(known(1), 0))
  expect(canaryShareOf(longKnown, 0)).toBeGreaterThan(0)
})
