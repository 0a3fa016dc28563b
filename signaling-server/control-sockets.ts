/**
 * The control sockets (`/v1/socket`) of all peers: challenge and hello, one parser for what comes in, limits by key and by
 * network, pings, and one way for messages out. What the messages mean is the coordinator's.
 */
import { randomBytes } from 'node:crypto'
import type { RawData, WebSocket } from 'ws'
import { toHex } from '../protocol/bytes.ts'
import { clientMessageSchema, type ClientMessage } from '../protocol/client-messages.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId } from '../protocol/ids.ts'
import { helloMs, maxSocketBytes } from '../protocol/limits.ts'
import { parseMessage, type ServerMessage } from '../protocol/server-messages.ts'
import { checkHello, type Challenge, type Hello } from './hello.ts'
import type { KeyedProject } from './projects/projects.ts'
import { networkPrefix } from './network-prefix.ts'
import { RateLimiter, type RateLimit } from './rate-limit.ts'
import { closeCodes, closeSocket } from './socket-close.ts'

export interface ControlLimits {
  /** Messages of one peer, in tokens: see `messageCost`. */
  readonly peer: RateLimit
  /** The same, of all peers behind one network prefix. */
  readonly prefix: RateLimit
  /** Messages over the rate that are answered with `rate-limited` before the peer is cut off; they come back one a second. */
  readonly patience: RateLimit
  readonly maxSockets: number
  readonly maxSocketsPerPrefix: number
  /** Sockets whose hello is due; past it the one that has waited longest goes. */
  readonly maxStrangers: number
  /** Bytes queued for a peer that does not read; past it the peer is let go. */
  readonly maxQueuedBytes: number
  readonly pingMs: number
  /** Silence after which a peer that serves is gone: its sessions go on with others. */
  readonly servingSilenceMs: number
  /** The same for anyone else: loading a stage may hold up a peer in Node for seconds. */
  readonly idleSilenceMs: number
}

export const controlLimits: ControlLimits = {
  // A gateway that opens and closes forty requests a second, or a volunteer with the proofs of as many chunks.
  peer: { perSecond: 100, burst: 600, maxKeys: 50_000 },
  // A school or an office behind one address.
  prefix: { perSecond: 1000, burst: 6000, maxKeys: 20_000 },
  patience: { perSecond: 1, burst: 50, maxKeys: 50_000 },
  // 7.5 KB a socket: 150 MB when full.
  maxSockets: 20_000,
  maxSocketsPerPrefix: 500,
  maxStrangers: 1000,
  // A list of a thousand models, four times.
  maxQueuedBytes: 4 * 1024 * 1024,
  pingMs: 1_000,
  // A frozen stage holds up answers: four pings unanswered, and others go on in its place.
  servingSilenceMs: 4_000,
  idleSilenceMs: 30_000,
}

/** Pings that go unanswered before a peer is gone. */
const pingsPerSilence = 4
/** Costs an Ed25519 check and a handshake. */
const helloCost = 10
/** What can't be read is seldom an accident. */
const malformedCost = 20

/** What a peer says after its hello. */
export type Said = Exclude<ClientMessage, Hello>

/** Who says it. */
export interface Caller {
  readonly peer: PeerId
  readonly key: string
  /** The prefix of its address; undefined where everybody counts by key alone. */
  readonly network: string | undefined
  /** For which it asks, with which key. */
  readonly project?: KeyedProject
}

export interface ControlPorts {
  readonly serverKey: string
  /** Wall time in milliseconds. */
  now(): number
  /** Whose key that is, used from that origin. @throws ManyhandsError forbidden */
  enter(key: string, origin: string | undefined): KeyedProject
  /** What a peer that has said hello is told first. */
  welcome(peer: PeerId): Extract<ServerMessage, { t: 'welcome' }>
  /** It has said hello, for the first time or by another socket than before. */
  joined(peer: PeerId): void
  message(caller: Caller, message: Said): void
  /** Custody proofs, one or more end to end. @throws ManyhandsError bad-message */
  proofs(peer: PeerId, bytes: Uint8Array): void
  /** The peer's only socket is gone. */
  left(peer: PeerId): void
  /** Whether sessions depend on this peer. */
  serves(peer: PeerId): boolean
  /** A bug of ours: the peer is told `internal`, and this is for the log. */
  failed(thrown: unknown): void
}

