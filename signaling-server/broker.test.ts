import '../sdk/node-globals.ts'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { DataConnection, Peer } from 'peerjs'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { PeerId } from '../protocol/ids.ts'
import { maxSignalBytes } from '../protocol/limits.ts'
import { Broker, brokerLimits, type BrokerLimits } from './broker.ts'
import { brokerTokenMs } from './broker-token.ts'
import { closeCodes } from './socket-close.ts'

const cleanUp: (() => void)[] = []
afterEach(() => cleanUp.splice(0).forEach((undo) => undo()))

const ada = 'a'.repeat(64) as PeerId
const bob = 'b'.repeat(64) as PeerId
const cyd = 'c'.repeat(64) as PeerId
const dan = 'd'.repeat(64) as PeerId

async function serve(limits: Partial<BrokerLimits> = {}) {
  const clock = { ms: 1_700_000_000_000 }
  const broker = new Broker({ secret: randomBytes(32), now: () => clock.ms, limits })
  // The client's address is what the test says in the query: loopback has no network prefix.
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 4 * maxSignalBytes })
  sockets.on('connection', (socket, request) => {
    const url = request.url ?? ''
    broker.accept(socket, { url, ip: new URLSearchParams(url).get('ip') ?? '127.0.0.1' })
  })
  await once(sockets, 'listening')
  cleanUp.push(() => {
    broker.close()
    sockets.close()
  })
  const { port } = sockets.address() as AddressInfo
  return { broker, clock, port, url: `ws://127.0.0.1:${port}/peerjs` }
}
type Served = Awaited<ReturnType<typeof serve>>

/** A raw client: messages one by one, and how it ended. */
class Raw {
  readonly socket: WebSocket
  readonly ended: Promise<{ code: number; reason: string; told: unknown[] }>
  readonly #messages: unknown[] = []
  #waiting: ((message: unknown) => void) | undefined

