/**
 * The PeerJS server protocol for the stock client, on sockets handed in by the HTTP server: who may use an id is proved by a
 * token, signalling is relayed between peers that are online, and nothing is kept for those that are not.
 */
import type { RawData, WebSocket } from 'ws'
import { asError, maxErrorChars } from '../protocol/errors.ts'
import { isPeerId, type PeerId } from '../protocol/ids.ts'
import { maxSignalBytes } from '../protocol/limits.ts'
import { parseSignal } from './broker-messages.ts'
import { checkToken, issueToken } from './broker-token.ts'
import { networkPrefix } from './network-prefix.ts'
import { RateLimiter, type RateLimit } from './rate-limit.ts'
import { closeCodes, closeSocket } from './socket-close.ts'

export interface BrokerLimits {
  /** Messages of one peer; a large one counts for several (see `messageCost`), a connection for `connectCost`. */
  readonly peer: RateLimit
  /** The same, of all peers behind one network prefix. */
  readonly prefix: RateLimit
  readonly maxSockets: number
  readonly maxSocketsPerPrefix: number
  /** Bytes queued for a peer that does not read; past it the peer is let go. */
  readonly maxQueuedBytes: number
  /** Between pings; a peer that leaves two unanswered is gone. */
  readonly pingMs: number
}

export const brokerLimits: BrokerLimits = {
  // A connection takes an offer or answer and some ten candidates: a burst is 30 of them at once, then four a second.
  peer: { perSecond: 50, burst: 400, maxKeys: 50_000 },
  // A school or an office behind one address.
  prefix: { perSecond: 500, burst: 4000, maxKeys: 20_000 },
  // 7.5 KB a socket: 150 MB when full.
  maxSockets: 20_000,
  maxSocketsPerPrefix: 500,
  maxQueuedBytes: 64 * maxSignalBytes,
  pingMs: 15_000,
}

export interface BrokerOptions {
  /** HMAC key of the tokens; 32 random bytes. */
  readonly secret: Uint8Array
  /** Wall time in milliseconds. */
  readonly now: () => number
  readonly limits?: Partial<BrokerLimits>
}

export interface BrokerStats {
  readonly sockets: number
  readonly accepted: number
  /** Turned away at the door. */
  readonly refused: number
  readonly relayed: number
  /** Messages for peers that are not here. */
  readonly undeliverable: number
  /** Closed for flooding, malformed messages, not reading or not answering pings. */
  readonly cutOff: number
}

const missedPings = 2
/** Signing on costs an HMAC and a handshake. */
const connectCost = 10
const messageCost = (bytes: number) => 1 + Math.floor(bytes / 4096)
/** Path, key, id, token and version of the stock client come to some 200 characters. */
const maxUrlChars = 1000
const brokerKey = 'manyhands'

interface Client {
  readonly id: PeerId
  readonly socket: WebSocket
  readonly prefix: string | undefined
  unanswered: number
}

type Admission = { readonly id: PeerId } | { readonly refused: string; readonly code: number; readonly wrongKey?: boolean }

export class Broker {
  readonly #secret: Uint8Array
  readonly #now: () => number
  readonly #limits: BrokerLimits
  readonly #clients = new Map<PeerId, Client>()
  readonly #socketsByPrefix = new Map<string, number>()
  readonly #perPeer: RateLimiter
  readonly #perPrefix: RateLimiter
  readonly #pings: NodeJS.Timeout
  readonly #counts = { accepted: 0, refused: 0, relayed: 0, undeliverable: 0, cutOff: 0 }
  #closed = false

  constructor(options: BrokerOptions) {
    this.#secret = options.secret
    this.#now = options.now
    this.#limits = { ...brokerLimits, ...options.limits }
    this.#perPeer = new RateLimiter(this.#limits.peer)
    this.#perPrefix = new RateLimiter(this.#limits.prefix)
    this.#pings = setInterval(() => this.#ping(), this.#limits.pingMs)
    this.#pings.unref()
  }

