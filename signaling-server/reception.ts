/**
 * Where a client's message goes first: to this process's coordinator, or the client to the server that has the swarm. A swarm
 * that is changing hands keeps its messages waiting, each peer's in their order, until it is clear whose it is.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { ModelInfo, ServerMessage } from '../protocol/server-messages.ts'
import type { Viewpoint } from './audience.ts'
import type { Caller, Said } from './control-sockets.ts'
import type { FellowSwarm } from './fellows.ts'

export interface ReceptionPorts {
  /** In the library: of this network, whoever has its swarm. */
  known(revision: Revision): boolean
  owned(revision: Revision): boolean
  /** Whether this process has any swarm. */
  ownsAny(): boolean
  mayAct(): boolean
  /** Address of whoever has it; undefined when nobody does. */
  ownerOf(revision: Revision): Promise<string | undefined>
  /** Of these models (any, when there are none) the swarm elsewhere that needs a volunteer with so many bytes most. */
  neediest(models: readonly Revision[], memoryBytes: number): FellowSwarm | undefined
  /** All models, whoever has their swarms, as they are for whoever asks from there. */
  models(viewpoint: Viewpoint): readonly ModelInfo[]
  /** The coordinator's. */
  receive(caller: Caller, message: Said): void
  proofs(peer: PeerId, bytes: Uint8Array): void
  send(peer: PeerId, message: ServerMessage): boolean
  failed(thrown: unknown): void
}

/** A dead owner's lease, the next one's turn, and some more. */
const changeOfHandsMs = 8_000
const lookMs = 200
/** Messages of one peer that wait behind one another: an adopted stage's proofs come in a few hundred. */
const maxWaiting = 1_000
/** Peers whose messages wait. */
const maxPeersWaiting = 20_000
const retryAfterMs = 1_000
/** Volunteers without work that are sent elsewhere in one look: by the next one, it is known there that they came. */
const sentAtOnce = 4

/** What a volunteer said it would hold; no models: any. */
interface Offer {
  readonly models: readonly Revision[]
  readonly memoryBytes: number
}

/** 'here', an address, or nobody's within the time. */
type Place = 'here' | { readonly url: string } | undefined

export class Reception {
  readonly #ports: ReceptionPorts
  readonly #waiting = new Map<PeerId, (() => void)[]>()
  readonly #looking = new Map<Revision, Promise<Place>>()
  readonly #offers = new Map<PeerId, Offer>()
  /** Sessions that live at another server, as peers here have been told: what they still say of them is for there. */
  readonly #elsewhere = new Map<PeerId, Set<SessionId>>()
  /** Volunteers that were told last that there is nothing to do. */
  readonly #idle = new Set<PeerId>()

  constructor(ports: ReceptionPorts) {
    this.#ports = ports
  }

  receive(caller: Caller, message: Said): void {
    this.#inTurn(caller.peer, () => this.#take(caller, message))
  }

  /** @throws ManyhandsError bad-message */
  proofs(peer: PeerId, bytes: Uint8Array): void {
    this.#inTurn(peer, () => this.#ports.proofs(peer, bytes))
  }

  /** A message of the coordinator's to a peer: whoever hears that there is no work here may hear where there is. */
  said(peer: PeerId, message: ServerMessage): void {
    if (message.t === 'assign') this.#idle.delete(peer)
    if (message.t !== 'idle') return
    this.#idle.add(peer)
    this.#sendWhereNeeded(peer)
  }