  constructor(url: string, autoPong = true) {
    this.socket = new WebSocket(url, { autoPong })
    this.socket.on('error', () => undefined)
    this.socket.on('message', (data) => {
      const message: unknown = JSON.parse((data as Buffer).toString())
      if (this.#waiting) this.#waiting(message)
      else this.#messages.push(message)
      this.#waiting = undefined
    })
    this.ended = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString(), told: this.#messages }))
    })
    cleanUp.push(() => this.socket.terminate())
  }

  next(): Promise<unknown> {
    const message = this.#messages.shift()
    return message === undefined ? new Promise((resolve) => (this.#waiting = resolve)) : Promise.resolve(message)
  }

  say(message: unknown): void {
    this.socket.send(JSON.stringify(message))
  }
}

function dial(served: Served, id: PeerId, options: { token?: string; ip?: string; key?: string; autoPong?: boolean } = {}): Raw {
  const { token = served.broker.tokenFor(id), ip = '127.0.0.1', key = 'manyhands', autoPong = true } = options
  return new Raw(`${served.url}?key=${key}&id=${id}&token=${token}&version=1.5.5&ip=${ip}`, autoPong)
}

async function join(served: Served, id: PeerId, options: Parameters<typeof dial>[2] = {}): Promise<Raw> {
  const raw = dial(served, id, options)
  expect(await raw.next()).toEqual({ type: 'OPEN' })
  return raw
}

describe('the door', () => {
  it('opens for the token of one’s own id, for an hour', async () => {
    const served = await serve()
    const token = served.broker.tokenFor(ada)
    expect(token.length).toBeLessThanOrEqual(60)
    await join(served, ada, { token })
    served.clock.ms += brokerTokenMs - 1
    await join(served, ada, { token })
    served.clock.ms += 1
    const late = await dial(served, ada, { token }).ended
    expect(late).toMatchObject({ code: closeCodes.unauthorized, reason: expect.stringContaining('expired') })
  })

  it('[CS6] stays shut for another’s id, and the owner does not notice', async () => {
    const served = await serve()
    const owner = await join(served, ada)
    for (const token of [served.broker.tokenFor(bob), 'zzz', '', `${served.broker.tokenFor(ada)}x`]) {
      const { code, told } = await dial(served, ada, { token }).ended
      expect(code).toBe(closeCodes.unauthorized)
      expect(told).toEqual([{ type: 'ERROR', payload: { msg: expect.stringContaining('token') } }])
    }
    const other = await join(served, bob)
    other.say({ type: 'OFFER', dst: ada, payload: {} })
    expect(await owner.next()).toMatchObject({ type: 'OFFER', src: bob })
    expect(served.broker.stats()).toMatchObject({ sockets: 2, refused: 4, accepted: 2 })
  })

  it('says so when the key or the id is none', async () => {
    const served = await serve()
    expect(await dial(served, ada, { key: 'peerjs' }).ended).toMatchObject({
      code: closeCodes.unauthorized,
      told: [{ type: 'INVALID-KEY' }],
    })
    expect(await dial(served, 'me' as PeerId).ended).toMatchObject({ code: closeCodes.unauthorized })
    expect(await new Raw(`${served.url}?key=manyhands&id=${ada}&token=${'x'.repeat(2000)}`).ended).toMatchObject({
      code: closeCodes.unauthorized,
    })
  })

  it('lets the owner back in, in place of the old socket', async () => {
    const served = await serve()
    const old = await join(served, ada)
    const fresh = await join(served, ada)
    expect(await old.ended).toMatchObject({ code: closeCodes.replaced })
    const other = await join(served, bob)
    other.say({ type: 'OFFER', dst: ada, payload: { n: 1 } })
    expect(await fresh.next()).toMatchObject({ payload: { n: 1 } })
    expect(served.broker.stats().sockets).toBe(2)
  })

  it('holds a bounded number of sockets, in all and by network', async () => {
    const served = await serve({ maxSockets: 3, maxSocketsPerPrefix: 1 })
    const first = await join(served, ada, { ip: '203.0.113.1' })
    expect(await dial(served, bob, { ip: '203.0.113.2' }).ended).toMatchObject({
      code: closeCodes.tooMuch,
      reason: expect.stringContaining('network'),
    })
    await join(served, bob, { ip: '198.51.100.1' })
    await join(served, cyd)
    expect(await dial(served, dan).ended).toMatchObject({ code: closeCodes.full })
    first.socket.close()
    await first.ended
    await join(served, dan, { ip: '203.0.113.2' })
  })
})

describe('relaying', () => {
  it('says itself who sent a message, and passes the payload on as it is', async () => {
    const served = await serve()
    const [a, b] = [await join(served, ada), await join(served, bob)]
    for (const type of ['OFFER', 'ANSWER', 'CANDIDATE', 'EXPIRE']) {
      const payload = { sdp: { type: 'offer', sdp: 'v=0\r\n' }, connectionId: 'dc_1', metadata: { nonce: 'é' } }
      a.say({ type, dst: bob, src: cyd, payload })
      expect(await b.next()).toEqual({ type, src: ada, payload, dst: bob })
    }
    a.say({ type: 'HEARTBEAT' })
    a.say({ type: 'LEAVE', dst: bob })
    expect(await b.next()).toEqual({ type: 'LEAVE', src: ada, dst: bob })
    expect(served.broker.stats()).toMatchObject({ relayed: 5, cutOff: 0 })
  })

  it('answers an offer to nobody, and keeps nothing for later', async () => {
    const served = await serve()
    const a = await join(served, ada)
    a.say({ type: 'CANDIDATE', dst: bob, payload: {} })
    a.say({ type: 'OFFER', dst: bob, payload: {} })
    expect(await a.next()).toEqual({ type: 'EXPIRE', src: bob, dst: ada })
    const b = await join(served, bob)
    a.say({ type: 'OFFER', dst: bob, payload: { late: true } })
    expect(await b.next()).toMatchObject({ payload: { late: true } })
    expect(served.broker.stats().undeliverable).toBe(2)
  })

  it.each([
    ['not JSON', 'hello', 'JSON'],
    ['an unknown type', JSON.stringify({ type: 'GOSSIP', dst: bob }), 'refused'],
    ['a type of the server', JSON.stringify({ type: 'OPEN' }), 'refused'],
    ['no destination', JSON.stringify({ type: 'OFFER', payload: {} }), 'dst'],
    ['a payload that is no object', JSON.stringify({ type: 'OFFER', dst: bob, payload: 'x' }), 'payload'],
    ['a payload nested without end', `{"type":"OFFER","dst":"${bob}","payload":${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}}`, 'payload'],
    ['one byte too many', JSON.stringify({ type: 'OFFER', dst: bob, payload: { a: 'x'.repeat(maxSignalBytes) } }), 'limit'],
    ['bytes', new Uint8Array(4), 'binary'],
  ])('cuts off a sender of %s, with the reason, and nobody else', async (_, message, reason) => {
    const served = await serve()
    const [a, b, c] = [await join(served, ada), await join(served, bob), await join(served, cyd)]
    a.socket.send(message)
    const { code, reason: given, told } = await a.ended
    expect(code).toBe(closeCodes.badMessage)
    expect(given).toContain(reason)
    expect(told).toEqual([{ type: 'ERROR', payload: { msg: expect.stringContaining(reason) } }])
    c.say({ type: 'OFFER', dst: bob, payload: {} })
    expect(await b.next()).toMatchObject({ src: cyd })
  })
})

describe('abuse', () => {
  it('a flooding peer is cut off while another pair’s round trips go on', async () => {
    const served = await serve()
    const [a, b, c] = [await join(served, ada), await join(served, bob), await join(served, cyd)]
    for (let i = 0; i < brokerLimits.peer.burst; i++) c.say({ type: 'CANDIDATE', dst: dan, payload: { i } })
    for (let i = 0; i < 20; i++) {
      a.say({ type: 'OFFER', dst: bob, payload: { i } })
      expect(await b.next()).toMatchObject({ src: ada, payload: { i } })
      b.say({ type: 'ANSWER', dst: ada, payload: { i } })
      expect(await a.next()).toMatchObject({ src: bob, payload: { i } })
    }
    const { code, told } = await c.ended
    expect(code).toBe(closeCodes.tooMuch)
    expect(told).toEqual([{ type: 'ERROR', payload: { msg: expect.stringMatching(/too much.* in \d+ s/) } }])
    expect(await dial(served, cyd).ended).toMatchObject({ code: closeCodes.tooMuch })
    served.clock.ms += 10_000
    await join(served, cyd)
  })

  it('many keys of one network share its budget; another network has its own', async () => {
    const served = await serve({ prefix: { perSecond: 1, burst: 35, maxKeys: 10 } })
    await join(served, ada, { ip: '203.0.113.1' })
    await join(served, bob, { ip: '203.0.113.2' })
    const last = await join(served, cyd, { ip: '::ffff:203.0.113.3' })
    for (let i = 0; i < 6; i++) last.say({ type: 'HEARTBEAT' })
    expect(await last.ended).toMatchObject({ code: closeCodes.tooMuch, reason: expect.stringContaining('network') })
    await join(served, dan, { ip: '203.0.114.1' })
  })

  it('a peer that does not answer pings is dropped, one that does stays', async () => {
    const served = await serve({ pingMs: 20 })
    const alive = await join(served, ada)
    const silent = await join(served, bob, { autoPong: false })
    expect(await silent.ended).toMatchObject({ code: 1006 })
    alive.say({ type: 'OFFER', dst: bob, payload: {} })
    expect(await alive.next()).toMatchObject({ type: 'EXPIRE', src: bob })
  })

  it('a peer that does not read is dropped before its queue grows', async () => {
    const limits = { maxQueuedBytes: 64 * 1024, peer: { perSecond: 1e9, burst: 1e9, maxKeys: 10 } }
    const served = await serve(limits)
    const [a, b] = [await join(served, ada), await join(served, bob)]
    b.socket.pause()
    let answer: unknown
    void a.next().then((message) => (answer = message))
    // An offer to a peer that was let go is answered with EXPIRE.
    while (answer === undefined) {
      for (let i = 0; i < 50; i++) a.say({ type: 'OFFER', dst: bob, payload: { fill: 'x'.repeat(16_000) } })
      await new Promise((resolve) => a.socket.send(JSON.stringify({ type: 'HEARTBEAT' }), resolve))
    }
    expect(answer).toMatchObject({ type: 'EXPIRE', src: bob })
    expect(served.broker.stats()).toMatchObject({ sockets: 1, cutOff: 1 })
  })

  it('when the broker closes, everybody is told to come back', async () => {
    const served = await serve()
    const a = await join(served, ada)
    served.broker.close()
    expect(await a.ended).toMatchObject({ code: 1012 })
    expect(await dial(served, bob).ended).toMatchObject({ code: closeCodes.full })
  })
})

describe('with the stock PeerJS client', () => {
  const peerOf = async (served: Served, id: PeerId, token: string): Promise<Peer> => {
    const { Peer } = await import('peerjs')
    const config = { iceServers: [] }
    const peer = new Peer(id, { host: '127.0.0.1', port: served.port, path: '/', key: 'manyhands', token, secure: false, debug: 0, config })
    cleanUp.push(() => peer.destroy())
    return peer
  }
  const opened = (peer: Peer) => new Promise((resolve, reject) => peer.on('open', resolve).on('error', reject))
  const failed = (peer: Peer) => new Promise<{ type: string; message: string }>((resolve) => peer.on('error', resolve))

  it('two peers connect and exchange messages', async () => {
    const served = await serve()
    const [a, b] = [await peerOf(served, ada, served.broker.tokenFor(ada)), await peerOf(served, bob, served.broker.tokenFor(bob))]
    await Promise.all([opened(a), opened(b)])
    const heard = new Promise((resolve) => {
      b.on('connection', (connection: DataConnection) => connection.on('data', (data) => resolve([connection.peer, data])))
    })
    const connection = a.connect(bob, { serialization: 'json', reliable: true })
    connection.on('open', () => connection.send({ hello: 'bob' }))
    expect(await heard).toEqual([ada, { hello: 'bob' }])
  })

  it('an absent peer is reported as unavailable, and the asker stays on', async () => {
    const served = await serve()
    const a = await peerOf(served, ada, served.broker.tokenFor(ada))
    await opened(a)
    const failure = failed(a)
    a.connect(bob)
    expect(await failure).toMatchObject({ type: 'peer-unavailable' })
    expect(a.open).toBe(true)
  })

  it('another’s token is a typed error with the reason', async () => {
    const served = await serve()
    const failure = await failed(await peerOf(served, ada, served.broker.tokenFor(bob)))
    expect(failure).toMatchObject({ type: 'server-error', message: expect.stringContaining('token') })
  })
})
