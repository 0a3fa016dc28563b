/**
 * The peer's socket to a signaling server: challenge, signed hello, welcome, then one variant per message. Reconnects by
 * itself with growing, jittered pauses; what was asked while it was down fails at once instead of waiting.
 */
import { utf8 } from '../../protocol/bytes.ts'
import type { ClientMessage, HelloClaim } from '../../protocol/client-messages.ts'
import { asError, fromWire, ManyhandsError } from '../../protocol/errors.ts'
import { canonicalJson } from '../../protocol/hash.ts'
import { signHex, type Identity } from '../../protocol/keys.ts'
import { helloMs, leaseMs, maxSocketBytes } from '../../protocol/limits.ts'
import { parseMessage, serverMessageSchema, type ServerMessage } from '../../protocol/server-messages.ts'
import type { Deferred } from '../../link/deferred.ts'
import { deferred } from '../../link/deferred.ts'
import type { ServerInfo } from './discovery.ts'

export type Welcome = Extract<ServerMessage, { t: 'welcome' }>

export interface ControlHandlers {
  /** After every successful hello, the first and later ones. */
  welcomed(welcome: Welcome): void
  /** Messages that answer no request. */
  message(message: ServerMessage): void
  /** The socket is down and being dialled again; `reason` is for people. */
  lost(reason: ManyhandsError): void
}

/** Messages that carry the id of the request they belong to. */
type Reply = Extract<ServerMessage, { id: number }>
type Requests = Extract<ClientMessage, { t: 'models' | 'open' }>

const agent = 'manyhands/0.1'
const firstPauseMs = 300
const longestPauseMs = 15_000

/** The answer to a request is another server's to give: ask there. */
export class Elsewhere extends ManyhandsError {
  readonly url: string

  constructor(url: string) {
    super('unavailable', 'Another server has this model’s volunteers.')
    this.url = url
  }
}

export class ControlSocket {
  #info: ServerInfo
  readonly #identity: Identity
  readonly #projectKey: string | undefined
  readonly #handlers: ControlHandlers
  readonly #origin: string
  readonly #replies = new Map<number, { done: Deferred<Reply>; interim: (message: Reply) => void }>()
  #socket: WebSocket | undefined
  #welcomed = false
  #closed = false
  #nextId = 1
  #pauseMs = firstPauseMs
  /** Why it went down last. */
  #lostBecause: ManyhandsError | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  /** performance.now() of the last message, and of the end of the pause. */
  #heardAt = 0
  #dialAt = 0
  /** The move under way; a later one takes its place. */
  #moving: Promise<ServerInfo> | undefined

