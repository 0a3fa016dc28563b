/** Sessions from asking to receipt, over a real store and real keys, in a time that only the test lets pass. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { concatBytes } from '../protocol/bytes.ts'
import { proofBytes } from '../protocol/custody.ts'
import type { PeerId } from '../protocol/ids.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { ticketMs } from '../protocol/limits.ts'
import { checkReceipt } from '../protocol/receipt.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { reports } from '../testing/custody.ts'
import { holder, plainManifest, plainModel, usualReady } from '../testing/swarms.ts'
import { perRequester, queueMs } from './admission.ts'
import { keptPlaces, sessionsPerStage } from './routing.ts'
import { Sessions, type Asked } from './sessions.ts'
import { proofWaitMs } from './settlement.ts'
import { openEmbedded } from './sqlite-store.ts'
import type { Store } from './store.ts'
import type { Model, Volunteer } from './swarm.ts'

type Kind = ServerMessage['t']
type Told<T extends Kind> = Extract<ServerMessage, { t: T }>

const context = 2048
const model: Model = {
  ...plainModel(0, [1, 1]),
  manifest: plainManifest([1, 1], { layers: 2, kvHeads: 1, headDim: 1, vocab: 8, context, eos: [0] }),
}
const stats = { promptHash: 'a'.repeat(64), answerHash: 'b'.repeat(64) }

let server: Identity
let requester: Identity
let stageKeys: [Identity, Identity]
let directory: string
let store: Store
let epoch: number

beforeAll(async () => {
  ;[server, requester, ...stageKeys] = (await Promise.all(Array.from({ length: 4 }, () => createIdentity()))) as [
    Identity,
    Identity,
    Identity,
    Identity,
  ]
})
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'manyhands-sessions-'))
  const embedded = openEmbedded(directory, '')
  store = embedded.store
  epoch = (await embedded.ownership.ownerOf(model.revision))?.epoch ?? 0
  return async () => {
    await store.close().catch(() => undefined)
    await rm(directory, { recursive: true })
  }
})

/** Two volunteers that hold a half each, and whoever asks. */
class Bench {
  readonly sessions: Sessions
  readonly volunteers: [Volunteer, Volunteer]
  readonly gone = new Set<PeerId>()
  readonly failures: unknown[] = []
  readonly lines: string[] = []
  offered = true
  wall = 1_700_000_000_000
  uptime = 1_000
  readonly #told: { readonly peer: PeerId; readonly message: ServerMessage }[] = []
  #wake: () => void = () => undefined

  constructor(change: { identity?: Identity; epoch?: number } = {}) {
    this.volunteers = [0, 1].map((i) => ({
      ...holder(i, model.revision, { first: i, end: i + 1 }, { ...usualReady, cachePositions: context }),
      peer: stageKeys[i]?.id as PeerId,
      key: stageKeys[i]?.publicKey as string,
    })) as [Volunteer, Volunteer]
    this.sessions = new Sessions({
      identity: change.identity ?? server,
      store,
      swarm: () => (this.offered ? { model, members: new Set(this.volunteers) } : undefined),
      epochOf: () => change.epoch ?? epoch,
      send: (peer, message) => {
        if (this.gone.has(peer)) return false
        this.#told.push({ peer, message })
        this.#wake()
        return true
      },
      now: () => this.wall,
      uptime: () => this.uptime,
      random: () => 0.5,
      log: (line) => this.lines.push(line),
      failed: (thrown) => {
        this.failures.push(thrown)
        this.#wake()
      },
    })
  }

  open(id: number, change: Partial<Asked> = {}): void {
    const { id: peer, publicKey: key } = requester
    this.sessions.open({ peer, key, network: undefined, id, revision: model.revision, maxPositions: 100, ...change })
  }

  all<T extends Kind>(kind: T, peer?: PeerId): Told<T>[] {
    return this.#told.filter((t) => t.message.t === kind && (peer === undefined || t.peer === peer)).map((t) => t.message as Told<T>)
  }

  /** The first of a kind that fits, once it has been said. */
  async told<T extends Kind>(kind: T, fits: (message: Told<T>) => boolean = () => true): Promise<Told<T>> {
    return this.until(() => this.all(kind).find(fits))
  }

  async until<T>(look: () => T | undefined): Promise<T> {
    let found = look()
    while (found === undefined) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
      found = look()
    }
    return found
  }

  async routed(id: number, change: Partial<Asked> = {}): Promise<Ticket> {
    this.open(id, change)
    return (await this.told('route', (route) => route.id === id)).ticket
  }

  done(ticket: Ticket, change: Partial<Parameters<Sessions['done']>[1]> = {}, from = ticket.stages.at(-1)?.peer as PeerId): void {
    this.sessions.done(from, {
      t: 'done',
      session: ticket.session,
      finish: 'stop',
      promptPositions: 16,
      answerPositions: 4,
      ...stats,
      ...change,
    })
  }

  async prove(ticket: Ticket): Promise<void> {
    for (const { proof, from } of await reports(ticket, [requester, ...stageKeys], [16], 4)) this.sessions.proofs(from, proof)
  }

  pass(ms: number): void {
    this.uptime += ms
    this.sessions.tick()
  }

  get load(): number[][] {
    return this.volunteers.map((v) => [v.sessions, v.positions])
  }
}

