/**
 * One authenticated channel between two peers; every session they share travels on it. Nothing but a signature over both
 * DTLS fingerprints is accepted first, so whoever brokered the connection can't sit in its middle. docs/protocol.md [LK].
 */
import { concatBytes, fromHex, toHex, utf8, type Bytes } from '../protocol/bytes.ts'
import { asError, ManyhandsError } from '../protocol/errors.ts'
import { encodeStep, frameKind, StepAssembler, type Step } from '../protocol/frames.ts'
import type { PeerId, SessionId } from '../protocol/ids.ts'
import { peerIdOf, sign, verifyHex, type Identity } from '../protocol/keys.ts'
import { highWaterBytes, linkConnectMs, linkHeartbeatMs, linkLostMs, maxBeforeAuth, maxQueuedBytes } from '../protocol/limits.ts'
import { decodeAuth, decodeLinkMessage, encodeAuth, encodeLinkMessage, type LinkMessage } from '../protocol/link-messages.ts'
import type { Channel } from './channel.ts'
import { deferred } from './deferred.ts'

/** What a connection is known by before anything is said on it. */
export interface LinkTerms {
  readonly remote: PeerId
  readonly role: 'dialer' | 'acceptor'
  /** 32 hex digits, drawn by the dialer, carried by the offer. */
  readonly nonce: string
}

/** `a=fingerprint` values of both descriptions, lower-case: `sha-256 ab:cd:…`. */
export interface Fingerprints {
  readonly local: string
  readonly remote: string
}

export interface LinkHandlers {
  ready(): void
  step(step: Step, wireBytes: number): void
  message(message: LinkMessage): void
  /** A chunk signed by the sender (`signedChunkBytes` long). */
  custody(signedChunk: Uint8Array): void
  /** Once, whatever the reason; the channel is closed. */
  closed(reason: ManyhandsError): void
}

export interface LinkCounters {
  sentBytes: number
  receivedBytes: number
}

export class PeerLink {
  readonly remote: PeerId
  /** Raw public key of the other end, hex; empty until it has shown it. */
  remoteKey = ''
  readonly counters: LinkCounters = { sentBytes: 0, receivedBytes: 0 }
  readonly #channel: Channel
  readonly #identity: Identity
  readonly #terms: LinkTerms
  readonly #handlers: LinkHandlers
  readonly #fingerprints = deferred<Fingerprints>()
  /**
   * This end's own signature is sent; nothing goes before it. A channel that was handed to a worker can deliver before it is open
   * there, and takes nothing until then.
   */
  readonly #introduced = deferred<void>()
  readonly #assembler = new StepAssembler()
  readonly #queue: Bytes[] = []
  #queuedBytes = 0
  #early: Uint8Array[] = []
  #state: 'authenticating' | 'ready' | 'closed' = 'authenticating'
  #sawAuth = false
  #lastHeard: number
  #lastPinged = 0
  #lastSent: number
  readonly #timer: ReturnType<typeof setInterval>
  readonly #deadline: ReturnType<typeof setTimeout>
  #pings = 0

