/** A session's life from asking to receipt, over a real store and real keys, in a time that only the test lets pass. */
import { describe, expect, it } from 'vitest'
import { concatBytes } from '../protocol/bytes.ts'
import { proofBytes } from '../protocol/custody.ts'
import { ticketMs } from '../protocol/limits.ts'
import { checkReceipt } from '../protocol/receipt.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { reports } from '../testing/custody.ts'
import { epoch, idle, requester, server, SessionScene, stageKeys, store, useSessionScene } from '../testing/session-scene.ts'
import { proofWaitMs } from './settlement.ts'

useSessionScene()

describe('a session', () => {
  it('[TK1] gives its requester and every stage the same ticket, and takes its place on each', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    expect(ticket.stages.map((s) => s.peer)).toEqual(b.volunteers.map((v) => v.peer))
    for (const v of b.volunteers) expect(b.all('session', v.peer)).toEqual([{ t: 'session', ticket }])
    expect(b.load).toEqual([
      [1, 100],
      [1, 100],
    ])
  })

  it('[RC1] ends with a receipt for its requester, in the store, with work for every stage', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    await b.prove(ticket)
    b.done(ticket)
    expect(b.load).toEqual(idle)
    const { receipt } = await b.told('receipt')
    expect(await checkReceipt(receipt)).toBe(true)
    expect(receipt).toMatchObject({ request: ticket.session, custody: { failed: 0 } })
    expect(await store.receipt(ticket.session)).toEqual(receipt)
    for (const { peer } of ticket.stages) expect(await store.work(peer)).toMatchObject([{ id: ticket.session, rows: 19 }])
    expect(b.sessions.counts).toMatchObject({ opened: 1, settled: 1, chunksFailed: 0 })
  })

  it('[RC1] is settled after a bounded wait where proofs are missing, and then nobody’s work counts', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.done(ticket)
    b.pass(proofWaitMs)
    expect(b.all('receipt')).toEqual([])
    b.pass(1)
    expect((await b.told('receipt')).receipt.custody).toMatchObject({ checked: 0, failed: 5 })
    expect(await store.work(stageKeys[0].id)).toEqual([])
  })

  it('keeps its receipt when the requester’s close overtakes the last stage’s word', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.sessions.close(requester.id, 1)
    b.sessions.tick()
    expect(b.all('session-closed')).toEqual([])
    await b.prove(ticket)
    b.done(ticket)
    expect((await b.told('receipt')).receipt.custody.failed).toBe(0)
  })

  it('is over some time after the requester’s close, where the last stage says nothing', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.sessions.close(requester.id, 1)
    b.pass(10_000)
    expect(b.all('session-closed')).toEqual(ticket.stages.map(() => ({ t: 'session-closed', session: ticket.session })))
    expect(b.load).toEqual(idle)
    b.done(ticket)
    expect(b.sessions.live).toBe(0)
  })

  it('given up before its ticket was signed is told to nobody', async () => {
    const b = new SessionScene()
    b.open(1)
    b.sessions.close(requester.id, 1)
    expect(b.load).toEqual(idle)
    await b.routed(2)
    expect(b.all('route').map((route) => route.id)).toEqual([2])
    for (const v of b.volunteers) expect(b.all('session', v.peer)).toHaveLength(1)
  })

  it('that loses a stage while its first ticket is being signed is refused where nobody takes its place', async () => {
    const b = new SessionScene()
    b.open(1)
    b.lose(b.volunteers[0])
    expect(b.all('error', requester.id)).toMatchObject([{ id: 1, error: { code: 'no-volunteers' } }])
    expect(b.load).toEqual(idle)
    b.join(b.volunteers[0])
    await b.routed(2)
    expect(b.all('route').map((route) => route.id)).toEqual([2])
  })

  it('breaks off at its requester’s word, and at nobody’s who takes no part', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    const error = { code: 'not-finite', message: 'A number is none.' } as const
    b.fault(ticket, server.id, error)
    expect(b.sessions.live).toBe(1)
    b.fault(ticket, requester.id, error)
    expect(b.all('error', requester.id)).toMatchObject([{ id: 1, error }])
    expect(b.load).toEqual(idle)
  })

  it('is ended by its last stage alone, and once', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.done(ticket, {}, b.volunteers[0].peer)
    expect(b.sessions.live).toBe(1)
    b.done(ticket)
    b.done(ticket, { answerPositions: 100 })
    b.fault(ticket, requester.id, { code: 'internal', message: 'Too late.' })
    b.sessions.stageLost(b.volunteers[0].peer, 'Too late.')
    expect(b.all('error')).toEqual([])
    await b.prove(ticket)
    expect((await b.told('receipt')).receipt.custody).toMatchObject({ failed: 0 })
  })

  it('[TK3] is let go when its ticket expires, and its requester hears it', async () => {
    const b = new SessionScene()
    await b.routed(1)
    b.pass(ticketMs)
    expect(b.sessions.live).toBe(1)
    b.pass(1)
    expect(b.all('error', requester.id)).toMatchObject([{ id: 1, error: { code: 'timeout' } }])
    expect(b.load).toEqual(idle)
  })

  it('goes by a clock that does not step: an hour back on the wall changes nothing', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.wall -= 3_600_000
    b.done(ticket)
    b.pass(proofWaitMs + 1)
    expect((await b.told('receipt')).receipt.issuedAt).toBe(b.wall)
  })
})