const idle = [
  [0, 0],
  [0, 0],
]

describe('a session', () => {
  it('[TK1] gives its requester and every stage the same ticket, and takes its place on each', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    expect(ticket.stages.map((s) => s.peer)).toEqual(b.volunteers.map((v) => v.peer))
    for (const v of b.volunteers) expect(b.all('session', v.peer)).toEqual([{ t: 'session', ticket }])
    expect(b.load).toEqual([
      [1, 100],
      [1, 100],
    ])
  })

  it('[RC1] ends with a receipt for its requester, in the store, with work for every stage', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    await b.prove(ticket)
    b.done(ticket)
    expect(b.load).toEqual(idle)
    const { receipt } = await b.told('receipt')
    expect(await checkReceipt(receipt)).toBe(true)
    expect(receipt).toMatchObject({ request: ticket.session, custody: { failed: 0 } })
    expect(await store.receipt(ticket.session)).toEqual(receipt)
    for (const { peer } of ticket.stages) expect(await store.work(peer)).toMatchObject([{ session: ticket.session, rows: 19 }])
    expect(b.sessions.counts).toMatchObject({ opened: 1, settled: 1, chunksFailed: 0 })
  })

  it('[RC1] is settled after a bounded wait where proofs are missing, and then nobody’s work counts', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    b.done(ticket)
    b.pass(proofWaitMs)
    expect(b.all('receipt')).toEqual([])
    b.pass(1)
    expect((await b.told('receipt')).receipt.custody).toMatchObject({ checked: 0, failed: 4 })
    expect(await store.work(stageKeys[0].id)).toEqual([])
  })

  it('keeps its receipt when the requester’s close overtakes the last stage’s word', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    b.sessions.close(requester.id, 1)
    b.sessions.tick()
    expect(b.all('session-closed')).toEqual([])
    await b.prove(ticket)
    b.done(ticket)
    expect((await b.told('receipt')).receipt.custody.failed).toBe(0)
  })

  it('is over some time after the requester’s close, where the last stage says nothing', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    b.sessions.close(requester.id, 1)
    b.pass(10_000)
    expect(b.all('session-closed')).toEqual(ticket.stages.map(() => ({ t: 'session-closed', session: ticket.session })))
    expect(b.load).toEqual(idle)
    b.done(ticket)
    expect(b.sessions.live).toBe(0)
  })

  it('given up before its ticket was signed is told to nobody', async () => {
    const b = new Bench()
    b.open(1)
    b.sessions.close(requester.id, 1)
    expect(b.load).toEqual(idle)
    await b.routed(2)
    expect(b.all('route').map((route) => route.id)).toEqual([2])
    for (const v of b.volunteers) expect(b.all('session', v.peer)).toHaveLength(1)
  })

  it('breaks off with a stage: the requester hears why, the other stages let go, nothing is written', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    const [first, last] = b.volunteers
    b.sessions.stageLost(first.peer, 'A volunteer left.')
    expect(b.all('error', requester.id)).toMatchObject([{ id: 1, error: { code: 'peer-lost', message: 'A volunteer left.' } }])
    expect(b.all('session-closed', last.peer)).toHaveLength(1)
    expect(b.all('session-closed', first.peer)).toEqual([])
    expect(b.load).toEqual(idle)
    await b.prove(ticket)
    b.done(ticket)
    b.pass(proofWaitMs + 1)
    await b.sessions.settleAll()
    expect(await store.receipt(ticket.session)).toBeUndefined()
  })

  it('breaks off with a stage that goes while the ticket is being signed', async () => {
    const b = new Bench()
    b.open(1)
    b.sessions.stageLost(b.volunteers[0].peer, 'A volunteer left.')
    expect(b.all('error', requester.id)).toHaveLength(1)
    expect(b.load).toEqual(idle)
    await b.routed(2)
    expect(b.all('route').map((route) => route.id)).toEqual([2])
  })

  it('breaks off at the word of one who takes part, of nobody else', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    const error = { code: 'not-finite', message: 'A number is none.' } as const
    b.sessions.fault(server.id, ticket.session, error)
    expect(b.sessions.live).toBe(1)
    b.sessions.fault(b.volunteers[0].peer, ticket.session, error)
    expect(b.all('error', requester.id)).toMatchObject([{ id: 1, error }])
    expect(b.load).toEqual(idle)
  })

  it('is ended by its last stage alone, and once', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    b.done(ticket, {}, b.volunteers[0].peer)
    expect(b.sessions.live).toBe(1)
    b.done(ticket)
    b.done(ticket, { answerPositions: 100 })
    b.sessions.fault(requester.id, ticket.session, { code: 'internal', message: 'Too late.' })
    b.sessions.stageLost(b.volunteers[0].peer, 'Too late.')
    expect(b.all('error')).toEqual([])
    await b.prove(ticket)
    expect((await b.told('receipt')).receipt.custody).toMatchObject({ failed: 0 })
  })

  it('[TK3] is let go when its ticket expires, and its requester hears it', async () => {
    const b = new Bench()
    await b.routed(1)
    b.pass(ticketMs)
    expect(b.sessions.live).toBe(1)
    b.pass(1)
    expect(b.all('error', requester.id)).toMatchObject([{ id: 1, error: { code: 'timeout' } }])
    expect(b.load).toEqual(idle)
  })

  it('goes by a clock that does not step: an hour back on the wall changes nothing', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    b.wall -= 3_600_000
    b.done(ticket)
    b.pass(proofWaitMs + 1)
    expect((await b.told('receipt')).receipt.issuedAt).toBe(b.wall)
  })
})

