/** A session that loses stages goes on with others: over a real store and real keys, in a time that only the test lets pass. */
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../protocol/ids.ts'
import { replacementMs, ticketMs } from '../protocol/limits.ts'
import { checkTicket } from '../protocol/ticket.ts'
import { reports, reportsOf, undisturbed } from '../testing/custody.ts'
import { idle, requester, server, SessionScene, stageKeys, store, useSessionScene } from '../testing/session-scene.ts'
import { maxGenerations } from './session-table.ts'
import { probeMs } from './stall.ts'
import type { Volunteer } from './swarm.ts'

useSessionScene()

const peersOf = (ticket: { stages: readonly { peer: PeerId }[] }) => ticket.stages.map((s) => s.peer)
/** A session over the two volunteers; `replicas` of those that hold the same serve too. */
async function underWay(replicas: 1 | 2, change?: ConstructorParameters<typeof SessionScene>[0]) {
  const b = new SessionScene(change)
  const ticket = await b.routed(1)
  b.join(...b.replicas.slice(0, replicas))
  const [first, last] = b.volunteers
  return { b, first, last, ticket }
}

const nothing = { t: 'pace', held: 0, serviceMs: 0 } as const

describe('[FO1] a stage that is lost', () => {
  it('is replaced in the next generation, which everybody hears of: the requester, those who stay, the newcomer', async () => {
    const { b, first, last, ticket } = await underWay(1)
    b.lose(first)
    const next = await b.rerouted(1)
    expect(peersOf(next)).toEqual([b.replicas[0].peer, last.peer])
    expect(next).toMatchObject({ session: ticket.session, generation: 1, maxRows: ticket.maxRows, expiresAt: ticket.expiresAt })
    await expect(checkTicket(next, [server.publicKey], b.wall)).resolves.toEqual(next)
    for (const v of [last, b.replicas[0]]) expect(b.all('session', v.peer).at(-1)).toEqual({ t: 'session', ticket: next })
    expect(b.all('error')).toEqual([])
    expect([first, last, ...b.replicas].map((v) => v.sessions)).toEqual([0, 1, 1, 0])
    expect(b.sessions.counts).toMatchObject({ opened: 1, rerouted: 1, failed: 0 })
  })

  it('may be the host, or all of them at once', async () => {
    const { b } = await underWay(2)
    b.lose(...b.volunteers)
    const next = await b.rerouted(1)
    expect(peersOf(next)).toEqual(b.replicas.map((v) => v.peer))
    expect(b.sessions.live).toBe(1)
  })

  it('that goes while the ticket before is being signed costs no generation that somebody has heard of', async () => {
    const b = new SessionScene()
    b.join(...b.replicas)
    b.open(1)
    const serving = () => [...b.members].filter((v) => v.sessions > 0)
    b.lose(serving()[0] as Volunteer)
    const first = await b.told('route')
    expect(first.ticket.generation).toBe(0)
    expect(peersOf(first.ticket)).toEqual(
      serving()
        .toSorted((a, z) => (a.holding?.blocks.first ?? 0) - (z.holding?.blocks.first ?? 0))
        .map((v) => v.peer),
    )
  })

  it('is not replaced by one whose runs are shorter than the session’s, or without room in its caches', async () => {
    for (const change of [{ rowLimit: 8 }, { cachePositions: 50 }]) {
      const b = new SessionScene()
      await b.routed(1)
      const [replica] = b.replicas
      const { holding } = replica
      if (holding?.ready) holding.ready = { ...holding.ready, ...change }
      b.join(replica)
      b.lose(b.volunteers[0])
      expect((await b.told('waiting')).reason).toContain('room')
      expect(b.all('route')).toHaveLength(1)
    }
  })

  it('keeps whom others can’t do without: an unproven one goes on where nobody proven holds its part', async () => {
    const { b } = await underWay(1, { trust: { mayProduce: (peer) => peer !== stageKeys[2].id } })
    b.lose(b.volunteers[0])
    expect(peersOf(await b.rerouted(1))).toContain(stageKeys[2].id)
  })
})