  /** Good for one hour; at most 60 characters, all fit for a URL. */
  tokenFor(peer: PeerId): string {
    return issueToken(this.#secret, peer, this.#now())
  }

  stats(): BrokerStats {
    return { sockets: this.#clients.size, ...this.#counts }
  }

  /** Takes over an open socket. `url` is the request's path and query, `ip` the client's address. */
  accept(socket: WebSocket, request: { readonly url: string; readonly ip: string }): void {
    // Without a listener a broken frame would end the process.
    socket.on('error', () => socket.terminate())
    const prefix = networkPrefix(request.ip)
    const admission = this.#admit(request.url, prefix)
    if ('refused' in admission) {
      this.#counts.refused++
      return end(socket, admission.code, admission.refused, admission.wrongKey)
    }
    const client: Client = { id: admission.id, socket, prefix, unanswered: 0 }
    const old = this.#clients.get(client.id)
    if (old) {
      this.#forget(old)
      end(old.socket, closeCodes.replaced, 'This key has signed on again, from another connection.')
    }
    this.#clients.set(client.id, client)
    if (prefix !== undefined) this.#socketsByPrefix.set(prefix, (this.#socketsByPrefix.get(prefix) ?? 0) + 1)
    this.#counts.accepted++
    socket.on('close', () => this.#forget(client))
    socket.on('pong', () => (client.unanswered = 0))
    socket.on('message', (data, isBinary) => {
      if (this.#clients.get(client.id) === client) this.#receive(client, data, isBinary)
    })
    socket.send('{"type":"OPEN"}')
  }

  /** Tells every client to come back later, and stops. */
  close(): void {
    this.#closed = true
    clearInterval(this.#pings)
    for (const client of this.#clients.values()) {
      closeSocket(client.socket, closeCodes.restart, 'The server is restarting.')
    }
    this.#clients.clear()
    this.#socketsByPrefix.clear()
  }

  #admit(url: string, prefix: string | undefined): Admission {
    const { full, tooMuch, unauthorized } = closeCodes
    if (this.#closed || this.#clients.size >= this.#limits.maxSockets)
      return { code: full, refused: 'The broker is full. Try again in a minute.' }
    if (prefix !== undefined) {
      const held = this.#socketsByPrefix.get(prefix) ?? 0
      if (held >= this.#limits.maxSocketsPerPrefix)
        return { code: tooMuch, refused: `${held} connections from your network are open. Close some.` }
      const taken = this.#perPrefix.take(prefix, connectCost, this.#now())
      if (!taken.ok) return { code: tooMuch, refused: slowDown('Your network', taken.retryAfterMs) }
    }
    const query = url.length <= maxUrlChars ? new URLSearchParams(url.slice(url.indexOf('?') + 1)) : new URLSearchParams()
    const id = query.get('id')
    if (query.get('key') !== brokerKey) return { code: unauthorized, refused: `The broker's key is '${brokerKey}'.`, wrongKey: true }
    if (!isPeerId(id)) return { code: unauthorized, refused: 'A peer id is 64 hexadecimal digits.' }
    const checked = checkToken(this.#secret, id, query.get('token') ?? '', this.#now())
    if (checked === 'wrong')
      return { code: unauthorized, refused: 'The broker token is not the one for this peer id. Say hello to get one.' }
    if (checked === 'expired') return { code: unauthorized, refused: 'The broker token has expired. Say hello again to get a fresh one.' }
    // After the token: nobody can empty another's bucket.
    const taken = this.#perPeer.take(id, connectCost, this.#now())
    return taken.ok ? { id } : { code: tooMuch, refused: slowDown('This peer', taken.retryAfterMs) }
  }

  #receive(client: Client, data: RawData, isBinary: boolean): void {
    // The HTTP server's sockets keep ws's default binaryType, so `data` is one Buffer.
    const bytes = data as Buffer
    const cost = messageCost(bytes.length)
    const byPeer = this.#perPeer.take(client.id, cost, this.#now())
    if (!byPeer.ok) return this.#cutOff(client, closeCodes.tooMuch, slowDown('This peer', byPeer.retryAfterMs))
    const byPrefix = client.prefix === undefined ? byPeer : this.#perPrefix.take(client.prefix, cost, this.#now())
    if (!byPrefix.ok) return this.#cutOff(client, closeCodes.tooMuch, slowDown('Your network', byPrefix.retryAfterMs))
    if (isBinary) return this.#cutOff(client, closeCodes.badMessage, 'Signalling is JSON text, not binary.')
    if (bytes.length > maxSignalBytes) {
      return this.#cutOff(client, closeCodes.badMessage, `A message of ${bytes.length} bytes is over the limit of ${maxSignalBytes}.`)
    }
    try {
      const signal = parseSignal(bytes.toString('utf8'))
      if (signal.type !== 'HEARTBEAT') this.#relay(client.id, signal)
    } catch (thrown) {
      this.#cutOff(client, closeCodes.badMessage, asError(thrown).message)
    }
  }

  #relay(src: PeerId, { type, dst, payload }: Exclude<ReturnType<typeof parseSignal>, { type: 'HEARTBEAT' }>): void {
    const there = this.#clients.get(dst)
    if (there) {
      this.#counts.relayed++
      return this.#send(there, JSON.stringify({ type, src, dst, payload }))
    }
    this.#counts.undeliverable++
    const here = this.#clients.get(src)
    // The stock client then reports `peer-unavailable`; candidates and the rest follow an offer, one answer is enough.
    if (here && type === 'OFFER') this.#send(here, JSON.stringify({ type: 'EXPIRE', src: dst, dst: src }))
  }

  #send(client: Client, text: string): void {
    if (client.socket.bufferedAmount > this.#limits.maxQueuedBytes) {
      return this.#cutOff(client, closeCodes.notAlive, 'You are not reading what is sent to you.')
    }
    client.socket.send(text)
  }

  #ping(): void {
    for (const client of this.#clients.values()) {
      if (client.unanswered >= missedPings) {
        this.#counts.cutOff++
        this.#forget(client)
        client.socket.terminate()
      } else {
        client.unanswered++
        client.socket.ping()
      }
    }
  }

  #cutOff(client: Client, code: number, reason: string): void {
    this.#counts.cutOff++
    this.#forget(client)
    end(client.socket, code, reason)
  }

  /** The one place where a client leaves the tables; called twice it does nothing. */
  #forget(client: Client): void {
    if (this.#clients.get(client.id) !== client) return
    this.#clients.delete(client.id)
    if (client.prefix === undefined) return
    const left = (this.#socketsByPrefix.get(client.prefix) ?? 1) - 1
    if (left > 0) this.#socketsByPrefix.set(client.prefix, left)
    else this.#socketsByPrefix.delete(client.prefix)
  }
}

const slowDown = (who: string, retryAfterMs: number) => `${who} sends too much. Come again in ${Math.ceil(retryAfterMs / 1000)} s.`

/** Says why in PeerJS's words, for the page, and in the close frame, for logs. */
function end(socket: WebSocket, code: number, reason: string, wrongKey = false): void {
  const sentence = reason.slice(0, maxErrorChars)
  if (wrongKey) socket.send('{"type":"INVALID-KEY"}')
  else socket.send(JSON.stringify({ type: 'ERROR', payload: { msg: sentence } }))
  closeSocket(socket, code, sentence)
}
