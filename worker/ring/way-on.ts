/**
 * A session's way to the next stage round the ring: reached anew in every generation, told where to resume, asked from where
 * it wants rows; then they are sent, and at last the end. docs/protocol.md [RR].
 */
import type { LinkKey } from '../../link/custody-link.ts'
import { deferred } from '../../link/deferred.ts'
import type { OutLink } from '../../link/out-link.ts'
import type { Outlet } from '../../link/outlet.ts'
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import type { PeerId } from '../../protocol/ids.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import type { Ticket } from '../../protocol/ticket.ts'

/** A link that breaks while a generation begins is made anew so often; then the server is told. */
const mostReconnects = 2

type End = Extract<LinkMessage, { t: 'end' }>

/** The answer was given to its end, and so all of its rows count. */
export const isWhole = ({ finish }: Pick<End, 'finish'>): boolean => finish === 'stop' || finish === 'length'

export interface WayPorts {
  /** The link to a peer, dialled where need be; straight back where it is this very one. */
  link(peer: PeerId): Promise<Outlet>
  lost(peer: PeerId, error: ManyhandsError): void
}

/** One generation's. */
interface Era {
  readonly ticket: Ticket
  readonly peer: PeerId
  readonly key: LinkKey
  reached: Promise<Outlet>
  /** The link in use, once it is there. */
  outlet: Outlet | undefined
  /** Where the ring resumes, once that is known. */
  rows: number | undefined
  /** The next stage has said from where it wants rows. */
  asked: boolean
  /** Resolved then, or when it won't any more. */
  readonly whenAsked: ReturnType<typeof deferred<void>>
  reconnects: number
}

export class WayOn {
  readonly #out: OutLink
  readonly #ports: WayPorts
  #era: Era | undefined

  constructor(out: OutLink, ports: WayPorts) {
    this.#out = out
    this.#ports = ports
  }

  /** A generation begins. In the first nobody has to ask. */
  enter(ticket: Ticket, peer: PeerId, key: LinkKey): void {
    this.leave()
    const era: Era = {
      ticket,
      peer,
      key,
      reached: this.#reach(ticket, peer),
      outlet: undefined,
      rows: undefined,
      asked: false,
      whenAsked: deferred<void>(),
      reconnects: 0,
    }
    this.#era = era
    this.#whenReached((outlet) => {
      era.outlet = outlet
      if (ticket.generation === 0) this.gap(0, outlet)
    })
  }

  /** The generation is over: what was sent in it is signed. */
  leave(): void {
    this.#out.stop()
    this.#era?.whenAsked.resolve()
    this.#era = undefined
  }

  resume(rows: number): void {
    const era = this.#era
    if (!era) return
    era.rows = rows
    const { session, generation } = era.ticket
    this.#whenReached((outlet) => outlet.sendMessage({ t: 'resume', session, generation, rows }))
  }

  gap(held: number, via: Outlet): void {
    const era = this.#era
    if (!era || era.asked) return
    era.asked = true
    // Whatever follows goes the way that was answered from, behind what is sent on it.
    era.outlet = via
    era.reached = Promise.resolve(via)
    era.whenAsked.resolve()
    this.#out.go(era.key, via, held)
  }

  /** Behind everything that the next stage has asked for, and its signatures. */
  async end(message: End): Promise<void> {
    const era = this.#era
    if (isWhole(message)) await era?.whenAsked.promise
    await this.#out.flush()
    if (!era || era !== this.#era) return
    this.#whenReached((outlet) => outlet.sendMessage(message))
    // The next stage may still have to be reached.
    await era.reached.catch(() => undefined)
  }

  /** A link that may be this one's is gone. In the middle of things that is told; before anything was agreed it is made anew. */
  linkLost(peer: PeerId, error: ManyhandsError, link: Outlet): void {
    const era = this.#era
    if (!era || !this.uses(peer, link)) return
    if (era.ticket.generation === 0 || era.asked || era.reconnects >= mostReconnects) return this.#ports.lost(peer, error)
    era.reconnects += 1
    era.outlet = undefined
    era.reached = this.#reach(era.ticket, peer)
    this.#whenReached((outlet) => (era.outlet = outlet))
    if (era.rows !== undefined) this.resume(era.rows)
  }

  uses(peer: PeerId, link: Outlet): boolean {
    return peer === this.#era?.peer && (this.#era.outlet ?? link) === link
  }

  async #reach(ticket: Ticket, peer: PeerId): Promise<Outlet> {
    const outlet = await this.#ports.link(peer)
    if (ticket === this.#era?.ticket) outlet.sendMessage({ t: 'open', ticket })
    return outlet
  }

  /** For as long as the generation is the same. */
  #whenReached(use: (outlet: Outlet) => void): void {
    const era = this.#era
    era?.reached.then(
      (outlet) => era === this.#era && use(outlet),
      (thrown: unknown) => era === this.#era && this.#ports.lost(era.peer, asError(thrown)),
    )
  }
}
