import { describe, expect, it } from 'vitest'
import { reports } from '../testing/custody.ts'
import { fuzzRuns, mutate } from '../testing/fuzz.ts'
import { makeTicket } from '../testing/tickets.ts'
import { ManyhandsError } from './errors.ts'
import { decodeEvidence, encodeEvidence, maxEvidenceBytes, maxTickets, type Evidence } from './evidence.ts'
import { createIdentity, type Identity } from './keys.ts'
import type { Bytes } from './bytes.ts'

const [server, ...parties] = await Promise.all(Array.from({ length: 4 }, () => createIdentity()))
const ticket = await makeTicket(server as Identity, parties[0] as Identity, parties.slice(1))
const evidence: Evidence = { tickets: [ticket], proofs: (await reports(ticket, parties, [16, 16, 9], 20)).map(({ proof }) => proof) }
const encoded = encodeEvidence(evidence) as Bytes

describe('evidence', () => {
  it('comes back as it was written', () => {
    expect(decodeEvidence(encoded)).toEqual(evidence)
    expect(decodeEvidence(encodeEvidence({ tickets: [ticket, ticket], proofs: [] }) as Bytes)).toEqual({
      tickets: [ticket, ticket],
      proofs: [],
    })
  })

  it('is not made of more than anybody keeps', () => {
    const [proof] = evidence.proofs
    const most = Array.from({ length: maxEvidenceBytes / 195 }, () => proof as Bytes)
    expect(encodeEvidence({ tickets: [ticket], proofs: most })).toBeUndefined()
    expect(encodeEvidence({ tickets: Array.from({ length: maxTickets + 1 }, () => ticket), proofs: [] })).toBeUndefined()
  })

  it.each([
    ['nothing', new Uint8Array(0)],
    ['another version', encoded.map((b, i) => (i === 0 ? 9 : b))],
    ['cut in its tickets', encoded.subarray(0, 300)],
    ['cut in a proof', encoded.subarray(0, -1)],
    ['tickets that are no JSON', encoded.map((b, i) => (i === 5 ? 0x7d : b))],
    ['too much', new Uint8Array(maxEvidenceBytes + 1)],
    ['no ticket', Uint8Array.of(1, 2, 0, 0, 0, 0x5b, 0x5d)],
  ])('%s is refused', (_, bytes) => expect(() => decodeEvidence(bytes)).toThrow(/^Evidence refused/))

  it('[fuzzed] is taken whole or refused', { timeout: 60_000 + fuzzRuns }, () => {
    const outcomes = { taken: 0, refused: 0 }
    for (let i = 0; i < fuzzRuns / 10; i++) {
      try {
        const { tickets, proofs } = decodeEvidence(mutate([encoded], i, Number.POSITIVE_INFINITY))
        if (tickets.length !== 1 || proofs.some((proof) => proof.length !== 195)) throw new Error('half a proof')
        outcomes.taken++
      } catch (thrown) {
        if (!(thrown instanceof ManyhandsError && thrown.code === 'bad-message')) throw new Error(`run ${i}`, { cause: thrown })
        outcomes.refused++
      }
    }
    expect(outcomes.taken).toBeGreaterThan(fuzzRuns / 1000)
    expect(outcomes.refused).toBeGreaterThan(fuzzRuns / 100)
  })
})
