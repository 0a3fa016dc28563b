/** Control sockets over real connections, in a wall time that stands still: nobody's bucket fills up. What a stranger may not say is in e2e/bad-messages.spec.ts. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { utf8 } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { canonicalJson } from '../protocol/hash.ts'
import type { PeerId } from '../protocol/ids.ts'
import { createIdentity, signHex, type Identity } from '../protocol/keys.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { cats } from '../testing/projects.ts'
import { ControlSockets, type Caller, type ControlLimits, type ControlPorts, type Said } from './control-sockets.ts'
import { closeCodes } from './socket-close.ts'

type Kind = ServerMessage['t']
type Told<T extends Kind> = Extract<ServerMessage, { t: T }>

const now = 1_700_000_000_000
const home = '127.0.0.1'
/** A bound for what hangs: the machine may be busy. */
const patient = { timeout: 60_000 }
const cleanUp: (() => void)[] = []
afterEach(() => cleanUp.splice(0).forEach((undo) => undo()))

const server = await createIdentity()

async function serve(limits: Partial<ControlLimits> = {}, change: Partial<ControlPorts> = {}) {
  const seen = {
    joined: [] as PeerId[],
    left: [] as PeerId[],
    said: [] as { caller: Caller; message: Said }[],
    proofs: [] as Uint8Array[],
    failed: [] as unknown[],
  }
  const sockets: ControlSockets = new ControlSockets(
    {
      serverKey: server.publicKey,
      now: () => now,
      enter: () => {
        throw new ManyhandsError('forbidden', 'No.')
      },
      welcome: (peer) => ({
        t: 'welcome',
        peer,
        brokerToken: 'token',
        iceServers: [],
        boot: '00'.repeat(8),
        epoch: 1,
        serverKeys: [server.publicKey],
        servers: [],
      }),
      joined: (peer) => seen.joined.push(peer),
      message: (caller, message) => {
        seen.said.push({ caller, message })
        if (message.t === 'models') sockets.send(caller.peer, { t: 'models', id: message.id, models: [] })
      },
      proofs: (_, bytes) => seen.proofs.push(bytes),
      left: (peer) => seen.left.push(peer),
      serves: () => false,
      failed: (thrown) => seen.failed.push(thrown),
      ...change,
    },
    limits,
  )
  // The client's address is what the test says: loopback has no network prefix.
  const listening = new WebSocketServer({ port: 0, host: home })
  listening.on('connection', (socket, request) => {
    sockets.accept(socket, { ip: new URL(request.url ?? '', 'ws://x').searchParams.get('ip') ?? home, origin: request.headers.origin })
  })
  await once(listening, 'listening')
  cleanUp.push(() => {
    void sockets.close(0)
    listening.close()
  })
  const { port } = listening.address() as AddressInfo
  const dial = (ip = home, options: { identity?: Identity; autoPong?: boolean; origin?: string } = {}) =>
    Client.dial(`ws://${home}:${port}/?ip=${ip}`, options)
  const join = async (ip = home, options: Parameters<typeof dial>[1] = {}) => {
    const client = await dial(ip, options)
    await client.hello()
    await client.told('welcome')
    return client
  }
  return { sockets, seen, dial, join }
}

class Client {
  readonly socket: WebSocket
  readonly identity: Identity
  ended: { code: number; reason: string } | undefined
  readonly #heard: ServerMessage[] = []
  #wake: () => void = () => undefined

  static async dial(url: string, options: { identity?: Identity; autoPong?: boolean; origin?: string }) {
    const { identity = await createIdentity(), autoPong = true, origin } = options
    // Nothing is awaited between the connection and its listeners.
    return new Client(new WebSocket(url, { autoPong, ...(origin === undefined ? {} : { origin }) }), identity)
  }

  private constructor(socket: WebSocket, identity: Identity) {
    this.socket = socket
    this.identity = identity
    socket.on('error', () => undefined)
    socket.on('message', (data) => {
      this.#heard.push(JSON.parse((data as Buffer).toString()) as ServerMessage)
      this.#wake()
    })
    socket.on('close', (code, reason) => {
      this.ended = { code, reason: reason.toString() }
      this.#wake()
    })
    cleanUp.push(() => socket.terminate())
  }

  get id(): PeerId {
    return this.identity.id
  }

