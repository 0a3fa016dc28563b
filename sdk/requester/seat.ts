/**
 * A requester's seat at one server: control socket and broker together. The one at home goes to another server when its own
 * is lost; the others are left then, and home knows who has their swarms.
 */
import type { Identity } from '../../protocol/keys.ts'
import type { ManyhandsError } from '../../protocol/errors.ts'
import type { ServerMessage } from '../../protocol/server-messages.ts'
import { deferred } from '../../link/deferred.ts'
import { ControlSocket, type ControlHandlers, type Welcome } from '../network/control-socket.ts'
import { discover, type ServerInfo } from '../network/discovery.ts'
import { PeerHub, type HubHandlers } from '../network/peer-hub.ts'
import { ServerMoves } from '../network/server-moves.ts'

/** Who asks, and for which project. */
export interface Asker {
  readonly identity: Identity
  /** The project's key. */
  readonly apiKey?: string
}

export interface SeatHandlers {
  /** @param anew whether this server start knows nothing of what was under way */
  welcomed(seat: Seat, welcome: Welcome, anew: boolean): void
  message(seat: Seat, message: ServerMessage): void
  lost(seat: Seat): void
  /** It is at another server now. */
  arrived(seat: Seat): void
  /** Its server is gone, and it is not one that goes elsewhere. */
  abandoned(seat: Seat): void
}

/** Dials that fail before a server is given up: one may be a restart. */
const failuresBefore = 2

export class Seat {
  readonly socket: ControlSocket
  readonly hub: PeerHub
  readonly #moves: ServerMoves
  readonly #handlers: SeatHandlers
  readonly #isHome: boolean
  readonly #first = deferred<void>()
  /** The server's start, as it said at the last welcome. */
  #boot: string | undefined
  #failures = 0

  constructor(info: ServerInfo, { identity, apiKey }: Asker, isHome: boolean, hub: HubHandlers, handlers: SeatHandlers) {
    this.#isHome = isHome
    this.#handlers = handlers
    this.#first.promise.catch(() => undefined)
    this.hub = new PeerHub(info, false, hub)
    const control: ControlHandlers = {
      welcomed: (welcome) => {
        const anew = this.#boot !== undefined && this.#boot !== welcome.boot
        this.#boot = welcome.boot
        this.#failures = 0
        this.#moves.welcomed(welcome.servers)
        this.#first.resolve()
        void this.hub.welcomed(welcome)
        handlers.welcomed(this, welcome, anew)
      },
      message: (message) => {
        if (message.t === 'servers') this.#moves.heard(message.servers)
        else handlers.message(this, message)
      },
      lost: (reason) => {
        this.#first.reject(reason)
        handlers.lost(this)
        this.#dialAgain()
      },
    }
    this.socket = new ControlSocket(info, identity, control, apiKey)
    this.#moves = new ServerMoves(info, {
      discover: (url) => discover(url),
      socket: this.socket,
      arrived: (other) => {
        this.hub.move(other)
        handlers.arrived(this)
      },
      uptime: () => performance.now(),
    })
  }

  get info(): ServerInfo {
    return this.#moves.info
  }

  /** Resolves with the first welcome. @throws ManyhandsError when the first dial fails */
  get ready(): Promise<void> {
    return this.#first.promise
  }

  #dialAgain(): void {
    if (this.#isHome) return this.#moves.lost()
    this.#failures += 1
    if (this.#failures === failuresBefore) this.#handlers.abandoned(this)
  }

  /** The server is done with; connections that it brokered are kept until they are released, or `close`. */
  leave(reason: ManyhandsError): void {
    this.#first.reject(reason)
    this.#moves.close()
    this.hub.leave()
    this.socket.close()
  }

  close(reason: ManyhandsError): void {
    this.#first.reject(reason)
    this.#moves.close()
    this.hub.close()
    this.socket.close()
  }
}