  /** @param projectKey of the project that is asked for */
  constructor(info: ServerInfo, identity: Identity, handlers: ControlHandlers, projectKey?: string) {
    this.#info = info
    this.#identity = identity
    this.#projectKey = projectKey
    this.#handlers = handlers
    this.#origin = typeof location === 'undefined' ? 'node' : location.origin
    this.#dial()
    globalThis.addEventListener?.('online', this.#online)
  }

  get ready(): boolean {
    return this.#welcomed
  }

  /** For a message that carries an id and is no request. */
  newId(): number {
    return this.#nextId++
  }

  /** False when the socket is down: the message is not kept. */
  send(message: ClientMessage): boolean {
    if (!this.#welcomed) return false
    this.#socket?.send(JSON.stringify(message))
    return true
  }

  sendBinary(bytes: Uint8Array<ArrayBuffer>): boolean {
    if (!this.#welcomed) return false
    this.#socket?.send(bytes)
    return true
  }

  /**
   * Sends a request and resolves with its answer.
   * @param interim hears messages on the way that are not the answer (`queued`)
   * @throws ManyhandsError the server's typed error; Elsewhere; unavailable when the socket is down or goes down; aborted
   */
  async request<T extends Reply['t']>(
    message: (id: number) => Requests,
    answer: T,
    options: { signal?: AbortSignal | undefined; interim?: (message: Reply) => void } = {},
  ): Promise<{ id: number; reply: Extract<Reply, { t: T }> }> {
    options.signal?.throwIfAborted()
    const id = this.newId()
    const done = deferred<Reply>()
    this.#replies.set(id, { done, interim: options.interim ?? (() => undefined) })
    const onAbort = () => {
      this.send({ t: 'close', id })
      done.reject(new ManyhandsError('aborted', 'Stopped.'))
    }
    options.signal?.addEventListener('abort', onAbort, { once: true })
    try {
      if (!this.send(message(id))) throw this.#outOfReach()
      const reply = await done.promise
      if (reply.t !== answer) throw new ManyhandsError('bad-message', `The server answered '${reply.t}' where '${answer}' was asked.`)
      return { id, reply: reply as Extract<Reply, { t: T }> }
    } finally {
      options.signal?.removeEventListener('abort', onAbort)
      this.#replies.delete(id)
    }
  }

  /**
   * Goes on at another server, or back at this one when that can't be found. What this one still says is not heard.
   * @returns the other server, if it is gone to
   */
  async move(other: Promise<ServerInfo>): Promise<ServerInfo | undefined> {
    this.#down(new ManyhandsError('unavailable', 'Going on at another server.'))
    this.#waitNoMore()
    this.#moving = other
    try {
      const info = await other
      if (this.#closed || this.#moving !== other) return undefined
      this.#info = info
      this.#pauseMs = firstPauseMs
      this.#dial()
      return info
    } catch (thrown) {
      if (this.#moving === other) this.#retry(asError(thrown))
      return undefined
    }
  }

  /**
   * For who says something that is answered every third of a lease, by a clock that a hidden page does not hold back: a socket that is
   * dead and does not know it is dialled again, and so is one whose pause has long been over.
   */
  check(): void {
    if (this.#timer !== undefined && performance.now() >= this.#dialAt) this.#dialNow()
    if (this.#welcomed && performance.now() - this.#heardAt > leaseMs)
      this.#retry(new ManyhandsError('unavailable', 'The server went silent.'))
  }

  close(): void {
    this.#closed = true
    globalThis.removeEventListener?.('online', this.#online)
    this.#waitNoMore()
    this.#down(new ManyhandsError('closed', 'The connection was closed.'))
  }

  #dial(): void {
    const socket = new WebSocket(this.#info.socketUrl)
    socket.binaryType = 'arraybuffer'
    this.#socket = socket
    const slow = setTimeout(() => socket.close(), helloMs)
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (socket !== this.#socket) return
      this.#heardAt = performance.now()
      this.#receive(event.data, slow).catch((thrown: unknown) => this.#retry(asError(thrown)))
    }
    socket.onclose = (event: CloseEvent) => {
      clearTimeout(slow)
      if (socket === this.#socket) this.#retry(new ManyhandsError('unavailable', event.reason || 'The server is out of reach.'))
    }
    socket.onerror = () => socket.close()
  }

  async #receive(data: unknown, slow: ReturnType<typeof setTimeout>): Promise<void> {
    if (typeof data !== 'string') throw new ManyhandsError('bad-message', 'The server sent bytes where text was due.')
    const message = parseMessage(serverMessageSchema, data, maxServerMessageChars)
    if (message.t === 'challenge') return this.#hello(message)
    if (message.t === 'welcome') {
      clearTimeout(slow)
      this.#welcomed = true
      this.#pauseMs = firstPauseMs
      return this.#handlers.welcomed(message)
    }
    if (message.t === 'error' && !this.#welcomed) throw fromWire(message.error)
    const id = 'id' in message ? message.id : undefined
    const waiting = id === undefined ? undefined : this.#replies.get(id)
    if (!waiting) return this.#handlers.message(message)
    if (message.t === 'error') waiting.done.reject(fromWire(message.error))
    else if (message.t === 'moved') waiting.done.reject(new Elsewhere(message.url))
    else if (message.t === 'queued') waiting.interim(message)
    else waiting.done.resolve(message as Reply)
  }

  async #hello(challenge: Extract<ServerMessage, { t: 'challenge' }>): Promise<void> {
    if (challenge.serverKey !== this.#info.serverKey)
      throw new ManyhandsError('bad-signature', 'The server shows another key than its address published.')
    const claim: HelloClaim = {
      nonce: challenge.nonce,
      origin: this.#origin,
      expiresAt: challenge.now + helloMs,
      server: challenge.serverKey,
    }
    const signature = await signHex(this.#identity.privateKey, 'hello', utf8(canonicalJson(claim)))
    const { nonce, origin, expiresAt } = claim
    this.#socket?.send(
      JSON.stringify({
        t: 'hello',
        v: 1,
        key: this.#identity.publicKey,
        nonce,
        origin,
        expiresAt,
        agent,
        ...(this.#projectKey === undefined ? {} : { project: { key: this.#projectKey } }),
        signature,
      } satisfies ClientMessage),
    )
  }

  #retry(reason: ManyhandsError): void {
    if (this.#closed) return
    this.#lostBecause = reason
    this.#down(reason)
    const pauseMs = this.#pauseMs * (0.5 + Math.random())
    this.#pauseMs = Math.min(longestPauseMs, this.#pauseMs * 2)
    this.#dialAt = performance.now() + pauseMs
    this.#timer = setTimeout(() => this.#dialNow(), pauseMs)
    this.#handlers.lost(reason)
  }

  /** A key that was refused is so until its project says otherwise; anything else passes. */
  #outOfReach(): ManyhandsError {
    if (this.#lostBecause?.code === 'forbidden') return this.#lostBecause
    return new ManyhandsError('unavailable', 'The server is out of reach at the moment.')
  }

  /** The network is back: no reason to wait any longer. */
  readonly #online = (): void => {
    if (this.#timer === undefined) return
    this.#pauseMs = firstPauseMs
    this.#dialNow()
  }

  #dialNow(): void {
    this.#waitNoMore()
    this.#dial()
  }

  #waitNoMore(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #down(reason: ManyhandsError): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#welcomed = false
    socket?.close()
    for (const { done } of this.#replies.values()) done.reject(reason)
    this.#replies.clear()
  }
}

/** A catalogue of a thousand models is the largest thing a server says. */
const maxServerMessageChars = 16 * maxSocketBytes