describe('[FO2] a part that nobody holds any more', () => {
  it('is waited for, which the requester hears, and the answer goes on when somebody has it', async () => {
    const b = new SessionScene()
    await b.routed(1)
    b.lose(b.volunteers[1])
    expect(await b.told('waiting')).toEqual({ t: 'waiting', id: 1, reason: expect.stringContaining('blocks 2-2') as string })
    expect(b.sessions.failover.awaits(b.all('route')[0]?.ticket.revision as never)).toBe(true)
    b.pass(replacementMs - 1)
    b.join(b.replicas[1])
    expect(peersOf(await b.rerouted(1))).toEqual([b.volunteers[0].peer, b.replicas[1].peer])
    b.pass(replacementMs)
    expect(b.all('error')).toEqual([])
    expect(b.all('waiting')).toHaveLength(1)
  })

  it('may come back itself: whoever lost its connection alone has its rows still', async () => {
    const b = new SessionScene()
    const [, last] = b.volunteers
    await b.routed(1)
    b.lose(last)
    await b.told('waiting')
    b.join(last)
    expect(peersOf(await b.rerouted(1))).toEqual(b.volunteers.map((v) => v.peer))
  })

  it('is not waited for longer than a while: an error that says what is missing, and everything is given back', async () => {
    const b = new SessionScene()
    await b.routed(1)
    b.lose(b.volunteers[1])
    b.pass(replacementMs + 1)
    const error = { code: 'no-volunteers', message: expect.stringContaining('blocks 2-2') as string }
    expect(b.all('error')).toMatchObject([{ id: 1, error }])
    expect(b.all('session-closed', b.volunteers[0].peer)).toHaveLength(1)
    expect([b.load, b.sessions.live]).toEqual([idle, 0])
  })

  it('of a model that is no longer offered ends the session', async () => {
    const b = new SessionScene()
    await b.routed(1)
    b.offered = false
    b.lose(b.volunteers[1])
    expect(b.all('error')).toMatchObject([{ id: 1, error: { code: 'unknown-model' } }])
  })
})

describe('[FO3] a fault', () => {
  const broken = { code: 'peer-lost', message: 'The connection closed.' } as const

  it('of a stage’s own has others go on without it, a few times', async () => {
    const { b, ticket } = await underWay(1)
    b.fault(ticket, b.volunteers[0].peer, { code: 'engine-failed', message: 'No luck.' })
    expect(peersOf(await b.rerouted(1))).toEqual([b.replicas[0].peer, b.volunteers[1].peer])
    // Once it has been replaced nobody hears it any more.
    b.fault(ticket, b.volunteers[0].peer, { code: 'engine-failed', message: 'No luck.' })
    b.fault(ticket, b.replicas[0].peer, { code: 'engine-failed', message: 'No luck either.' })
    await b.told('waiting')
    expect(b.all('error')).toEqual([])
  })

  it('of a broken link has the same stages connect again; both ends’ words are one break', async () => {
    const { b, first, last, ticket } = await underWay(2)
    b.fault(ticket, first.peer, broken, last.peer)
    const next = await b.rerouted(1)
    expect(peersOf(next)).toEqual(peersOf(ticket))
    b.fault(ticket, last.peer, broken, first.peer)
    expect(b.sessions.counts.rerouted).toBe(1)
  })

  it('of a link that breaks again has the less trusted of the two replaced', async () => {
    const { b, first, last, ticket } = await underWay(2, { trust: { lessTrusted: (x, y) => (x === stageKeys[1].id ? x : y) } })
    b.fault(ticket, first.peer, broken, last.peer)
    await b.rerouted(1)
    b.fault(ticket, first.peer, broken, last.peer)
    expect(peersOf(await b.rerouted(2))).toEqual([first.peer, b.replicas[1].peer])
  })

  it('of custody has the request asked again without one of the two, and names nobody', async () => {
    const failed: unknown[] = []
    const { b, first, last, ticket } = await underWay(2, {
      trust: { failedCustody: (...said) => failed.push(said), lessTrusted: (x) => x },
    })
    b.fault(ticket, last.peer, { code: 'hash-mismatch', message: 'Other bytes.' }, first.peer)
    expect(b.all('wrong', requester.id)).toMatchObject([{ session: ticket.session }])
    expect(failed).toEqual([[ticket.session, ticket.revision, [], [last.peer, first.peer]]])
    expect(b.all('session-closed', first.peer)).toHaveLength(1)
    expect(b.sessions.live).toBe(0)
    const again = await b.routed(2, { corrects: ticket.session })
    expect(peersOf(again)).not.toContain(last.peer)
    expect(peersOf(again)).toHaveLength(2)
  })

  it('of one who takes no part, or about one who does not, changes nothing', async () => {
    const { b, ticket } = await underWay(2)
    b.fault(ticket, server.id, broken, b.volunteers[0].peer)
    b.fault(ticket, b.replicas[0].peer, broken)
    expect([b.sessions.live, b.sessions.counts.rerouted]).toEqual([1, 0])
  })
})