  async hello(projectKey?: string): Promise<void> {
    const { nonce, serverKey } = await this.told('challenge')
    const claim = { nonce, origin: 'node', expiresAt: now + 5_000, server: serverKey }
    const signature = await signHex(this.identity.privateKey, 'hello', utf8(canonicalJson(claim)))
    this.said = {
      t: 'hello',
      v: 1,
      key: this.identity.publicKey,
      nonce,
      origin: 'node',
      expiresAt: claim.expiresAt,
      agent: 'test',
      signature,
      ...(projectKey === undefined ? {} : { project: { key: projectKey } }),
    }
    this.say(this.said)
  }

  /** The hello that it said. */
  said: object = {}

  say(...messages: readonly (object | string | Uint8Array)[]): void {
    for (const m of messages) this.socket.send(typeof m === 'string' || m instanceof Uint8Array ? m : JSON.stringify(m))
  }

  /** The next message of a kind; those before it are dropped. */
  told<T extends Kind>(kind: T): Promise<Told<T>> {
    return this.#until(() => {
      for (let m = this.#heard.shift(); m; m = this.#heard.shift()) if (m.t === kind) return m as Told<T>
      if (this.ended) throw new Error(`hung up before '${kind}': ${this.ended.code} ${this.ended.reason}`)
      return undefined
    })
  }

  hungUp(): Promise<{ code: number; reason: string }> {
    return this.#until(() => this.ended)
  }

  /** Everything of a kind that came, up to the end. */
  async heardAtTheEnd<T extends Kind>(kind: T): Promise<Told<T>[]> {
    await this.hungUp()
    return this.#heard.filter((m) => m.t === kind) as Told<T>[]
  }

  async #until<T>(look: () => T | undefined): Promise<T> {
    let found = look()
    while (found === undefined) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
      found = look()
    }
    return found
  }
}

const network = (i: number) => `192.0.${i}.1`

describe('a hello with a project’s key', () => {
  const key = `mh_${'k'.repeat(43)}`
  it('[PJ2] is for the project whose key it is, from where the page is', async () => {
    const asked: unknown[] = []
    const enter: ControlPorts['enter'] = (...from) => {
      asked.push(from)
      return { id: cats, hash: 'h' }
    }
    const { dial, seen } = await serve({}, { enter })
    const client = await dial(home)
    await client.hello(key)
    await client.told('welcome')
    client.say({ t: 'models', id: 1 })
    await client.told('models')
    expect(asked).toEqual([[key, undefined]])
    expect(seen.said[0]?.caller.project).toEqual({ id: cats, hash: 'h' })
  })

  it('[PJ2] that is refused ends the connection with the reason, and nobody has joined', async () => {
    const { dial, seen } = await serve()
    const client = await dial(home)
    await client.hello(key)
    expect((await client.told('error')).error).toMatchObject({ code: 'forbidden', message: 'No.' })
    await expect.poll(() => client.ended?.code, patient).toBe(closeCodes.unauthorized)
    expect(seen.joined).toEqual([])
  })
})

describe('[CS2] after a good hello', () => {
  it('a peer is welcome under its id, and what it says goes on with its key and network', async () => {
    const { sockets, seen, join } = await serve()
    const client = await join(network(2))
    client.say({ t: 'models', id: 7 })
    expect(await client.told('models')).toEqual({ t: 'models', id: 7, models: [] })
    expect(seen.joined).toEqual([client.id])
    expect(seen.said[0]?.caller).toEqual({ peer: client.id, key: client.identity.publicKey, network: '192.0.2.0/24' })
    expect(sockets.stats()).toMatchObject({ peers: 1, strangers: 0 })
  })

  it('[CS4] bytes are proofs', async () => {
    const { seen, join } = await serve()
    const client = await join()
    client.say(new Uint8Array([1, 2, 3]), { t: 'models', id: 1 })
    await client.told('models')
    expect(seen.proofs.map((bytes) => [...bytes])).toEqual([[1, 2, 3]])
  })

  it('the same hello again is a replay, and the peer stays', async () => {
    const { join } = await serve()
    const client = await join()
    client.say(client.said, { t: 'models', id: 1 })
    expect((await client.told('error')).error.code).toBe('replayed')
    await client.told('models')
  })

  it('a second one while the first is being checked closes the socket', async () => {
    const { seen, dial } = await serve()
    const client = await dial()
    await client.hello()
    client.say(client.said)
    expect((await client.hungUp()).code).toBe(closeCodes.badMessage)
    expect(seen.joined).toEqual([])
  })

  it('of a page on another origin than it says closes the socket', async () => {
    const { dial } = await serve()
    const client = await dial(home, { origin: 'https://other.example' })
    await client.hello()
    expect((await client.hungUp()).code).toBe(closeCodes.unauthorized)
  })

  it('whoever leaves is told of once, and is sent nothing more', async () => {
    const { sockets, seen, join } = await serve()
    const [client, other] = [await join(), await join()]
    client.socket.close()
    await client.hungUp()
    await expect.poll(() => seen.left, patient).toEqual([client.id])
    expect(sockets.send(client.id, { t: 'idle', reason: 'Nothing to do.' })).toBe(false)
    expect(sockets.send(other.id, { t: 'idle', reason: 'Nothing to do.' })).toBe(true)
  })
})