interface Client {
  readonly socket: WebSocket
  readonly prefix: string | undefined
  readonly challenge: Challenge
  readonly helloTimer: NodeJS.Timeout
  peer?: PeerId
  key?: string
  project?: KeyedProject
  /** A hello is being checked. */
  greeting: boolean
  gone: boolean
  heardAt: number
}

export class ControlSockets {
  readonly #ports: ControlPorts
  readonly #limits: ControlLimits
  readonly #strangers = new Set<Client>()
  readonly #peers = new Map<PeerId, Client>()
  readonly #socketsByPrefix = new Map<string, number>()
  readonly #perPeer: RateLimiter
  readonly #perPrefix: RateLimiter
  readonly #patience: RateLimiter
  readonly #pings: NodeJS.Timeout
  readonly #counts = { accepted: 0, refused: 0, received: 0, sent: 0, malformed: 0, cutOff: 0 }
  #closed = false

  constructor(ports: ControlPorts, limits: Partial<ControlLimits> = {}) {
    this.#ports = ports
    this.#limits = { ...controlLimits, ...limits }
    this.#perPeer = new RateLimiter(this.#limits.peer)
    this.#perPrefix = new RateLimiter(this.#limits.prefix)
    this.#patience = new RateLimiter(this.#limits.patience)
    this.#pings = setInterval(() => this.#ping(), this.#limits.pingMs)
    this.#pings.unref()
  }