describe('[FO4] a session that stands still', () => {
  const stall = (b: SessionScene, session: Parameters<SessionScene['sessions']['done']>[1]['session'], from: PeerId) =>
    b.sessions.failover.stalled(from, { t: 'stalled', session, position: 20, waitedMs: 2000 })
  /** Its host has said so, and there are others for both stages. */
  const stalled = async () => {
    const { b, first, last, ticket } = await underWay(2)
    b.pass(5_000)
    stall(b, ticket.session, last.peer)
    return { b, first, last, session: ticket.session }
  }

  it('has its stages asked, and whoever does not answer is replaced', async () => {
    const { b, first, last, session } = await stalled()
    for (const v of b.volunteers) expect(b.all('probe', v.peer)).toEqual([{ t: 'probe', session }])
    b.sessions.failover.pace(last.peer, { ...nothing, session, held: 20 })
    b.pass(probeMs + 1)
    expect(peersOf(await b.rerouted(1))).toEqual([b.replicas[0].peer, last.peer])
    expect(first.slowUntil).toBeGreaterThan(b.uptime)
  })

  it('goes back to whoever held it up rather than end', async () => {
    const { b, first, last, session } = await stalled()
    b.sessions.failover.pace(last.peer, { ...nothing, session, held: 20 })
    b.pass(probeMs + 1)
    await b.rerouted(1)
    b.lose(b.replicas[0])
    expect(peersOf(await b.rerouted(2))).toEqual([first.peer, last.peer])
  })

  it('has the stage replaced that lacks a row its upstream has run', async () => {
    const { b, first, last, session } = await stalled()
    b.sessions.failover.pace(first.peer, { ...nothing, session, held: 21, serviceMs: 20 })
    b.sessions.failover.pace(last.peer, { ...nothing, session, held: 20, serviceMs: 20 })
    expect(peersOf(await b.rerouted(1))).toEqual([first.peer, b.replicas[1].peer])
  })

  it('goes on slowly where nobody can take over, and nobody but the host is believed', async () => {
    const b = new SessionScene()
    const [first, last] = b.volunteers
    const { session } = await b.routed(1)
    b.pass(5_000)
    stall(b, session, first.peer)
    expect(b.all('probe')).toEqual([])
    stall(b, session, last.peer)
    b.pass(probeMs + 1)
    expect([b.sessions.live, b.all('waiting'), b.all('route').length]).toEqual([1, [], 1])
  })
})

describe('a requester that was away', () => {
  it('[FO6] opens its session again: the same stages, the next generation', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.sessions.failover.reopen(requester.id, { t: 'reopen', id: 7, session: ticket.session })
    const next = await b.told('route', (r) => r.id === 7)
    expect(peersOf(next.ticket)).toEqual(peersOf(ticket))
    expect(next.ticket.generation).toBe(1)
  })

  it('hears that a session is over, and can’t open another’s', async () => {
    const b = new SessionScene()
    const ticket = await b.routed(1)
    b.sessions.failover.reopen(stageKeys[0].id, { t: 'reopen', id: 7, session: ticket.session })
    b.done(ticket)
    b.sessions.failover.reopen(requester.id, { t: 'reopen', id: 8, session: ticket.session })
    expect(b.all('error')).toMatchObject([
      { id: 7, error: { code: 'not-found' } },
      { id: 8, error: { code: 'not-found' } },
    ])
  })

  it('can’t have a session begin anew without end', async () => {
    const b = new SessionScene()
    const { session } = await b.routed(1)
    for (let generation = 1; generation < maxGenerations; generation++) {
      b.sessions.failover.reopen(requester.id, { t: 'reopen', id: 1, session })
      await b.rerouted(generation).catch(() => undefined)
      if (b.sessions.live === 0) break
      if (generation === maxGenerations - 1) break
    }
    b.sessions.failover.reopen(requester.id, { t: 'reopen', id: 1, session })
    expect(b.all('error')).toMatchObject([{ id: 1, error: { code: 'peer-lost' } }])
    expect(b.load).toEqual(idle)
  })
})

