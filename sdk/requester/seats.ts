/**
 * A requester's seats: one at home, and one at every other server that has a swarm which it asks. Which server is asked for
 * what, however often swarms change hands.
 */
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { PeerId, SessionId } from '../../protocol/ids.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import { Elsewhere } from '../network/control-socket.ts'
import { discover, type ServerInfo } from '../network/discovery.ts'
import type { HubHandlers } from '../network/peer-hub.ts'
import type { CallOptions } from '../types.ts'
import { abortable } from './abortable.ts'
import { Seat, type Asker, type SeatHandlers } from './seat.ts'
import type { SessionTerms } from './session-source.ts'

/** Sessions and peers whose server is remembered; disputes are told there after a session is over. */
const maxRemembered = 1_000
/** Servers that a request is sent on to; and how long one that is named and does not answer is asked for again. */
const maxMoves = 3
const ownerMs = 10_000
const againMs = 1_000
/** Seats that were left; past them the connections of the oldest go. */
const maxLeft = 8

export interface SeatsHandlers extends Pick<SeatHandlers, 'welcomed' | 'message' | 'lost'> {
  /** What was at that seat goes on at home. */
  left(seat: Seat): void
}

export class Seats {
  readonly home: Seat
  readonly #sit: (info: ServerInfo) => Seat
  /** By origin. */
  readonly #others = new Map<string, Promise<Seat>>()
  /** Their connections to peers may still be in use. */
  readonly #left: Seat[] = []
  readonly #closing = new AbortController()
  readonly #sessions = new Map<SessionId, Seat>()
  /** Through which server's broker somebody can be reached. */
  readonly #peers = new Map<PeerId, Seat>()

  constructor(info: ServerInfo, asker: Asker, hub: HubHandlers, handlers: SeatsHandlers) {
    const all: SeatHandlers = {
      ...handlers,
      arrived: (seat) => {
        // A key has one socket at a server.
        const other = this.#others.get(seat.info.base.origin)
        void other?.then(
          (there) => this.#leave(there, handlers.left),
          () => undefined,
        )
      },
      abandoned: (seat) => this.#leave(seat, handlers.left),
    }
    this.#sit = (at) => new Seat(at, asker, this.home === undefined, hub, all)
    this.home = this.#sit(info)
  }

  /** A session's, also some time after its end. */
  of(session: SessionId | undefined): Seat {
    return (session && this.#sessions.get(session)) ?? this.home
  }

  reaching(peer: PeerId): Seat {
    return this.#peers.get(peer) ?? this.home
  }

  /** A session lives there, and so do those who take part. */
  keep({ session, stages }: Ticket, seat: Seat): void {
    remember(this.#sessions, session, seat)
    for (const { peer } of stages) remember(this.#peers, peer, seat)
  }

  each(use: (seat: Seat) => void): void {
    use(this.home)
    for (const seat of this.#left) use(seat)
    for (const sitting of this.#others.values()) void sitting.then(use, () => undefined)
  }

  close(reason: ManyhandsError): void {
    this.#closing.abort()
    this.each((seat) => seat.close(reason))
  }

  /** A route from whoever has the model's swarm. @throws ManyhandsError as ControlSocket.request */
  async route(terms: Omit<SessionTerms, 'tensors'>, { signal, onProgress }: CallOptions) {
    let seat = this.home
    const giveUpAt = performance.now() + ownerMs
    for (let moves = 0; ;) {
      try {
        const routed = await seat.socket.request((id) => ({ t: 'open', id, ...terms }), 'route', {
          signal,
          interim: (message) => message.t === 'queued' && onProgress?.({ phase: 'queued', ahead: message.ahead }),
        })
        return { seat, ...routed }
      } catch (thrown) {
        if (!(thrown instanceof Elsewhere) || moves >= maxMoves || performance.now() > giveUpAt) throw thrown
        const followed = await this.follow(thrown.url, signal)
        if (followed.found) moves += 1
        seat = followed.seat
      }
    }
  }

  /** The seat at that address; where nobody answers there, home again after a while: then they know who has the swarm now. */
  async follow(url: string, signal: AbortSignal | undefined): Promise<{ readonly seat: Seat; readonly found: boolean }> {
    try {
      return { seat: await this.#at(url), found: true }
    } catch {
      let timer: ReturnType<typeof setTimeout> | undefined
      await abortable(new Promise<void>((resolve) => (timer = setTimeout(resolve, againMs))), signal).finally(() => clearTimeout(timer))
      return { seat: this.home, found: false }
    }
  }

  #leave(seat: Seat, left: SeatsHandlers['left']): void {
    this.#others.delete(seat.info.base.origin)
    forget(this.#sessions, seat)
    forget(this.#peers, seat)
    seat.leave(new ManyhandsError('unavailable', 'This server is gone.'))
    this.#left.push(seat)
    if (this.#left.length > maxLeft) this.#left.shift()?.close(new ManyhandsError('unavailable', 'This server is gone.'))
    left(seat)
  }

  /** @throws ManyhandsError when it can't be reached */
  #at(url: string): Promise<Seat> {
    const { origin } = new URL(url)
    if (this.home.info.base.origin === origin) return Promise.resolve(this.home)
    const known = this.#others.get(origin)
    if (known) return known
    const sitting = this.#sitAt(origin)
    this.#others.set(origin, sitting)
    sitting.catch(() => this.#others.delete(origin))
    return sitting
  }

  async #sitAt(url: string): Promise<Seat> {
    const seat = this.#sit(await discover(url, this.#closing.signal))
    try {
      await seat.ready
      return seat
    } catch (thrown) {
      seat.close(asError(thrown))
      throw thrown
    }
  }
}

function remember<K>(seats: Map<K, Seat>, key: K, seat: Seat): void {
  seats.delete(key)
  seats.set(key, seat)
  if (seats.size > maxRemembered) seats.delete(seats.keys().next().value as K)
}

function forget<K>(seats: Map<K, Seat>, seat: Seat): void {
  for (const [key, at] of seats) if (at === seat) seats.delete(key)
}