it('[CS6] the same key from another connection: the newer stays, and the peer has not left', async () => {
  const { sockets, seen, join } = await serve()
  const old = await join()
  const newer = await join(home, { identity: old.identity })
  expect(await old.hungUp()).toEqual({ code: closeCodes.replaced, reason: expect.stringContaining('another connection') as string })
  sockets.send(old.id, { t: 'idle', reason: 'Hello again.' })
  expect((await newer.told('idle')).reason).toBe('Hello again.')
  expect(seen).toMatchObject({ joined: [old.id, old.id], left: [] })
  newer.socket.close()
  await expect.poll(() => seen.left, patient).toEqual([old.id])
})

describe('a flood', () => {
  const limits = { peer: { perSecond: 1, burst: 30, maxKeys: 100 }, patience: { perSecond: 1, burst: 3, maxKeys: 100 } }
  const flood = Array.from({ length: 40 }, (_, id) => ({ t: 'models', id }))

  it('is refused with when to come again, then cut off with the reason; another peer does not notice', async () => {
    const { seen, join } = await serve(limits)
    const [abuser, other] = [await join(), await join()]
    abuser.say(...flood)
    const errors = await abuser.heardAtTheEnd('error')
    expect(errors.slice(0, 3).map((m) => [m.id, m.error.code])).toEqual([10, 11, 12].map((id) => [id, 'rate-limited']))
    expect(errors.every((m) => (m.error.retryAfterMs ?? 0) > 0)).toBe(true)
    expect(await abuser.hungUp()).toEqual({ code: closeCodes.tooMuch, reason: expect.stringContaining('too much') as string })
    other.say({ t: 'models', id: 1 })
    await other.told('models')
    expect(seen.left).toEqual([abuser.id])
    expect(seen.said).toHaveLength(11)
  })

  it('goes on with the same key by a new connection no further', async () => {
    const { join, dial } = await serve(limits)
    const abuser = await join()
    abuser.say(...flood)
    await abuser.hungUp()
    const again = await dial(home, { identity: abuser.identity })
    await again.hello()
    expect((await again.hungUp()).code).toBe(closeCodes.tooMuch)
  })

  it('of many keys behind one network counts as one, and other networks do not notice', async () => {
    const { join, dial } = await serve({ prefix: { perSecond: 1, burst: 30, maxKeys: 100 }, patience: limits.patience })
    for (let i = 0; i < 3; i++) await join(network(1))
    const fourth = await dial(network(1))
    expect(await fourth.hungUp()).toEqual({ code: closeCodes.tooMuch, reason: expect.stringContaining('Your network') as string })
    const other = await join(network(2))
    other.say({ t: 'models', id: 1 })
    await other.told('models')
  })

  it('of what can’t be read ends sooner', async () => {
    const { seen, join } = await serve(limits)
    const client = await join()
    client.say(...Array.from({ length: 10 }, () => '{'))
    const codes = (await client.heardAtTheEnd('error')).map((m) => m.error.code)
    expect(codes.slice(0, 2)).toEqual(['bad-message', 'rate-limited'])
    expect(seen.said).toEqual([])
  })
})

