import { describe, expect, it } from 'vitest'
import { createIdentity, type Identity } from './keys.ts'
import { checkTicket, linkEnds, signTicket, sessionLinks, type Ticket } from './ticket.ts'
import { makeTicket } from '../testing/tickets.ts'

const now = 1_000_000

async function parties(n: number): Promise<{ server: Identity; requester: Identity; stages: Identity[] }> {
  const [server, requester, ...stages] = await Promise.all(Array.from({ length: n + 2 }, () => createIdentity()))
  return { server: server as Identity, requester: requester as Identity, stages }
}

describe('[TK2] a ticket', () => {
  it('of a known server passes', async () => {
    const { server, requester, stages } = await parties(3)
    const ticket = await makeTicket(server, requester, stages, { issuedAt: now })
    await expect(checkTicket(JSON.parse(JSON.stringify(ticket)), [server.publicKey], now)).resolves.toEqual(ticket)
  })

  it('is refused when expired, changed, of an unknown server, with a gap, or with an id that is not its key', async () => {
    const { server, requester, stages } = await parties(2)
    const ticket = await makeTicket(server, requester, stages, { issuedAt: now })
    const refused = (value: unknown, keys = [server.publicKey], at = now) =>
      expect(checkTicket(value, keys, at)).rejects.toMatchObject({ code: 'bad-ticket' })
    await refused(ticket, [server.publicKey], ticket.expiresAt + 1)
    await refused({ ...ticket, maxPositions: ticket.maxPositions + 1 })
    await refused(ticket, [requester.publicKey])
    await refused({ ...ticket, extra: 1 })
    await refused(null)
    const sign = (t: Ticket) => signTicket(t, server.privateKey)
    await refused(
      await sign({ ...ticket, stages: [ticket.stages[0] as never, { ...(ticket.stages[1] as object), blocks: [9, 10] } as never] }),
    )
    await refused(await sign({ ...ticket, requester: { peer: ticket.requester.peer, key: server.publicKey } }))
  })
})

describe('[LN1] links', () => {
  it('go round the ring and to and from the requester', async () => {
    const { server, requester, stages } = await parties(3)
    const ticket = await makeTicket(server, requester, stages, { issuedAt: now })
    const [a, b, c] = stages.map((s) => s.id)
    expect([0, 1, 2, 3, 4].map((l) => linkEnds(ticket, l))).toEqual([
      { from: c, to: a },
      { from: a, to: b },
      { from: b, to: c },
      { from: c, to: requester.id },
      { from: requester.id, to: c },
    ])
    for (const link of [-1, 5, 1.5, NaN]) expect(linkEnds(ticket, link)).toBeUndefined()
    expect(sessionLinks(ticket)).toEqual([0, 1, 2, 3, 4])
    const decoder = { ...ticket, sampling: { temperature: 0, topP: 1, seed: 0 } }
    expect(sessionLinks(decoder)).toEqual([0, 1, 2, 3, 4, 5])
    expect(linkEnds(decoder, 5)).toEqual({ from: c, to: c })
  })

  it('[LN4] of a single stage to itself are links too', async () => {
    const { server, requester, stages } = await parties(1)
    const ticket = await makeTicket(server, requester, stages, { issuedAt: now })
    expect(sessionLinks(ticket)).toEqual([0, 1, 2])
    expect(linkEnds(ticket, 0)).toEqual({ from: stages[0]?.id, to: stages[0]?.id })
  })
})
