import { describe, expect, it } from 'vitest'
import { createRandom } from '../../testing/simulation/random.ts'
import type { PeerId } from '../../protocol/ids.ts'
import { chooseAuditor, chooseReferees, type Candidate } from './auditors.ts'
import { fullAgreements, provenAgreements, provenAuditorShare } from './policy.ts'
import { afterLoss, stranger } from './standing.ts'

const now = 1_000_000
const random = () => seeded.uniform()
const seeded = createRandom(5)
const candidate = (name: string, agreements: number, more: Partial<Candidate> = {}): Candidate => ({
  peer: name as PeerId,
  standing: { ...stranger, agreements },
  anchor: false,
  prefix: undefined,
  prefixBars: 0,
  wasm: true,
  ...more,
})
const barred = afterLoss(afterLoss(stranger, now), now)

/** How often each is chosen, of 2,000 draws. */
function drawn(candidates: Candidate[], session: Candidate[] = []): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < 2000; i++) {
    const name = chooseAuditor(candidates, session, now, random)?.peer ?? 'nobody'
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

describe('an auditor', () => {
  it("is never one of the session's own, nor from their networks, nor barred", () => {
    const session = [candidate('x', 500, { prefix: '1.2.3' }), candidate('y', 500)]
    const others = [
      candidate('x', 500),
      candidate('y', 500),
      candidate('near', 9, { prefix: '1.2.3' }),
      candidate('bad', 0, { standing: barred }),
    ]
    expect(drawn(others, session)).toEqual({ nobody: 2000 })
    expect(drawn([...others, candidate('far', 0, { prefix: '1.2.4' })], session)).toEqual({ far: 2000 })
  })

  it('is mostly a newcomer, who must earn, and a proven peer now and then', () => {
    const counts = drawn([candidate('new', 1), candidate('proven', provenAgreements)])
    expect((counts['proven'] ?? 0) / 2000).toBeGreaterThan(provenAuditorShare / 2)
    expect((counts['proven'] ?? 0) / 2000).toBeLessThan(provenAuditorShare * 2)
    expect(drawn([candidate('proven', provenAgreements)])).toEqual({ proven: 2000 })
  })

  it('is rather who has shown more, so that those who stay get through, but nobody can tell', () => {
    const counts = drawn(Array.from({ length: 40 }, (_, i) => candidate(`n${i}`, i)))
    const upper = Array.from({ length: 10 }, (_, i) => counts[`n${30 + i}`] ?? 0).reduce((a, b) => a + b)
    expect(upper).toBeGreaterThan(1500)
    expect(Math.max(...Object.values(counts))).toBeLessThan(700)
  })

  it('comes as rarely from a crowd behind one address as from one alone, and rarer where keys were barred', () => {
    const crowd = Array.from({ length: 30 }, (_, i) => candidate(`c${i}`, 0, { prefix: '1.2.3' }))
    expect(drawn([...crowd, candidate('alone', 0, { prefix: '1.2.4' })])['alone']).toBeGreaterThan(850)
    expect(drawn([candidate('a', 0, { prefixBars: 3 }), candidate('b', 0)])['a']).toBeLessThan(350)
  })
})

describe('referees', () => {
  const choose = (candidates: Candidate[], count: number, involved: Candidate[] = []) =>
    chooseReferees(candidates, involved, count, now, random).map(({ peer }) => peer)

  it('are anchors first, then the proven, then newcomers', () => {
    const all = [candidate('new', 0), candidate('proven', fullAgreements), candidate('anchor', 0, { anchor: true })]
    expect(choose(all, 3)).toEqual(['anchor', 'proven', 'new'])
    expect(choose(all, 1, [all[2] as Candidate])).toEqual(['proven'])
  })

  it('come from networks of their own, one with wasm where there is any', () => {
    const all = [
      candidate('a', provenAgreements, { prefix: 'p', wasm: false }),
      candidate('b', provenAgreements, { prefix: 'q' }),
      candidate('c', provenAgreements, { prefix: 'p', wasm: false }),
    ]
    for (let i = 0; i < 50; i++) {
      const [first, second, third] = choose(all, 3)
      expect(first).toBe('b')
      expect(['a', 'c']).toContain(second)
      expect(third).toBeUndefined()
    }
  })
})