describe('connections are bounded', () => {
  it('for each network: one more is refused with the reason, and taken when another has closed', async () => {
    const { dial, join, sockets } = await serve({ maxSocketsPerPrefix: 2 })
    const [first] = [await join(network(1)), await join(network(1))]
    const third = await dial(network(1))
    expect(await third.hungUp()).toEqual({ code: closeCodes.tooMuch, reason: expect.stringContaining('2 connections') as string })
    await join(network(2))
    first.socket.close()
    await expect.poll(() => sockets.stats().peers, patient).toBe(2)
    await join(network(1))
  })

  it('in all: the server says that it is full', async () => {
    const { dial, join } = await serve({ maxSockets: 2 })
    await join()
    await join()
    const third = await dial()
    expect((await third.told('error')).error).toMatchObject({ code: 'busy', retryAfterMs: expect.any(Number) as number })
    expect((await third.hungUp()).code).toBe(closeCodes.full)
  })

  it('of strangers: the one that has waited longest goes, peers stay', async () => {
    const { dial, join } = await serve({ maxStrangers: 2 })
    const peer = await join()
    const strangers = []
    for (let i = 0; i < 3; i++) {
      const stranger = await dial()
      await stranger.told('challenge')
      strangers.push(stranger)
    }
    expect((await (strangers[0] as Client).hungUp()).code).toBe(closeCodes.full)
    peer.say({ t: 'models', id: 1 })
    await peer.told('models')
    expect(strangers.slice(1).map((s) => s.ended)).toEqual([undefined, undefined])
  })
})

it('a peer that does not read is let go, and holds up nobody', async () => {
  const { sockets, seen, join } = await serve({ maxQueuedBytes: 100_000 })
  const [slow, other] = [await join(), await join()]
  slow.socket.pause()
  const idle = { t: 'idle' as const, reason: 'x'.repeat(300) }
  // What the kernel takes for it is some megabytes; the rest waits here.
  let sent = 0
  while (sockets.send(slow.id, idle)) if (++sent % 1_000 === 0) await new Promise(setImmediate)
  expect(seen.left).toEqual([slow.id])
  sockets.send(other.id, idle)
  await other.told('idle')
})

it('a peer that sessions depend on is gone when it answers no ping, one that idles not yet', async () => {
  const serving = await createIdentity()
  const { seen, join } = await serve({ pingMs: 10, servingSilenceMs: 100 }, { serves: (peer) => peer === serving.id })
  const silent = await join(home, { identity: serving, autoPong: false })
  const idling = await join(home, { autoPong: false })
  await silent.hungUp()
  expect(seen.left).toEqual([silent.id])
  idling.say({ t: 'models', id: 1 })
  await idling.told('models')
})

describe('a bug of ours', () => {
  const bug = new TypeError('a secret of the inside')

  it('at a message is told in general, logged, and the peer stays', async () => {
    let broken = true
    const { seen, join, sockets } = await serve(
      {},
      {
        message: ({ peer }) => {
          if (broken) throw bug
          sockets.send(peer, { t: 'idle', reason: 'Mended.' })
        },
      },
    )
    const client = await join()
    client.say({ t: 'models', id: 1 })
    const { error } = await client.told('error')
    expect(error.code).toBe('internal')
    expect(error.message).not.toContain('secret')
    expect(seen.failed).toEqual([bug])
    broken = false
    client.say({ t: 'models', id: 2 })
    await client.told('idle')
  })

  it('at the welcome costs that peer its connection, nothing else', async () => {
    const { seen, dial } = await serve(
      {},
      {
        welcome: () => {
          throw bug
        },
      },
    )
    const client = await dial()
    await client.hello()
    const { error } = await client.told('error')
    expect(error.code).toBe('internal')
    await client.hungUp()
    expect(seen.failed).toEqual([bug])
    await (await dial()).told('challenge')
  })
})

it('at its end the server tells everybody, and takes nobody any more', async () => {
  const { sockets, dial, join } = await serve()
  const [peer, stranger] = [await join(), await dial()]
  await stranger.told('challenge')
  await sockets.close(0)
  expect((await peer.hungUp()).code).toBe(closeCodes.restart)
  expect((await stranger.hungUp()).code).toBe(closeCodes.restart)
  expect((await (await dial()).hungUp()).code).toBe(closeCodes.full)
})
