/** A swarm that changes hands with answers under way: let go of here without a word that it is over, taken over there. */
import { describe, expect, it } from 'vitest'
import { createIdentity } from '../protocol/keys.ts'
import { model, requester, server, SessionScene, store, useSessionScene } from '../testing/session-scene.ts'

useSessionScene()

const url = 'http://other.example'

describe('[AD] a swarm that another server has now', () => {
  it('sends its requesters there and tells nobody that anything is over; places are free', async () => {
    const here = new SessionScene()
    const ticket = await here.routed(1)
    here.sessions.moved(model.revision, url)
    expect(here.all('moved', requester.id)).toEqual([{ t: 'moved', revision: model.revision, url }])
    expect([here.all('session-closed'), here.all('error'), here.sessions.live]).toEqual([[], [], 0])
    // What still comes by old sockets changes nothing.
    await here.prove(ticket)
    here.done(ticket)
    here.pass(60_000)
    expect(here.all('receipt')).toEqual([])
    expect(await store.receipts(ticket.session)).toEqual([])
  })

  it('sends those who wait for a place there, with what they asked', async () => {
    const here = new SessionScene()
    const places = 8
    for (let id = 1; id <= places + 1; id++) here.open(id)
    await here.told('queued')
    const waiting = here.sessions.queued
    expect(waiting).toBeGreaterThan(0)
    here.sessions.moved(model.revision, url)
    expect(here.sessions.queued).toBe(0)
    expect(here.all('moved').filter((m) => m.id !== undefined).length).toBeGreaterThanOrEqual(waiting)
  })

  it('goes on at the other: stages and requester show their tickets, and the receipt is written there', async () => {
    const here = new SessionScene()
    const ticket = await here.routed(1)
    here.sessions.moved(model.revision, url)
    // Another key, and a list of keys in which the first one's stands.
    const there = new SessionScene({ identity: await createIdentity() })
    expect(ticket.serverKey).toBe(server.publicKey)
    for (const v of there.volunteers) there.sessions.adopt(v.peer, ticket)
    there.sessions.adopt(requester.id, ticket)
    await there.prove(ticket)
    there.done(ticket)
    const { receipt } = await there.told('receipt')
    expect(receipt).toMatchObject({ request: ticket.session, custody: { failed: 0 } })
    expect(receipt.serverKey).not.toBe(server.publicKey)
    expect(await store.receipt(ticket.session)).toEqual(receipt)
  })
})