  stats() {
    return { peers: this.#peers.size, strangers: this.#strangers.size, ...this.#counts }
  }

  /** Takes over an open socket. `ip` is the client's address, `origin` its request's Origin header. */
  accept(socket: WebSocket, request: { readonly ip: string; readonly origin: string | undefined }): void {
    // Without a listener a broken frame would end the process; ws closes the socket itself.
    socket.on('error', () => undefined)
    const prefix = networkPrefix(request.ip)
    const refusal = this.#refusal(prefix)
    if (refusal) {
      this.#counts.refused++
      return say(socket, refusal.code, refusal.error)
    }
    const now = this.#ports.now()
    const challenge = { nonce: toHex(randomBytes(16)), issuedAt: now, serverKey: this.#ports.serverKey, origin: request.origin }
    const client: Client = {
      socket,
      prefix,
      challenge,
      helloTimer: setTimeout(
        () => this.#cutOff(client, closeCodes.notAlive, new ManyhandsError('timeout', 'No hello came in time.')),
        helloMs,
      ),
      greeting: false,
      gone: false,
      heardAt: performance.now(),
    }
    this.#strangers.add(client)
    if (prefix !== undefined) this.#socketsByPrefix.set(prefix, (this.#socketsByPrefix.get(prefix) ?? 0) + 1)
    this.#counts.accepted++
    if (this.#strangers.size > this.#limits.maxStrangers) this.#dropOldestStranger()
    socket.on('close', () => this.#forget(client))
    socket.on('pong', () => (client.heardAt = performance.now()))
    socket.on('message', (data, isBinary) => {
      client.heardAt = performance.now()
      if (!client.gone) this.#receive(client, data, isBinary)
    })
    write(socket, { t: 'challenge', v: 1, nonce: challenge.nonce, serverKey: challenge.serverKey, now })
  }

  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean {
    const client = this.#peers.get(peer)
    if (!client) return false
    if (client.socket.bufferedAmount > this.#limits.maxQueuedBytes) {
      this.#cutOff(client, closeCodes.notAlive, new ManyhandsError('closed', 'You are not reading what is sent to you.'))
      return false
    }
    this.#counts.sent++
    write(client.socket, message)
    return true
  }

  /** To everyone who has said hello. */
  sendAll(message: ServerMessage): void {
    for (const peer of this.#peers.keys()) this.send(peer, message)
  }

  /** Tells every client to come back after a pause, spread over `spreadMs` so that they don't come all at once. Resolves when all are told. */
  async close(spreadMs: number): Promise<void> {
    this.#closed = true
    clearInterval(this.#pings)
    const clients = [...this.#strangers, ...this.#peers.values()]
    await Promise.all(
      clients.map(async ({ socket }) => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * spreadMs))
        closeSocket(socket, closeCodes.restart, 'The server is restarting.')
      }),
    )
  }

  #refusal(prefix: string | undefined): { code: number; error: ManyhandsError } | undefined {
    if (this.#closed || this.#peers.size + this.#strangers.size >= this.#limits.maxSockets) {
      return {
        code: closeCodes.full,
        error: new ManyhandsError('busy', 'The server is full. Try again in a minute.', { retryAfterMs: 60_000 }),
      }
    }
    if (prefix === undefined) return undefined
    const held = this.#socketsByPrefix.get(prefix) ?? 0
    if (held >= this.#limits.maxSocketsPerPrefix) {
      return {
        code: closeCodes.tooMuch,
        error: new ManyhandsError('rate-limited', `${held} connections from your network are open. Close some.`, { retryAfterMs: 60_000 }),
      }
    }
    const taken = this.#perPrefix.take(prefix, helloCost, this.#ports.now())
    return taken.ok ? undefined : { code: closeCodes.tooMuch, error: tooMuch('Your network', taken.retryAfterMs) }
  }

  #receive(client: Client, data: RawData, isBinary: boolean): void {
    // The HTTP server's sockets keep ws's default binaryType, so `data` is one Buffer.
    const bytes = data as Buffer
    const { peer, key, project } = client
    if (peer === undefined || key === undefined) return this.#greet(client, bytes, isBinary)
    this.#counts.received++
    try {
      if (isBinary) {
        if (this.#mayGoOn(client, peer, proofCost(bytes.length))) this.#ports.proofs(peer, bytes)
        return
      }
      const message = parseMessage(clientMessageSchema, bytes.toString('utf8'), maxSocketBytes)
      if (message.t === 'hello') throw new ManyhandsError('replayed', 'A hello is said once on a socket.')
      if (this.#mayGoOn(client, peer, messageCost(message), 'id' in message ? message.id : undefined))
        this.#ports.message({ peer, key, network: client.prefix, ...(project ? { project } : {}) }, message)
    } catch (thrown) {
      this.#counts.malformed++
      const error = this.#told(thrown)
      if (this.#mayGoOn(client, peer, malformedCost)) this.send(peer, { t: 'error', error: error.toWire() })
    }
  }

  /** What a peer hears of it: its own mistake as it is, ours in general. */
  #told(thrown: unknown): ManyhandsError {
    if (thrown instanceof ManyhandsError) return thrown
    this.#ports.failed(thrown)
    return new ManyhandsError('internal', 'The server failed at this message. It has been logged.')
  }

  /** Takes from the peer's and its network's buckets; over them the message is refused, and in the end the peer. */
  #mayGoOn(client: Client, peer: PeerId, cost: number, id?: number): boolean {
    const now = this.#ports.now()
    const own = this.#perPeer.take(peer, cost, now)
    const taken = own.ok && client.prefix !== undefined ? this.#perPrefix.take(client.prefix, cost, now) : own
    if (taken.ok) return true
    const error = tooMuch(own.ok ? 'Your network' : 'This peer', taken.retryAfterMs)
    if (!this.#patience.take(peer, 1, now).ok) this.#cutOff(client, closeCodes.tooMuch, error)
    else this.send(peer, { t: 'error', ...(id === undefined ? {} : { id }), error: error.toWire() })
    return false
  }

  /** A stranger's first message: its hello, or the end. */
  #greet(client: Client, bytes: Buffer, isBinary: boolean): void {
    try {
      if (isBinary || client.greeting) throw new ManyhandsError('bad-message', 'Say hello first.')
      const message = parseMessage(clientMessageSchema, bytes.toString('utf8'), maxSocketBytes)
      if (message.t !== 'hello') throw new ManyhandsError('bad-message', 'Say hello first.')
      client.greeting = true
      checkHello(message, client.challenge, this.#ports.now())
        .then((peer) => this.#welcome(client, peer, message))
        .catch((thrown: unknown) => this.#cutOff(client, closeCodes.unauthorized, this.#told(thrown)))
    } catch (thrown) {
      this.#cutOff(client, closeCodes.badMessage, this.#told(thrown))
    }
  }

  #welcome(client: Client, peer: PeerId, hello: Hello): void {
    if (client.gone) return
    clearTimeout(client.helloTimer)
    // After the signature: nobody can empty another's bucket.
    const taken = this.#perPeer.take(peer, helloCost, this.#ports.now())
    if (!taken.ok) return this.#cutOff(client, closeCodes.tooMuch, tooMuch('This peer', taken.retryAfterMs))
    if (hello.project) client.project = this.#ports.enter(hello.project.key, client.challenge.origin)
    const old = this.#peers.get(peer)
    this.#strangers.delete(client)
    client.peer = peer
    client.key = hello.key
    this.#peers.set(peer, client)
    // After it has been replaced in the table: the peer has not left.
    if (old) this.#cutOff(old, closeCodes.replaced, new ManyhandsError('closed', 'This key has said hello again, from another connection.'))
    this.send(peer, this.#ports.welcome(peer))
    this.#ports.joined(peer)
  }

  #dropOldestStranger(): void {
    for (const client of this.#strangers) {
      return this.#cutOff(
        client,
        closeCodes.full,
        new ManyhandsError('busy', 'Too many connections wait for a hello. Try again.', { retryAfterMs: 1_000 }),
      )
    }
  }

  #ping(): void {
    const now = performance.now()
    const { servingSilenceMs, idleSilenceMs } = this.#limits
    for (const [peer, client] of this.#peers) {
      const silence = now - client.heardAt
      const most = this.#ports.serves(peer) ? servingSilenceMs : idleSilenceMs
      if (silence > most) {
        this.#counts.cutOff++
        this.#forget(client)
        client.socket.terminate()
      } else if (silence > most / pingsPerSilence) client.socket.ping()
    }
  }

  #cutOff(client: Client, code: number, error: ManyhandsError): void {
    if (client.gone) return
    this.#counts.cutOff++
    this.#forget(client)
    say(client.socket, code, error)
  }

  /** The one place where a client leaves the tables; called twice it does nothing. */
  #forget(client: Client): void {
    if (client.gone) return
    client.gone = true
    clearTimeout(client.helloTimer)
    this.#strangers.delete(client)
    if (client.prefix !== undefined) {
      const left = (this.#socketsByPrefix.get(client.prefix) ?? 1) - 1
      if (left > 0) this.#socketsByPrefix.set(client.prefix, left)
      else this.#socketsByPrefix.delete(client.prefix)
    }
    if (client.peer === undefined || this.#peers.get(client.peer) !== client) return
    this.#peers.delete(client.peer)
    this.#ports.left(client.peer)
  }
}

/** Each proof takes two signature checks. */
const proofCost = (bytes: number) => 1 + Math.floor(bytes / 1000)

/** A list of models may be long to write; a new session or generation is signed and told to every stage, a ticket's signature checked. */
function messageCost({ t }: ClientMessage): number {
  if (t === 'models') return 2
  return t === 'open' || t === 'reopen' || t === 'offer' || t === 'adopt' ? 5 : 1
}

const tooMuch = (who: string, retryAfterMs: number) =>
  new ManyhandsError('rate-limited', `${who} sends too much. Come again in ${Math.ceil(retryAfterMs / 1000)} s.`, { retryAfterMs })

const write = (socket: WebSocket, message: ServerMessage) => socket.send(JSON.stringify(message))

/** Says why, for the program in the message and for logs in the close frame. */
function say(socket: WebSocket, code: number, error: ManyhandsError): void {
  write(socket, { t: 'error', error: error.toWire() })
  closeSocket(socket, code, error.message)
}
