/**
 * The peers one is connected to. A session asks for a link by peer; where there is none the owner (page or Node) is
 * asked to dial, and its channel lands here.
 */
import type { Channel } from './channel.ts'
import { deferred, type Deferred } from './deferred.ts'
import { PeerLink, type Fingerprints, type LinkTerms } from './peer-link.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { Step } from '../protocol/frames.ts'
import type { PeerId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { linkConnectMs } from '../protocol/limits.ts'
import type { LinkMessage } from '../protocol/link-messages.ts'

export interface LinkTableEvents {
  dial(peer: PeerId): void
  step(link: PeerLink, step: Step): void
  message(link: PeerLink, message: LinkMessage): void
  custody(link: PeerLink, signedChunk: Uint8Array): void
  /** A link that was ready is gone; there may be another to the same peer. */
  closed(peer: PeerId, reason: ManyhandsError, link: PeerLink): void
  /** Channel `id` is done with: the owner may close its connection. */
  released(id: number): void
}

/** Connections one holds at most: its neighbours in every session, and their requesters. */
const maxLinks = 128

export class LinkTable {
  readonly #identity: Identity
  readonly #events: LinkTableEvents
  readonly #links = new Map<number, PeerLink>()
  readonly #ready = new Map<PeerId, PeerLink>()
  readonly #wanted = new Map<PeerId, Deferred<PeerLink>>()
  #closedSent = 0
  #closedReceived = 0

  constructor(identity: Identity, events: LinkTableEvents) {
    this.#identity = identity
    this.#events = events
  }

  /** The owner's channel number `id`, in answer to `dial` or because a peer dialled us. */
  add(id: number, channel: Channel, terms: LinkTerms): void {
    if (this.#links.size >= maxLinks) {
      channel.close()
      return this.#events.released(id)
    }
    const link: PeerLink = new PeerLink(channel, this.#identity, terms, {
      ready: () => {
        this.#ready.set(terms.remote, link)
        this.#wanted.get(terms.remote)?.resolve(link)
        this.#wanted.delete(terms.remote)
      },
      step: (step) => this.#events.step(link, step),
      message: (message) => this.#events.message(link, message),
      custody: (signedChunk) => this.#events.custody(link, signedChunk),
      closed: (reason) => this.#drop(id, link, reason),
    })
    this.#links.set(id, link)
  }

  bind(id: number, fingerprints: Fingerprints): void {
    this.#links.get(id)?.bind(fingerprints)
  }

  close(id: number, reason: ManyhandsError): void {
    this.#links.get(id)?.close(reason)
  }

  /** The link to a peer, dialled where need be. @throws ManyhandsError peer-lost after `linkConnectMs` */
  async to(peer: PeerId): Promise<PeerLink> {
    const ready = this.#ready.get(peer)
    if (ready) return ready
    const pending = this.#wanted.get(peer)
    if (pending) return pending.promise
    const wanted = deferred<PeerLink>()
    this.#wanted.set(peer, wanted)
    const timer = setTimeout(() => {
      this.#wanted.delete(peer)
      wanted.reject(new ManyhandsError('peer-lost', 'The next peer of the pipeline could not be reached.'))
    }, linkConnectMs)
    this.#events.dial(peer)
    try {
      return await wanted.promise
    } finally {
      clearTimeout(timer)
    }
  }

  /** Somebody is being connected to, or has yet to say who it is. */
  get unsettled(): boolean {
    return this.#wanted.size > 0 || [...this.#links.values()].some((link) => !link.ready)
  }

  /** Those that can be used now. */
  ready(): Iterable<PeerLink> {
    return this.#ready.values()
  }

  counters(): { sentBytes: number; receivedBytes: number } {
    let sentBytes = this.#closedSent
    let receivedBytes = this.#closedReceived
    for (const link of this.#links.values()) {
      sentBytes += link.counters.sentBytes
      receivedBytes += link.counters.receivedBytes
    }
    return { sentBytes, receivedBytes }
  }

  closeAll(reason: ManyhandsError): void {
    for (const link of this.#links.values()) link.close(reason)
    for (const wanted of this.#wanted.values()) wanted.reject(reason)
    this.#wanted.clear()
  }

  #drop(id: number, link: PeerLink, reason: ManyhandsError): void {
    this.#closedSent += link.counters.sentBytes
    this.#closedReceived += link.counters.receivedBytes
    this.#links.delete(id)
    this.#events.released(id)
    if (this.#ready.get(link.remote) === link) this.#ready.delete(link.remote)
    if (link.remoteKey !== '') return this.#events.closed(link.remote, reason, link)
    // A dial that failed is known now; who waits for it need not wait for the limit.
    for (const other of this.#links.values()) if (other.remote === link.remote) return
    this.#wanted.get(link.remote)?.reject(new ManyhandsError('peer-lost', reason.message))
    this.#wanted.delete(link.remote)
  }
}
