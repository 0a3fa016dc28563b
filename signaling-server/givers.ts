/**
 * Volunteers who give for a project: whom they serve follows what the project says now, and ends when it ends. What they had
 * begun for somebody is finished. docs/protocol.md [PJ].
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import type { PeerId, ProjectId } from '../protocol/ids.ts'
import type { Audience } from '../protocol/projects.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import type { Roster } from './roster.ts'

export interface GiversPorts {
  readonly roster: Roster
  /** A project's; undefined when there is none, or no longer. */
  audience(project: ProjectId): Audience | undefined
  consented(project: ProjectId, peer: PeerId, network: string | undefined): void
  /** Others take its sessions over, where they can. */
  handOver(peer: PeerId): void
  roomMade(): void
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
}

/** Peers whose project is remembered when they have gone: their work is judged minutes later. */
const maxRemembered = 50_000
export const endedReason = 'The project that you gave for has ended here. Thank you. You can give to everybody instead.'

export class Givers {
  readonly #ports: GiversPorts
  readonly #gave = new Map<PeerId, ProjectId>()
  /** Their project has ended while they served somebody. */
  readonly #ending = new Set<PeerId>()

  constructor(ports: GiversPorts) {
    this.#ports = ports
  }

  /** What it gives for, or gave for lately. */
  gaveFor(peer: PeerId): ProjectId | undefined {
    return this.#gave.get(peer)
  }

  offer(peer: PeerId, key: string, network: string | undefined, offer: Extract<ClientMessage, { t: 'offer' }>): void {
    const { roster, audience, consented } = this.#ports
    const { project } = offer
    this.#ending.delete(peer)
    this.#gave.delete(peer)
    if (project === undefined) return roster.offer(peer, key, network, offer)
    const whom = audience(project)
    if (!whom) return this.#end(peer)
    this.#gave.set(peer, project)
    if (this.#gave.size > maxRemembered) this.#gave.delete(this.#gave.keys().next().value as PeerId)
    consented(project, peer, network)
    roster.offer(peer, key, network, offer, { project, audience: whom })
  }

  changed(project: ProjectId): void {
    const { roster, audience, handOver, roomMade } = this.#ports
    const whom = audience(project)
    for (const v of roster.volunteers()) {
      if (v.gives?.project !== project) continue
      if (whom) v.gives = { project, audience: whom }
      else if (!v.holding) this.#end(v.peer)
      else {
        this.#ending.add(v.peer)
        roster.leaving(v.peer)
        handOver(v.peer)
      }
    }
    roomMade()
  }

  /** Whoever serves nobody any more is told that it is over. */
  tick(): void {
    const { roster } = this.#ports
    for (const peer of this.#ending) {
      const v = roster.volunteer(peer)
      if (v && v.sessions > 0) continue
      this.#ending.delete(peer)
      roster.dismiss(peer, endedReason)
    }
  }

  #end(peer: PeerId): void {
    this.#ports.roster.leave(peer)
    this.#ports.send(peer, { t: 'idle', reason: endedReason })
  }
}
