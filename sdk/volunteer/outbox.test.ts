import { beforeAll, describe, expect, it } from 'vitest'
import { concatBytes, fromHex, type Bytes } from '../../protocol/bytes.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import { proofBytes } from '../../protocol/custody.ts'
import { createIdentity, type Identity } from '../../protocol/keys.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import { makeTicket } from '../../testing/tickets.ts'
import { Outbox } from './outbox.ts'

const now = 1_000_000
let parties: [Identity, Identity, Identity]
let ticket: Ticket

beforeAll(async () => {
  parties = (await Promise.all(Array.from({ length: 3 }, () => createIdentity()))) as [Identity, Identity, Identity]
  ticket = await makeTicket(parties[0], parties[1], [parties[2]], { issuedAt: now })
})

const proofOf = ({ session }: Ticket, mark: number): Bytes => concatBytes([fromHex(session), new Uint8Array(proofBytes - 16).fill(mark)])
const doneOf = ({ session }: Ticket): Extract<ClientMessage, { t: 'done' }> => ({
  t: 'done',
  session,
  finish: 'stop',
  promptPositions: 1,
  answerPositions: 1,
  promptHash: 'a'.repeat(64),
  answerHash: 'b'.repeat(64),
})

describe('[AD1] what a volunteer says again after a reconnection', () => {
  it('is every generation’s ticket, then the proofs, then the last stage’s word', () => {
    const outbox = new Outbox()
    const next = { ...ticket, generation: 1 }
    outbox.opened(ticket)
    for (let i = 0; i < 70; i++) outbox.proof(proofOf(ticket, i))
    outbox.opened(next)
    outbox.opened(next)
    outbox.done(doneOf(ticket))
    const said = [...outbox.again(now)]
    expect(said.map((m) => (m instanceof Uint8Array ? m.length / proofBytes : m.t))).toEqual(['adopt', 'adopt', 64, 6, 'done'])
    expect(said[0]).toEqual({ t: 'adopt', ticket })
    expect([...outbox.again(now)]).toEqual(said)
  })

  it('is nothing of sessions that are settled or closed, or whose ticket has expired', () => {
    const outbox = new Outbox()
    outbox.opened(ticket)
    outbox.proof(proofOf(ticket, 1))
    expect([...outbox.again(ticket.expiresAt + 1)]).toEqual([])
    expect(outbox.size).toBe(0)
    outbox.opened(ticket)
    outbox.closed(ticket.session)
    outbox.proof(proofOf(ticket, 1))
    outbox.done(doneOf(ticket))
    expect([...outbox.again(now)]).toEqual([])
  })

  it('has a bound: the oldest sessions go first', () => {
    const outbox = new Outbox()
    const session = (n: number) => n.toString(16).padStart(32, '0') as Ticket['session']
    for (let n = 0; n < 500; n++) outbox.opened({ ...ticket, session: session(n) })
    expect(outbox.size).toBeLessThan(200)
    expect([...outbox.again(now)].at(-1)).toMatchObject({ ticket: { session: session(499) } })
  })
})