describe('[CU6] proofs', () => {
  it('come one or more end to end; anything else is bad-message', async () => {
    const b = new Bench()
    const ticket = await b.routed(1)
    for (const length of [0, 1, proofBytes - 1, proofBytes + 1, 65 * proofBytes])
      expect(() => b.sessions.proofs(requester.id, new Uint8Array(length))).toThrow(expect.objectContaining({ code: 'bad-message' }))
    const reported = await reports(ticket, [requester, ...stageKeys], [16], 4)
    for (const party of [requester, ...stageKeys])
      b.sessions.proofs(party.id, concatBytes(reported.filter((r) => r.from === party.id).map((r) => r.proof)))
    b.done(ticket)
    expect((await b.told('receipt')).receipt.custody).toEqual({ checked: reported.length, failed: 0 })
  })

  it('that can’t be read spoil their session, and nothing else', async () => {
    const b = new Bench()
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
    const b = new Bench()
    const ticket = await b.routed(1)
    for (const { proof } of await reports(ticket, [requester, ...stageKeys], [16], 4)) b.sessions.proofs(server.id, proof)
    await b.prove(ticket)
    b.done(ticket)
    expect((await b.told('receipt')).receipt.custody.failed).toBe(0)
  })

  it('that came in time are judged before the verdict', async () => {
    const b = new Bench()
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
    const b = new Bench({ identity: { ...server, privateKey: publicKey } })
    b.open(1)
    expect(await b.told('error')).toMatchObject({ id: 1, error: { code: 'internal' } })
    expect(b.load).toEqual(idle)
    expect(b.failures).toHaveLength(1)
  })

  it('a store that fails costs the receipt, not the server', async () => {
    const b = new Bench()
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
    const b = new Bench({ epoch: epoch - 1 })
    const ticket = await b.routed(1)
    await b.prove(ticket)
    b.done(ticket)
    await b.sessions.settleAll()
    expect(b.all('receipt')).toEqual([])
    expect(await store.receipt(ticket.session)).toBeUndefined()
    expect(b.lines.at(-1)).toContain('another server')
  })

  it('one that goes away settles what has ended, also what it was at', async () => {
    const b = new Bench()
    const tickets = [await b.routed(1), await b.routed(2), await b.routed(3)]
    await b.prove(tickets[0] as Ticket)
    for (const ticket of tickets.slice(0, 2)) b.done(ticket)
    await b.sessions.settleAll()
    expect(b.all('receipt')).toHaveLength(2)
    expect(b.sessions.live).toBe(1)
  })
})

