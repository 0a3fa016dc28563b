/** Who gets a place and who waits for one, and that every place comes back. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { proofBytes } from '../protocol/custody.ts'
import type { PeerId } from '../protocol/ids.ts'
import { ticketMs } from '../protocol/limits.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { context, idle, requester, SessionScene, useSessionScene } from '../testing/session-scene.ts'
import { perRequester, queueMs } from './admission.ts'
import { keptPlaces, sessionsPerStage } from './routing.ts'
import type { Asked } from './live-session.ts'
import { proofWaitMs } from './settlement.ts'
import type { Volunteer } from './swarm.ts'

useSessionScene()

describe('where there is no place', () => {
  const fill = async (b: SessionScene, count: number, change: (i: number) => Partial<Asked> = () => ({})) => {
    for (let id = 1; id <= count; id++) await b.routed(id, { maxPositions: 10, ...change(id) })
  }
  const own = sessionsPerStage - keptPlaces
  const other = 'f'.repeat(64) as PeerId

  it('one requester gets all but the last, and waits for the next', async () => {
    const b = new SessionScene()
    await fill(b, own)
    b.open(99, { maxPositions: 10 })
    expect(b.all('queued', requester.id)).toEqual([{ t: 'queued', id: 99, ahead: 0 }])
    await b.routed(100, { peer: other, maxPositions: 10 })
    for (const { ticket } of b.all('route').slice(0, keptPlaces)) b.done(ticket)
    await b.told('route', (r) => r.id === 99)
  })

  it('a network of many keys counts as one requester', async () => {
    const b = new SessionScene()
    const key = (id: number) => id.toString(16).padStart(64, '0') as PeerId
    await fill(b, own, (id) => ({ peer: key(id), network: '192.0.2.0/24' }))
    b.open(98, { peer: key(98), network: '192.0.2.0/24', maxPositions: 10 })
    expect(b.all('queued')).toHaveLength(1)
    await b.routed(99, { peer: key(99), network: '198.51.100.0/24', maxPositions: 10 })
  })

  it('a place that comes free goes to who has none, before those who came first', async () => {
    const b = new SessionScene()
    await fill(b, own)
    const others = ['a', 'b', 'c'].map((digit) => digit.repeat(64) as PeerId)
    b.open(50, { maxPositions: 10 })
    for (const [i, peer] of others.entries()) b.open(60 + i, { peer, maxPositions: 10 })
    await b.told('route', (r) => r.id === 61)
    expect(b.all('queued').map((q) => q.id)).toEqual([50, 62])
    b.done(b.all('route')[0]?.ticket as Ticket)
    await b.told('route', (r) => r.id === 62)
    expect(b.sessions.queued).toBe(1)
  })

  it('past the bound a request hears busy, and when to come again', async () => {
    const b = new SessionScene()
    await fill(b, own)
    for (let i = 0; i <= perRequester; i++) b.open(50 + i, { maxPositions: 10 })
    expect(b.all('error')).toMatchObject([{ id: 50 + perRequester, error: { code: 'busy', retryAfterMs: expect.any(Number) as number } }])
  })

  it('a small request passes by a large one that finds no room', async () => {
    const b = new SessionScene()
    await b.routed(1, { maxPositions: 1000 })
    b.open(2, { maxPositions: 2000 })
    await b.routed(3, { maxPositions: 1000 })
    expect(b.all('queued').map((q) => q.id)).toEqual([2])
    for (const { ticket } of b.all('route')) b.done(ticket)
    await b.told('route', (r) => r.id === 2)
  })

  it('who waits too long hears it; who is gone or gives up is waited for no more', async () => {
    const b = new SessionScene()
    await fill(b, own)
    b.open(50, { maxPositions: 10 })
    b.open(51, { maxPositions: 10 })
    b.sessions.close(requester.id, 50)
    expect(b.sessions.queued).toBe(1)
    b.pass(queueMs + 1)
    expect(b.all('error')).toMatchObject([{ id: 51, error: { code: 'busy' } }])
    b.open(52, { maxPositions: 10 })
    b.sessions.requesterGone(requester.id)
    expect(b.sessions.queued).toBe(0)
  })

  it('who is gone when the turn comes takes no place', async () => {
    const b = new SessionScene()
    b.gone.add(requester.id)
    b.open(1)
    await b.routed(2, { peer: other })
    // The two tickets are signed side by side: the other's may be the first.
    await expect
      .poll(() => b.load)
      .toEqual([
        [1, 100],
        [1, 100],
      ])
  })

  it('a model that goes is no longer waited for', async () => {
    const b = new SessionScene()
    await fill(b, own)
    b.open(50, { maxPositions: 10 })
    b.offered = false
    b.sessions.tick()
    expect(b.all('error')).toMatchObject([{ id: 50, error: { code: 'unknown-model' } }])
  })
})

describe('a request that will never have a route is refused at once', () => {
  it.each<[string, Partial<Asked>, (b: SessionScene) => void]>([
    ['unknown-model', {}, (b) => (b.offered = false)],
    ['context-overflow', { maxPositions: context + 1 }, () => undefined],
    ['bad-input', { sampling: null }, () => undefined],
    ['no-volunteers', {}, (b) => (b.volunteers[0].paused = true)],
  ])('%s', (code, asked, arrange) => {
    const b = new SessionScene()
    arrange(b)
    b.open(7, asked)
    expect(b.all('error')).toMatchObject([{ id: 7, error: { code } }])
    expect(b.sessions.queued).toBe(0)
  })

  it('context-overflow, when the volunteers have too little memory', () => {
    const b = new SessionScene()
    for (const v of b.volunteers) if (v.holding?.ready) v.holding.ready = { ...v.holding.ready, cachePositions: 50 }
    b.open(7)
    expect(b.all('error')).toMatchObject([{ error: { code: 'context-overflow', message: expect.stringContaining('50') as string } }])
  })
})

const commands = fc.array(
  fc.record({
    t: fc.constantFrom('open', 'open', 'open', 'close', 'done', 'fault', 'lost', 'back', 'stalled', 'leaving', 'gone', 'tick', 'proofs'),
    who: fc.nat(3),
    which: fc.nat(200),
    size: fc.constantFrom(1, 10, 500, context),
  }),
  { minLength: 10, maxLength: 60 },
)

it('whatever happens in whatever order, capacity is given back exactly once, and every request hears how it went', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (happenings) => {
      const b = new SessionScene()
      const everybody = [...b.volunteers, ...b.replicas]
      const left = new Set<number>()
      for (const [id, { t, who, which, size }] of happenings.entries()) {
        const peer = who.toString().repeat(64) as PeerId
        const tickets: Ticket[] = b.all('route').map((route) => route.ticket)
        const ticket = tickets[which % Math.max(1, tickets.length)]
        if (t === 'open') {
          b.open(id, { peer, maxPositions: size })
          await b.until(() => [...b.all('route'), ...b.all('queued'), ...b.all('error')].find((m) => m.id === id))
        } else if (t === 'close') {
          left.add(which % happenings.length)
          for (const p of '0123') b.sessions.close(p.repeat(64) as PeerId, which % happenings.length)
        } else if (t === 'gone') {
          for (const [i, h] of happenings.entries()) if (h.who === who) left.add(i)
          b.sessions.requesterGone(peer)
        } else if (t === 'tick') b.pass(size * 100)
        else if (t === 'lost') b.lose(everybody[who] as Volunteer)
        else if (t === 'back') b.join(everybody[who] as Volunteer)
        else if (t === 'leaving') b.sessions.failover.handOver((everybody[who] as Volunteer).peer)
        else if (ticket && t === 'stalled')
          b.sessions.failover.stalled(ticket.stages.at(-1)?.peer as PeerId, { t, session: ticket.session, position: 1, waitedMs: size })
        else if (ticket && t === 'done') b.done(ticket)
        else if (ticket && t === 'fault') b.fault(ticket, b.volunteers[who % 2]?.peer as PeerId, { code: 'gap', message: 'x' })
        else if (ticket) b.sessions.proofs(b.volunteers[who % 2]?.peer as PeerId, new Uint8Array(proofBytes).fill(which))
        for (const v of everybody) {
          expect(v.sessions).toBeGreaterThanOrEqual(0)
          expect(v.positions).toBeGreaterThanOrEqual(0)
          expect(v.positions).toBeLessThanOrEqual(context)
        }
        expect(everybody.reduce((sum, v) => sum + v.sessions, 0)).toBeLessThanOrEqual(2 * b.sessions.live)
      }
      b.pass(queueMs + 1)
      b.pass(ticketMs + 1)
      b.pass(proofWaitMs + 1)
      await b.sessions.settleAll()
      expect(everybody.map((v) => [v.sessions, v.positions])).toEqual([...idle, ...idle])
      expect([b.sessions.live, b.sessions.queued, b.sessions.standbys.size]).toEqual([0, 0, 0])
      expect(b.failures).toEqual([])
      for (const [id, { t }] of happenings.entries()) {
        if (t !== 'open' || left.has(id)) continue
        expect([...b.all('route'), ...b.all('error')].filter((m) => m.id === id).length).toBeGreaterThan(0)
      }
    }),
    { numRuns: 60 },
  )
})