describe('[FO7] one who wants to go', () => {
  it('hands its sessions over to a replica that has caught up', async () => {
    const { b, first, last, ticket } = await underWay(1)
    first.leaving = true
    b.sessions.failover.handOver(first.peer)
    const shadow = await b.told('shadow')
    expect(shadow.ticket).toMatchObject({ role: 'standby', session: ticket.session, peer: b.replicas[0].peer, source: { peer: last.peer } })
    b.pass(500)
    expect(b.all('probe', b.replicas[0].peer)).toEqual([{ t: 'probe', session: shadow.ticket.shadow }])
    const next = await b.rerouted(1)
    expect(peersOf(next)).toEqual([b.replicas[0].peer, last.peer])
    expect(b.all('session', first.peer).at(-1)?.ticket).toEqual(next)
    expect(first.sessions).toBe(0)
    b.pass(500)
    expect(b.all('shadow-closed')).toEqual([])
    expect(b.replicas[0].positions).toBe(100)
  })

  it('finishes what nobody can take over', async () => {
    const b = new SessionScene()
    await b.routed(1)
    b.volunteers[0].leaving = true
    b.sessions.failover.handOver(b.volunteers[0].peer)
    b.pass(10_000)
    expect([b.all('waiting'), b.all('route').length, b.volunteers[0].sessions]).toEqual([[], 1, 1])
    b.join(b.replicas[0])
    b.pass(500)
    expect(peersOf(await b.rerouted(1))).toContain(b.replicas[0].peer)
  })
})

describe('[FO8] a long session', () => {
  it('has somebody stand by for each stage, who takes its place, and whose room comes back', async () => {
    const b = new SessionScene()
    const [first, last] = b.volunteers
    const ticket = await b.routed(1, { maxPositions: 600 })
    b.join(...b.replicas)
    b.pass(500)
    expect(b.sessions.standbys.size).toBe(0)
    for (const { proof, from } of await reports(ticket, [requester, ...stageKeys], [...Array<number>(16).fill(16)], 1))
      b.sessions.proofs(from, proof)
    await expect.poll(() => (b.sessions.standbys.tick(), b.all('shadow').length)).toBe(2)
    expect(b.replicas.map((v) => [v.sessions, v.positions])).toEqual([
      [0, 600],
      [0, 600],
    ])
    b.lose(first)
    expect(peersOf(await b.rerouted(1))).toEqual([b.replicas[0].peer, last.peer])
    b.pass(500)
    // The other's source is gone: nobody feeds it any more, so it begins again.
    expect(b.all('shadow-closed', b.replicas[1].peer)).toHaveLength(1)
    b.done(b.all('route').at(-1)?.ticket ?? ticket)
    b.pass(ticketMs)
    await b.sessions.settleAll()
    expect(b.sessions.standbys.size).toBe(0)
    expect([...b.volunteers, ...b.replicas].map((v) => [v.sessions, v.positions])).toEqual([...idle, ...idle])
  })
})

describe('[RC1] after reroutes', () => {
  it('the receipt covers all generations, and everybody who took part is told that it is written', async () => {
    const { b, first, last, ticket } = await underWay(1)
    b.lose(first)
    const next = await b.rerouted(1)
    const parties = [requester, ...stageKeys]
    const carried = undisturbed(next, [16], 4)
    // The prompt had come before.
    const prompt = new Map([...undisturbed(ticket, [16], 4)].filter(([link]) => link === 3))
    carried.delete(3)
    for (const { proof, from } of [...(await reportsOf(ticket, parties, prompt)), ...(await reportsOf(next, parties, carried))])
      b.sessions.proofs(from, proof)
    b.done(next)
    const { receipt } = await b.told('receipt')
    expect(receipt.custody.failed).toBe(0)
    expect(await store.receipt(ticket.session)).toEqual(receipt)
    for (const v of [last, b.replicas[0]]) expect(b.all('settled', v.peer)).toEqual([{ t: 'settled', session: ticket.session }])
  })
})