describe('where there is no place', () => {
  const fill = async (b: Bench, count: number, change: (i: number) => Partial<Asked> = () => ({})) => {
    for (let id = 1; id <= count; id++) await b.routed(id, { maxPositions: 10, ...change(id) })
  }
  const own = sessionsPerStage - keptPlaces
  const other = 'f'.repeat(64) as PeerId

  it('one requester gets all but the last, and waits for the next', async () => {
    const b = new Bench()
    await fill(b, own)
    b.open(99, { maxPositions: 10 })
    expect(b.all('queued', requester.id)).toEqual([{ t: 'queued', id: 99, ahead: 0 }])
    await b.routed(100, { peer: other, maxPositions: 10 })
    for (const { ticket } of b.all('route').slice(0, keptPlaces)) b.done(ticket)
    await b.told('route', (r) => r.id === 99)
  })

  it('a network of many keys counts as one requester', async () => {
    const b = new Bench()
    const key = (id: number) => id.toString(16).padStart(64, '0') as PeerId
    await fill(b, own, (id) => ({ peer: key(id), network: '192.0.2.0/24' }))
    b.open(98, { peer: key(98), network: '192.0.2.0/24', maxPositions: 10 })
    expect(b.all('queued')).toHaveLength(1)
    await b.routed(99, { peer: key(99), network: '198.51.100.0/24', maxPositions: 10 })
  })

  it('a place that comes free goes to who has none, before those who came first', async () => {
    const b = new Bench()
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
    const b = new Bench()
    await fill(b, own)
    for (let i = 0; i <= perRequester; i++) b.open(50 + i, { maxPositions: 10 })
    expect(b.all('error')).toMatchObject([{ id: 50 + perRequester, error: { code: 'busy', retryAfterMs: expect.any(Number) as number } }])
  })

  it('a small request passes by a large one that finds no room', async () => {
    const b = new Bench()
    await b.routed(1, { maxPositions: 1000 })
    b.open(2, { maxPositions: 2000 })
    await b.routed(3, { maxPositions: 1000 })
    expect(b.all('queued').map((q) => q.id)).toEqual([2])
    for (const { ticket } of b.all('route')) b.done(ticket)
    await b.told('route', (r) => r.id === 2)
  })

  it('who waits too long hears it; who is gone or gives up is waited for no more', async () => {
    const b = new Bench()
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
    const b = new Bench()
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
    const b = new Bench()
    await fill(b, own)
    b.open(50, { maxPositions: 10 })
    b.offered = false
    b.sessions.tick()
    expect(b.all('error')).toMatchObject([{ id: 50, error: { code: 'unknown-model' } }])
  })
})

describe('a request that will never have a route is refused at once', () => {
  it.each<[string, Partial<Asked>, (b: Bench) => void]>([
    ['unknown-model', {}, (b) => (b.offered = false)],
    ['context-overflow', { maxPositions: context + 1 }, () => undefined],
    ['no-volunteers', {}, (b) => (b.volunteers[0].paused = true)],
  ])('%s', (code, asked, arrange) => {
    const b = new Bench()
    arrange(b)
    b.open(7, asked)
    expect(b.all('error')).toMatchObject([{ id: 7, error: { code } }])
    expect(b.sessions.queued).toBe(0)
  })

  it('context-overflow, when the volunteers have too little memory', () => {
    const b = new Bench()
    for (const v of b.volunteers) if (v.holding?.ready) v.holding.ready = { ...v.holding.ready, cachePositions: 50 }
    b.open(7)
    expect(b.all('error')).toMatchObject([{ error: { code: 'context-overflow', message: expect.stringContaining('50') as string } }])
  })
})

const commands = fc.array(
  fc.record({
    t: fc.constantFrom('open', 'open', 'open', 'close', 'done', 'fault', 'lost', 'gone', 'tick', 'proofs'),
    who: fc.nat(3),
    which: fc.nat(200),
    size: fc.constantFrom(1, 10, 500, context),
  }),
  { minLength: 10, maxLength: 60 },
)

it('whatever happens in whatever order, capacity is given back exactly once, and every request hears how it went', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (happenings) => {
      const b = new Bench()
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
        else if (t === 'lost') b.sessions.stageLost((b.volunteers[who % 2] as Volunteer).peer, 'It left.')
        else if (ticket && t === 'done') b.done(ticket)
        else if (ticket && t === 'fault')
          b.sessions.fault(b.volunteers[who % 2]?.peer as PeerId, ticket.session, { code: 'gap', message: 'x' })
        else if (ticket) b.sessions.proofs(b.volunteers[who % 2]?.peer as PeerId, new Uint8Array(proofBytes).fill(which))
        for (const v of b.volunteers) {
          expect(v.sessions).toBeGreaterThanOrEqual(0)
          expect(v.sessions).toBeLessThanOrEqual(sessionsPerStage)
          expect(v.positions).toBeGreaterThanOrEqual(0)
          expect(v.positions).toBeLessThanOrEqual(context)
        }
        expect(b.volunteers[0].sessions).toBe(b.sessions.live)
      }
      b.pass(queueMs + 1)
      b.pass(ticketMs + 1)
      b.pass(proofWaitMs + 1)
      await b.sessions.settleAll()
      expect([b.load, b.sessions.live, b.sessions.queued]).toEqual([idle, 0, 0])
      expect(b.failures).toEqual([])
      for (const [id, { t }] of happenings.entries()) {
        if (t !== 'open' || left.has(id)) continue
        expect([...b.all('route'), ...b.all('error')].filter((m) => m.id === id).length).toBeGreaterThan(0)
      }
    }),
    { numRuns: 60 },
  )
})