  constructor(channel: Channel, identity: Identity, terms: LinkTerms, handlers: LinkHandlers) {
    this.#channel = channel
    this.#identity = identity
    this.#terms = terms
    this.#handlers = handlers
    this.remote = terms.remote
    this.#lastHeard = performance.now()
    this.#lastSent = this.#lastHeard
    this.#fingerprints.promise.catch(() => undefined)
    this.#introduced.promise.catch(() => undefined)
    this.#timer = setInterval(() => this.#beat(), linkHeartbeatMs / 2)
    this.#deadline = setTimeout(
      () => this.close(new ManyhandsError('timeout', 'A peer did not connect and identify itself in time.')),
      linkConnectMs,
    )
    channel.listen({
      opened: () => void this.#introduce(),
      message: (message) => this.#receive(message),
      drained: () => this.#flush(),
      closed: () => this.close(new ManyhandsError('peer-lost', 'The connection to a peer closed.')),
    })
  }

  get ready(): boolean {
    return this.#state === 'ready'
  }

  /** Both descriptions are known: the handshake can go on. */
  bind(fingerprints: Fingerprints): void {
    this.#fingerprints.resolve(fingerprints)
  }

  /** Queues behind a full channel, up to a bound past which the link is given up. Dropped silently once closed. */
  sendStep(step: Step): void {
    for (const message of encodeStep(step)) this.#send(message)
  }

  sendMessage(message: LinkMessage): void {
    this.#send(encodeLinkMessage(message))
  }

  sendCustody(signedChunk: Uint8Array): void {
    this.#send(concatBytes([new Uint8Array([frameKind.custody]), signedChunk]))
  }

  /** Forgets half-received steps of a session that ended. */
  forget(session: SessionId): void {
    this.#assembler.forget(session)
  }

  close(reason: ManyhandsError): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    clearInterval(this.#timer)
    clearTimeout(this.#deadline)
    this.#fingerprints.reject(reason)
    this.#introduced.reject(reason)
    this.#queue.length = 0
    this.#early = []
    this.#channel.close()
    this.#handlers.closed(reason)
  }

  async #introduce(): Promise<void> {
    try {
      const { local, remote } = await this.#fingerprints.promise
      const signature = await sign(this.#identity.privateKey, 'link', linkClaim(this.#terms, this.#identity.id, local, remote))
      if (this.#state === 'closed') return
      this.#channel.send(encodeAuth({ v: 1, key: this.#identity.publicKey, signature: toHex(signature) }))
      this.#introduced.resolve()
    } catch (thrown) {
      this.close(asError(thrown))
    }
  }

  #receive(message: Uint8Array): void {
    if (this.#state === 'closed') return
    this.#lastHeard = performance.now()
    this.counters.receivedBytes += message.length
    try {
      if (this.#state === 'ready') return this.#dispatch(message)
      if (!this.#sawAuth) {
        if (message[0] !== frameKind.auth) throw new ManyhandsError('bad-message', 'A peer spoke before it said who it is.')
        this.#sawAuth = true
        void this.#authenticate(message)
        return
      }
      if (this.#early.length >= maxBeforeAuth) throw new ManyhandsError('bad-message', 'A peer said too much before it was known.')
      this.#early.push(message)
    } catch (thrown) {
      this.close(asError(thrown))
    }
  }

  async #authenticate(message: Uint8Array): Promise<void> {
    try {
      const auth = decodeAuth(message)
      const { local, remote } = await this.#fingerprints.promise
      if ((await peerIdOf(auth.key)) !== this.remote) throw new ManyhandsError('bad-signature', 'A peer showed a key that is not its own.')
      const theirs: LinkTerms = {
        remote: this.#identity.id,
        role: this.#terms.role === 'dialer' ? 'acceptor' : 'dialer',
        nonce: this.#terms.nonce,
      }
      if (!(await verifyHex(auth.key, 'link', linkClaim(theirs, this.remote, remote, local), auth.signature))) {
        throw new ManyhandsError('bad-signature', 'A peer could not prove that it is the other end of its connection.')
      }
      await this.#introduced.promise
      // Some awaits have passed: the link may have closed meanwhile.
      if ((this.#state as string) === 'closed') return
      this.remoteKey = auth.key
      this.#state = 'ready'
      clearTimeout(this.#deadline)
      this.#handlers.ready()
      this.#flush()
      for (const early of this.#early.splice(0)) this.#dispatch(early)
    } catch (thrown) {
      this.close(asError(thrown))
    }
  }

  #dispatch(message: Uint8Array): void {
    switch (message[0]) {
      case frameKind.step: {
        const step = this.#assembler.add(message)
        if (step) this.#handlers.step(step, message.length)
        return
      }
      case frameKind.custody:
        return this.#handlers.custody(message.subarray(1))
      case frameKind.control: {
        const decoded = decodeLinkMessage(message)
        if (decoded.t === 'ping') return this.sendMessage({ t: 'pong', n: decoded.n })
        if (decoded.t === 'pong') return
        return this.#handlers.message(decoded)
      }
      default:
        throw new ManyhandsError('bad-message', `A peer sent a message of unknown kind ${message[0] ?? 'none'}.`)
    }
  }

  #send(message: Bytes): void {
    if (this.#state === 'closed') return
    if (this.#state === 'ready' && this.#queue.length === 0 && this.#channel.bufferedAmount < highWaterBytes) return this.#put(message)
    this.#queuedBytes += message.length
    if (this.#queuedBytes > maxQueuedBytes)
      return this.close(new ManyhandsError('peer-lost', 'A peer is too slow to take what is sent to it.'))
    this.#queue.push(message)
  }

  #flush(): void {
    while (this.#state === 'ready' && this.#queue.length > 0 && this.#channel.bufferedAmount < highWaterBytes) {
      const message = this.#queue.shift() as Bytes
      this.#queuedBytes -= message.length
      this.#put(message)
    }
  }

  #put(message: Bytes): void {
    try {
      this.#channel.send(message)
      this.#lastSent = performance.now()
      this.counters.sentBytes += message.length
    } catch (thrown) {
      this.close(asError(thrown, 'peer-lost'))
    }
  }

  #beat(): void {
    if (this.#state !== 'ready') return
    const now = performance.now()
    if (now - this.#lastHeard > linkLostMs) return this.close(new ManyhandsError('peer-lost', 'A peer has gone silent.'))
    const hearsNothing = now - Math.max(this.#lastHeard, this.#lastPinged) > linkHeartbeatMs
    // Behind megabytes on a slow line an answer to a ping comes late: whoever only listens says now and then that it is there.
    const onlyListens = this.#lastHeard > this.#lastSent && now - this.#lastSent > linkHeartbeatMs
    if (hearsNothing || onlyListens) {
      this.#lastPinged = now
      this.sendMessage({ t: 'ping', n: this.#pings++ })
    }
  }
}

/** What one end signs: the dialer's nonce, its own role, both ids, its fingerprint and then the other's. */
function linkClaim(terms: LinkTerms, self: PeerId, ownFingerprint: string, otherFingerprint: string): Bytes {
  return concatBytes([fromHex(terms.nonce), utf8(`\n${terms.role}\n${self}\n${terms.remote}\n${ownFingerprint}\n${otherFingerprint}`)])
}

/** The fingerprint of a session description, or undefined when it has none yet. */
export function fingerprintOf(sdp: string | undefined): string | undefined {
  return /^a=fingerprint:(\S+ \S+)/m.exec(sdp ?? '')?.[1]?.toLowerCase()
}
