/** Sessions that outlive the server: another one takes them over by the tickets that their peers show. */
import { describe, expect, it } from 'vitest'
import { createIdentity } from '../protocol/keys.ts'
import { ticketMs } from '../protocol/limits.ts'
import { signTicket, type Ticket } from '../protocol/ticket.ts'
import { reports } from '../testing/custody.ts'
import { idle, requester, server, SessionScene, stageKeys, store, useSessionScene } from '../testing/session-scene.ts'
import { gatherMs } from './adoption.ts'

useSessionScene()

/** A session of a server that is no more, and the one after it. */
async function restarted(): Promise<{ b: SessionScene; ticket: Ticket }> {
  const ticket = await new SessionScene().routed(1)
  return { b: new SessionScene(), ticket }
}

const adopted = (b: SessionScene) => expect.poll(() => b.sessions.counts.adopted).toBe(1)
const everybody = () => [stageKeys[0].id, stageKeys[1].id, requester.id]

describe('[AD2] a session from before the server began', () => {
  it('is taken over with its places, and goes on as it was: nobody hears of another generation', async () => {
    const { b, ticket } = await restarted()
    for (const peer of everybody()) b.sessions.adopt(peer, ticket)
    await expect
      .poll(() => b.load)
      .toEqual([
        [1, 100],
        [1, 100],
      ])
    b.pass(gatherMs + 1)
    expect([b.sessions.live, b.sessions.counts.rerouted]).toEqual([1, 0])
    expect(b.all('error')).toEqual([])
  })

  it('has its receipt from proofs and a last word that follow the tickets at once', async () => {
    const { b, ticket } = await restarted()
    const reported = await reports(ticket, [requester, ...stageKeys], [16], 4)
    for (const peer of everybody()) {
      b.sessions.adopt(peer, ticket)
      for (const { proof, from } of reported) if (from === peer) b.sessions.proofs(peer, proof)
    }
    b.done(ticket)
    const { receipt } = await b.told('receipt')
    expect(receipt).toMatchObject({ session: ticket.session, custody: { checked: reported.length, failed: 0 } })
    expect(await store.receipt(ticket.session)).toEqual(receipt)
    expect(b.load).toEqual(idle)
  })

  it('goes on with others in the place of those who are not back in time', async () => {
    const { b, ticket } = await restarted()
    b.join(b.replicas[1])
    b.members.delete(b.volunteers[1])
    b.sessions.adopt(stageKeys[0].id, ticket)
    b.sessions.adopt(requester.id, ticket)
    await adopted(b)
    b.sessions.failover.reopen(requester.id, { t: 'reopen', id: 5, session: ticket.session })
    b.pass(gatherMs)
    expect(b.all('route')).toEqual([])
    b.pass(1)
    const next = (await b.told('route', (r) => r.id === 5)).ticket
    expect(next.generation).toBe(1)
    expect(next.stages.map((s) => s.peer)).toEqual([stageKeys[0].id, stageKeys[3].id])
  })

  it('of which nobody computes anything any more is not begun again by its requester alone', async () => {
    const { b, ticket } = await restarted()
    b.sessions.adopt(requester.id, ticket)
    await adopted(b)
    b.pass(gatherMs + 1)
    expect(b.all('session-closed', requester.id)).toHaveLength(1)
    expect([b.sessions.live, b.load]).toEqual([0, idle])
  })

  it('is gone on with in the latest generation that anybody knows; who has an older ticket hears of it', async () => {
    const { b, ticket } = await restarted()
    const { signature: _, ...said } = ticket
    const newer = await signTicket({ ...said, generation: 3 }, server.privateKey)
    b.sessions.adopt(stageKeys[0].id, ticket)
    b.sessions.adopt(stageKeys[1].id, newer)
    b.sessions.adopt(stageKeys[0].id, newer)
    await expect.poll(() => b.load[0]).toEqual([1, 100])
    b.sessions.adopt(stageKeys[1].id, ticket)
    await b.until(() => b.all('session', stageKeys[1].id).find((told) => told.ticket.generation === 3))
    b.done(newer)
    await expect.poll(() => b.load).toEqual(idle)
  })
})

describe('[AD3] a ticket is shown in vain', () => {
  const closed = async (b: SessionScene, peer = stageKeys[0].id) =>
    expect(await b.until(() => b.all('session-closed', peer)[0])).toMatchObject({ t: 'session-closed' })

  it('when it is forged, expired, or of a server nobody here knows', async () => {
    const { b, ticket } = await restarted()
    const { signature: _, ...said } = ticket
    for (const wrong of [
      { ...ticket, maxPositions: 7 },
      await signTicket({ ...said, expiresAt: b.wall - 1 }, server.privateKey),
      await signTicket({ ...said, serverKey: (await createIdentity()).publicKey }, server.privateKey),
    ]) {
      const scene = new SessionScene()
      scene.sessions.adopt(stageKeys[0].id, wrong)
      await closed(scene)
      expect(scene.sessions.live).toBe(0)
    }
  })

  it('when its session is over here, or its model is not offered', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.fault(ticket, requester.id, { code: 'aborted', message: 'Enough.' })
    b.sessions.adopt(stageKeys[0].id, ticket)
    await closed(b)
    expect(b.sessions.live).toBe(0)
    const other = await restarted()
    other.b.offered = false
    other.b.sessions.adopt(stageKeys[0].id, other.ticket)
    await closed(other.b)
  })

  it('by one whom it does not name', async () => {
    const { b, ticket } = await restarted()
    b.sessions.adopt(server.id, ticket)
    b.sessions.adopt(stageKeys[0].id, ticket)
    await adopted(b)
    expect(b.all('session', server.id)).toEqual([])
  })

  it('by a stage that has been replaced: it lets go', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.join(b.replicas[0])
    b.lose(b.volunteers[0])
    await b.rerouted(1)
    b.gone.clear()
    b.sessions.adopt(stageKeys[0].id, ticket)
    await closed(b)
    expect(b.sessions.live).toBe(1)
  })
})

it('[AD2] places are given back when a session that was taken over expires', async () => {
  const { b, ticket } = await restarted()
  for (const peer of everybody()) b.sessions.adopt(peer, ticket)
  await expect.poll(() => b.load[1]).toEqual([1, 100])
  b.pass(ticketMs + 1)
  expect([b.sessions.live, b.load]).toEqual([0, idle])
})
