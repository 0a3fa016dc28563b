/**
 * Trust as sessions, routing and the roster ask for it: standings and audits behind one port, loaded when a volunteer offers,
 * told to it when they change. docs/protocol.md [TR], [AU].
 */
import { randomBytes } from 'node:crypto'
import type { ClientMessage } from '../protocol/client-messages.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ServerMessage, StandingInfo } from '../protocol/server-messages.ts'
import type { Backend } from '../protocol/ticket.ts'
import { Audits } from './audits.ts'
import type { Named } from './custody-check.ts'
import type { GaveFor } from './projects/tally.ts'
import type { Serving } from './routing.ts'
import { settleLeftOver } from './settlement-sweep.ts'
import { Standings } from './standings.ts'
import type { Store } from './store.ts'
import { isServing, type Volunteer } from './swarm.ts'
import type { EndedSession, Trust } from './trust-port.ts'
import { backendKey, isQuarantined } from './trust/quarantine.ts'
import { routingCost } from './trust/standing.ts'

export interface TrustKeeperPorts {
  readonly identity: Identity
  readonly store: Store
  /** Peers that the operator trusts from the start. */
  readonly anchors: ReadonlySet<PeerId>
  epochOf(revision: Revision): number
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
  /** Who holds, or is loading, a part of a model. */
  members(revision: Revision): Iterable<Volunteer>
  volunteer(peer: PeerId): Volunteer | undefined
  readonly gaveFor: GaveFor
  /** What it holds is over. */
  dismiss(peer: PeerId, reason: string): void
  /** Its requester is told; its correction must do without these. */
  wrong(session: SessionId, reason: string, without: readonly PeerId[]): void
  /** Wall time, ms since 1970. */
  now(): number
  uptime(): number
  log(line: string): void
  failed(thrown: unknown): void
}

type Of<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>

export const barredReason = 'What this device computed was found wrong more than once. It can give again in a week.'

export class TrustKeeper implements Trust {
  readonly audits: Audits
  readonly #ports: TrustKeeperPorts
  readonly #standings: Standings
  /** Of a random word, so that nobody foresees who is audited. */
  readonly #random = () => randomBytes(4).readUInt32LE() / 2 ** 32

  constructor(ports: TrustKeeperPorts) {
    this.#ports = ports
    this.#standings = new Standings({
      ...ports,
      changed: (peer, standing, barred) => {
        ports.send(peer, { t: 'standing', standing })
        if (barred && ports.volunteer(peer)?.holding) ports.dismiss(peer, barredReason)
      },
    })
    this.audits = new Audits({
      ...ports,
      standings: this.#standings,
      serving: (revision) => [...ports.members(revision)].filter((v): v is Serving => isServing(v)),
      volunteer: (peer) => serving(ports.volunteer(peer)),
      online: (peer) => {
        const v = ports.volunteer(peer)
        return v !== undefined && v.awaySince === undefined
      },
      random: this.#random,
      randomBytes,
      doubted: (key) => this.#doubted(key),
    })
  }

  // ---- What sessions, routing and the roster ask -----------------------------------------------------------------------

  mayProduce(peer: PeerId): boolean {
    return this.#standings.mayProduce(peer) && !this.audits.withholds(peer)
  }

  barred(peer: PeerId): boolean {
    return this.#standings.rank(peer) === 'barred'
  }

  routingCost(peer: PeerId, onlineMs: number): number {
    return routingCost(this.#standings.known(peer), onlineMs)
  }

  lessTrusted(a: PeerId, b: PeerId): PeerId {
    return this.#standings.lessTrusted(a, b)
  }

  quarantined(revision: Revision, backend: Backend, adapter: string): boolean {
    return isQuarantined(this.#standings.backend(backendKey(revision, backend, adapter)))
  }

  /** How far a peer is trusted, in the words that it is told itself. */
  trustOf(peer: PeerId): StandingInfo['state'] {
    return this.#standings.info(peer).state
  }

  /** Backends that nobody serves a model with, since they were found wrong on it. */
  quarantines(): string[] {
    return this.#standings.quarantined()
  }

  ended(session: EndedSession, receipt: Receipt): void {
    void this.audits.ended(session, receipt)
  }

  failedCustody(session: SessionId, revision: Revision, named: readonly Named[]): void {
    this.audits.foundWrong(session)
    const first = new Map(named.map((n) => [n.peer, n]))
    if (first.size === 0) return
    this.#ports.wrong(session, 'What was passed on between volunteers was not what it was said to be.', [...first.keys()])
    const at = this.#ports.now()
    void this.#standings
      .commit(revision, [...first.keys()], (draft) =>
        [...first.values()].map(({ peer, why }) => {
          draft.lost(peer)
          return { t: 'strike', entry: { cause: session, peer, why: why.slice(0, 300), at } } as const
        }),
      )
      .catch((thrown: unknown) => this.#ports.failed(thrown))
  }

  // ---- What it is told -------------------------------------------------------------------------------------------------

  /** A volunteer is there. @param network the prefix of its address, where that counts */
  joined(peer: PeerId, network: string | undefined): void {
    void this.#standings.load(peer, network)
  }

  /** It serves with a backend of which the store may know something. */
  serves(peer: PeerId): void {
    const { holding } = serving(this.#ports.volunteer(peer)) ?? {}
    if (!holding) return
    const { revision } = holding
    const { backend, adapter } = holding.ready
    void this.#standings.loadBackend(backendKey(revision, backend, adapter)).then(() => {
      if (this.#ports.volunteer(peer)?.holding === holding && this.quarantined(revision, backend, adapter))
        this.#ports.dismiss(peer, doubtedReason(backend))
    })
  }

  gone(peer: PeerId): void {
    this.audits.gone(peer)
  }

  receive(peer: PeerId, message: Of<'audited' | 'sketched' | 'unaudited' | 'dispute'>): void {
    switch (message.t) {
      case 'audited':
        return this.audits.audited(peer, message)
      case 'sketched':
        return this.audits.sketched(peer, message)
      case 'unaudited':
        return this.audits.unaudited(peer, message)
      case 'dispute':
        return this.audits.dispute(peer, message)
    }
  }

  /** A swarm is ours from now on: what the server before left unsettled is settled with what was done. */
  owned(revision: Revision): void {
    void settleLeftOver(revision, this.#standings, this.#ports)
  }

  tick(): void {
    this.audits.tick()
  }

  /** Resolves when all outcomes so far are written. */
  written(): Promise<void> {
    return this.#standings.written()
  }

  #doubted(key: string): void {
    for (const v of this.#servingWith(key)) this.#ports.dismiss(v.peer, doubtedReason(v.holding.ready.backend))
  }

  #servingWith(key: string): Serving[] {
    const [revision] = key.split(' ') as [Revision]
    return [...this.#ports.members(revision)].filter(
      (v): v is Serving => v.holding?.ready !== undefined && backendKey(revision, v.holding.ready.backend, v.holding.ready.adapter) === key,
    )
  }
}

const serving = (v: Volunteer | undefined): Serving | undefined => (v?.holding?.ready ? (v as Serving) : undefined)

const doubtedReason = (backend: Backend) => `What ${backend} computes of this model on devices like this one was found wrong.`