describe('[CU6] proofs', () => {
  it('come one or more end to end; anything else is bad-message', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    for (const length of [0, 1, proofBytes - 1, proofBytes + 1, 65 * proofBytes])
      expect(() => b.sessions.proofs(requester.id, new Uint8Array(length))).toThrow(expect.objectContaining({ code: 'bad-message' }))
    const reported = await reports(ticket, [requester, ...stageKeys], [16], 4)
    for (const party of [requester, ...stageKeys.slice(0, 2)])
      b.sessions.proofs(party.id, concatBytes(reported.filter((r) => r.from === party.id).map((r) => r.proof)))
    b.done(ticket)
    expect((await b.told('receipt')).receipt.custody).toEqual({ checked: reported.length, failed: 0 })
  })

  it('that can’t be read spoil their session, and nothing else', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    const [report] = await reports(ticket, [requester, ...stageKeys], [16], 4)
    const noRows = report?.proof.slice() as Uint8Array
    noRows.set([0, 0], 29)
    b.sessions.proofs(requester.id, noRows)
    await b.prove(ticket)
    b.done(ticket)
    expect((await b.told('receipt')).receipt.custody.failed).toBe(1)
    expect(b.failures).toEqual([])
  })

  it('of one who does not take part are of no effect', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    for (const { proof } of await reports(ticket, [requester, ...stageKeys], [16], 4)) b.sessions.proofs(server.id, proof)
    await b.prove(ticket)
    b.done(ticket)
    expect((await b.told('receipt')).receipt.custody.failed).toBe(0)
  })

  it('that came in time are judged before the verdict', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.done(ticket)
    await b.prove(ticket)
    await b.sessions.settleAll()
    expect(b.all('receipt')).toMatchObject([{ receipt: { custody: { failed: 0 } } }])
  })
})

describe('when something fails here', () => {
  it('a ticket that can’t be signed is an error for the requester, and takes no place', async () => {
    const { publicKey } = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])
    const b = new SessionScene({ identity: { ...server, privateKey: publicKey } })
    b.open(1)
    expect(await b.told('error')).toMatchObject({ id: 1, error: { code: 'internal' } })
    expect(b.load).toEqual(idle)
    expect(b.failures).toHaveLength(1)
  })

  it('a store that fails costs the receipt, not the server', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    await store.close()
    await b.prove(ticket)
    b.done(ticket)
    await b.until(() => b.failures[0])
    await b.sessions.settleAll()
    expect(b.all('receipt')).toEqual([])
    expect(b.sessions.counts.settled).toBe(0)
    await b.routed(2)
  })

  it('a server that has lost the swarm writes no receipt, and says so in its log', async () => {
    const b = new SessionScene({ epoch: epoch - 1 })
    const ticket = await b.routed(1)
    await b.prove(ticket)
    b.done(ticket)
    await b.sessions.settleAll()
    expect(b.all('receipt')).toEqual([])
    expect(await store.receipt(ticket.session)).toBeUndefined()
    expect(b.lines.at(-1)).toContain('another server')
  })

  it('one that goes away settles what has ended, also what it was at', async () => {
    const b = new SessionScene()
    const tickets = [await b.routed(1), await b.routed(2), await b.routed(3)]
    await b.prove(tickets[0] as Ticket)
    for (const ticket of tickets.slice(0, 2)) b.done(ticket)
    await b.sessions.settleAll()
    expect(b.all('receipt')).toHaveLength(2)
    expect(b.sessions.live).toBe(1)
  })
})
