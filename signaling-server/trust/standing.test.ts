import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../protocol/ids.ts'
import { agedMs, barredMs, fullAgreements, provenAgreements, strikeOutlivedBy } from './policy.ts'
import {
  afterAgreement,
  afterLoss,
  compareTrust,
  explain,
  forgiven,
  mayProduce,
  rankOf,
  routingCost,
  standingAt,
  stranger,
  type Known,
  type Standing,
} from './standing.ts'

const now = 1_000_000
const known = (standing: Standing, more: Partial<Known> = {}): Known => ({
  peer: 'a' as PeerId,
  standing,
  anchor: false,
  prefix: undefined,
  prefixBars: 0,
  ...more,
})
const after = (agreements: number, from = stranger) => {
  let standing = from
  for (let i = 0; i < agreements; i++) standing = afterAgreement(standing, 1)
  return standing
}

describe('a standing', () => {
  it('of a new key is worth nothing, and enough agreements make it proven', () => {
    expect(mayProduce(known(stranger), now)).toBe(false)
    expect(rankOf(known(after(provenAgreements - 1)), now)).toBe('new')
    expect(mayProduce(known(after(provenAgreements)), now)).toBe(true)
  })

  it('grows as slowly as agreements weigh', () => {
    let standing = stranger
    for (let i = 0; i < provenAgreements; i++) standing = afterAgreement(standing, 0.5)
    expect(rankOf(known(standing), now)).toBe('new')
  })

  it('falls to the threshold with a first loss, and is barred with a second', () => {
    const struck = afterLoss(after(fullAgreements), now)
    expect(struck).toMatchObject({ strikes: 1, agreements: provenAgreements })
    expect(mayProduce(known(struck), now)).toBe(true)
    const barred = afterLoss(struck, now)
    expect(rankOf(known(barred), now)).toBe('barred')
    expect(rankOf(known(barred, { anchor: true }), now)).toBe('barred')
  })

  it('outlives a strike by agreements, so that bad luck twice in a year bars nobody', () => {
    const outlived = after(strikeOutlivedBy, afterLoss(after(provenAgreements), now))
    expect(outlived.strikes).toBe(0)
    expect(afterLoss(outlived, now).barredAt).toBeUndefined()
    expect(afterLoss(after(strikeOutlivedBy - 1, afterLoss(after(provenAgreements), now)), now).barredAt).toBe(now)
  })

  it('is a stranger again when its bar is over, and not before', () => {
    const barred = afterLoss(afterLoss(after(provenAgreements), now), now)
    expect(rankOf(known(barred), now + barredMs - 1)).toBe('barred')
    expect(standingAt(barred, now + barredMs)).toEqual(stranger)
    expect(rankOf(known(barred), now + barredMs)).toBe('new')
  })

  it('is clean again when its backend was to blame', () =>
    expect(forgiven(afterLoss(after(10), now))).toMatchObject({ strikes: 0, agreements: 10 }))

  it('must be earned anew, and more of it, where keys were barred', () => {
    expect(mayProduce(known(after(provenAgreements), { prefixBars: 1 }), now)).toBe(false)
    expect(mayProduce(known(after(2 * provenAgreements), { prefixBars: 1 }), now)).toBe(true)
    expect(explain(known(stranger, { prefixBars: 99 }), now).needed).toBe(32 * provenAgreements)
  })

  it('gives no work to who is being judged', () => expect(mayProduce(known(after(provenAgreements), { disputed: true }), now)).toBe(false))
})

describe('routing', () => {
  it('prefers who has shown more, and who has stayed a while', () => {
    const costs = [0, 10, provenAgreements - 1, provenAgreements, fullAgreements].map((n) => routingCost(known(after(n))))
    expect(costs).toEqual(costs.toSorted((a, b) => b - a))
    expect(costs.at(-1)).toBe(1)
    const one = known(after(provenAgreements))
    expect(routingCost(one, 0)).toBeGreaterThan(routingCost(one, agedMs / 2))
    expect(routingCost(one, agedMs)).toBe(routingCost(one))
  })

  it('trusts a strike less than few agreements, and an anchor most', () => {
    const order = [known(afterLoss(after(300), now)), known(after(1)), known(after(9)), known(stranger, { anchor: true })]
    expect(order.toReversed().sort(compareTrust)).toEqual(order)
  })
})

it('people are told what is missing, and until when', () => {
  expect(explain(known(after(12)), now)).toEqual({ rank: 'new', agreements: 12, needed: provenAgreements, strikes: 0 })
  expect(explain(known(after(3, afterLoss(stranger, now))), now)).toMatchObject({ strikes: 1, outlivedIn: strikeOutlivedBy - 3 })
  expect(explain(known(afterLoss(afterLoss(stranger, now), now)), now)).toMatchObject({ rank: 'barred', until: now + barredMs })
})