  /** For those who have waited without work: elsewhere there may be some by now. */
  lookAround(): void {
    let left = sentAtOnce
    for (const peer of this.#idle) if (left > 0 && this.#sendWhereNeeded(peer)) left -= 1
  }

  gone(peer: PeerId): void {
    this.#waiting.delete(peer)
    this.#offers.delete(peer)
    this.#idle.delete(peer)
    this.#elsewhere.delete(peer)
  }

  #sendWhereNeeded(peer: PeerId): boolean {
    const offer = this.#offers.get(peer)
    const swarm = offer && this.#ports.neediest(offer.models, offer.memoryBytes)
    if (!swarm || (swarm.availability !== 'unavailable' && this.#ports.ownsAny())) return false
    return this.#ports.send(peer, { t: 'moved', url: swarm.url })
  }

  /** At once, or after what this peer said before. Returns what is waited for when it is not done at once. */
  #inTurn(peer: PeerId, take: () => Promise<void> | void): void {
    const queue = this.#waiting.get(peer)
    if (!queue) return this.#run(peer, take)
    if (queue.length >= maxWaiting)
      throw new ManyhandsError('busy', 'A swarm is changing hands and too much waits for it. Come again in a moment.', { retryAfterMs })
    queue.push(() => this.#run(peer, take))
  }

  #run(peer: PeerId, take: () => Promise<void> | void): void {
    const waited = take()
    if (!waited) return
    if (this.#waiting.size >= maxPeersWaiting)
      throw new ManyhandsError('busy', 'Swarms are changing hands and too many peers wait for them. Come again in a moment.', {
        retryAfterMs,
      })
    const queue = this.#waiting.get(peer) ?? []
    this.#waiting.set(peer, queue)
    void waited
      .catch((thrown: unknown) => this.#refuse(peer, thrown))
      .then(() => {
        // The peer is gone, perhaps back by another socket.
        if (this.#waiting.get(peer) !== queue) return
        this.#waiting.delete(peer)
        for (let next = queue.shift(); next; next = queue.shift()) {
          try {
            next()
          } catch (thrown) {
            this.#refuse(peer, thrown)
          }
          const now = this.#waiting.get(peer)
          // It waits again: what is left waits behind it.
          if (now) return void now.push(...queue)
        }
      })
  }

  #refuse(peer: PeerId, thrown: unknown): void {
    if (thrown instanceof ManyhandsError) this.#ports.send(peer, { t: 'error', error: thrown.toWire() })
    else this.#ports.failed(thrown)
  }

  #take(caller: Caller, message: Said): Promise<void> | void {
    const { peer } = caller
    switch (message.t) {
      case 'models':
        return void this.#ports.send(peer, { t: 'models', id: message.id, models: [...this.#ports.models(caller.project?.id)] })
      case 'open':
        return this.#at(message.revision, caller, message, message.id)
      case 'adopt':
        return this.#at(message.ticket.revision, caller, message)
      case 'reopen':
      case 'done':
      case 'fault':
        if (!this.#elsewhere.get(peer)?.has(message.session)) this.#ports.receive(caller, message)
        return
      case 'offer':
        this.#offers.set(peer, message)
        this.#idle.delete(peer)
        return this.#at(message.holding?.revision ?? this.#onlyOthers(message.models), caller, message)
      default:
        return this.#ports.receive(caller, message)
    }
  }

  /** A volunteer that wants only what others have: one of those. */
  #onlyOthers(models: readonly Revision[]): Revision | undefined {
    return models.some((m) => this.#ports.owned(m)) ? undefined : models.find((m) => this.#ports.known(m))
  }

  #at(revision: Revision | undefined, caller: Caller, message: Said, id?: number): Promise<void> | void {
    const { owned, mayAct, known, receive } = this.#ports
    // Of an unknown one the coordinator says so.
    if (revision === undefined || !known(revision) || (owned(revision) && mayAct())) {
      if (message.t === 'adopt') this.#wentElsewhere(caller.peer, message.ticket.session, false)
      return receive(caller, message)
    }
    return this.#place(revision).then((place) => {
      if (place === 'here') return receive(caller, message)
      if (message.t === 'adopt') this.#wentElsewhere(caller.peer, message.ticket.session, place !== undefined)
      const ids = id === undefined ? {} : { id }
      if (place) return void this.#ports.send(caller.peer, { t: 'moved', ...ids, revision, url: place.url })
      const error = new ManyhandsError('unavailable', 'No server has this model’s swarm at the moment. Come again soon.', { retryAfterMs })
      this.#ports.send(caller.peer, { t: 'error', ...ids, error: error.toWire() })
    })
  }

  #wentElsewhere(peer: PeerId, session: SessionId, went: boolean): void {
    const sessions = this.#elsewhere.get(peer) ?? new Set()
    if (went && sessions.size < maxWaiting) this.#elsewhere.set(peer, sessions.add(session))
    else sessions.delete(session)
  }

  /** One search for all who wait for the same swarm. */
  #place(revision: Revision): Promise<Place> {
    const known = this.#looking.get(revision)
    if (known) return known
    const looking = this.#look(revision).finally(() => this.#looking.delete(revision))
    this.#looking.set(revision, looking)
    return looking
  }

  async #look(revision: Revision): Promise<Place> {
    const { owned, mayAct, ownerOf } = this.#ports
    for (const until = performance.now() + changeOfHandsMs; ;) {
      if (owned(revision) && mayAct()) return 'here'
      // An outage of the database: as if nobody had it.
      const url = owned(revision) ? undefined : await ownerOf(revision).catch(() => undefined)
      if (url !== undefined) return { url }
      if (performance.now() > until) return undefined
      await new Promise((resolve) => setTimeout(resolve, lookMs))
    }
  }
}
