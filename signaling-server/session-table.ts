/**
 * The sessions there are, and what everything that happens to them is made of: places taken and given back exactly once,
 * tickets signed and told to all whom they concern, and the end. Who decides is sessions.ts, failover.ts and adoption.ts.
 */
import { ManyhandsError, type WireError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { maxPositions as mostPositions } from '../protocol/limits.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { signTicket, type Ticket } from '../protocol/ticket.ts'
import { CustodyLedger } from './custody-ledger.ts'
import { stagePeers, whose, type Session } from './live-session.ts'
import type { GaveFor } from './projects/tally.ts'
import type { Choice } from './routing.ts'
import type { Store } from './store.ts'
import type { Swarm, Volunteer } from './swarm.ts'
import type { Trust } from './trust-port.ts'

export interface SessionsPorts {
  readonly identity: Identity
  readonly store: Store
  readonly trust: Trust
  /** Keys whose tickets are taken over after a restart: one's own, past ones, and those of the other processes. */
  serverKeys(): readonly string[]
  /** A model that is offered, with its volunteers. */
  swarm(revision: Revision): Swarm | undefined
  epochOf(revision: Revision): number
  /** Of a volunteer, the project that it gives for, or gave for lately. */
  readonly gaveFor: GaveFor
  send(peer: PeerId, message: ServerMessage): boolean
  /** Wall time in milliseconds since 1970: for what is signed. */
  now(): number
  /** Milliseconds since some moment, which never step back: for what lasts. */
  uptime(): number
  /** Uniform in [0, 1). */
  random(): number
  log(line: string): void
  /** A bug of ours, or a store that does not take what is written; for the log. */
  failed(thrown: unknown): void
}

/** Who took part in a session that is over, for those that must be apart from it or do it again. */
export interface Over {
  readonly requester: PeerId
  readonly request: SessionId
  readonly peers: ReadonlySet<PeerId>
  /** Whom its correction must do without; undefined while nobody has found it wrong. */
  wrong?: Set<PeerId>
}

/** Sessions that are over and still spoken of: those of the last minutes on a busy server, some 3 MB. */
const maxOver = 10_000
/** Reroutes of one session: past them something else is wrong. */
export const maxGenerations = 32

export class SessionTable {
  /** Totals since the start, for /metrics. */
  readonly counts = { opened: 0, adopted: 0, rerouted: 0, settled: 0, failed: 0, wrong: 0, busy: 0, chunksChecked: 0, chunksFailed: 0 }
  readonly ports: SessionsPorts
  readonly #sessions = new Map<SessionId, Session>()
  readonly #over = new Map<SessionId, Over>()
  /** Sessions under way, by network and by key. */
  readonly #places = new Map<string, number>()
  readonly #released: (s: Session) => void

  /** @param released a session's places are free again */
  constructor(ports: SessionsPorts, released: (s: Session) => void) {
    this.ports = ports
    this.#released = released
  }

  get(session: SessionId): Session | undefined {
    return this.#sessions.get(session)
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values()
  }

  /** Those that have a stage at this peer. */
  at(peer: PeerId): Session[] {
    return [...this.#sessions.values()].filter((s) => !s.released && s.stages.some((v) => v.peer === peer))
  }

  get live(): number {
    let live = 0
    for (const s of this.#sessions.values()) if (!s.released) live += 1
    return live
  }

  over(session: SessionId): Over | undefined {
    return this.#over.get(session)
  }

  placesOf(who: string): number {
    return this.#places.get(who) ?? 0
  }

  add(s: Session): void {
    this.#sessions.set(s.session, s)
    for (const who of whose(s.asked)) this.#places.set(who, this.placesOf(who) + 1)
  }

  /** Over and forgotten, but for who took part. */
  remove(s: Session): void {
    this.release(s)
    this.remember(s)
    this.#sessions.delete(s.session)
  }

  /** It goes on at another server: nobody hears that it is over, for it is not. */
  letGo(s: Session): void {
    this.release(s)
    this.#sessions.delete(s.session)
  }

  /** Who took part in it so far. */
  remember(s: Session): Over {
    const wrong = this.#over.get(s.session)?.wrong
    const over = { requester: s.asked.peer, request: s.request, peers: stagePeers(s), ...(wrong ? { wrong } : {}) }
    this.#over.set(s.session, over)
    if (this.#over.size > maxOver) this.#over.delete(this.#over.keys().next().value as SessionId)
    return over
  }

  /** Takes places for those who serve it from now on, and gives back those of the others. */
  seat(s: Session, stages: readonly Volunteer[]): void {
    if (s.released) return
    const { maxPositions } = s.asked
    for (const v of s.stages) {
      if (stages.includes(v)) continue
      v.sessions -= 1
      v.positions -= maxPositions
    }
    for (const v of stages) {
      if (s.stages.includes(v)) continue
      v.sessions += 1
      v.positions += maxPositions
    }
    s.stages = stages
  }

  release(s: Session): void {
    if (s.released) return
    this.seat(s, [])
    s.released = true
    delete s.waiting
    delete s.probe
    for (const who of whose(s.asked)) {
      const left = this.placesOf(who) - 1
      if (left > 0) this.#places.set(who, left)
      else this.#places.delete(who)
    }
    this.#released(s)
  }

  /** What a choice of peers for it goes by. */
  choice(s: Pick<Session, 'without' | 'asked'>): Choice {
    const { trust, uptime, random } = this.ports
    return {
      viewpoint: s.asked.viewpoint,
      without: s.without,
      mayProduce: (peer) => trust.mayProduce(peer),
      trustCost: (peer, onlineMs) => trust.routingCost(peer, onlineMs),
      now: uptime(),
      random,
    }
  }

  /** The next generation's ticket, for the stages that it has now, to all whom it concerns. */
  issue(s: Session): void {
    s.attempt += 1
    this.#sign(s, s.attempt).catch((thrown: unknown) => {
      this.ports.failed(thrown)
      if (!s.released) this.fail(s, new ManyhandsError('internal', 'The server failed at this request. It has been logged.').toWire())
    })
  }

  /** To its requester: with the id of its request, where that is known. */
  tell(s: Session, message: (id: number) => ServerMessage): boolean {
    return s.asked.id === undefined || this.ports.send(s.asked.peer, message(s.asked.id))
  }

  tellTicket(s: Session, ticket: Ticket): boolean {
    const { id, peer } = s.asked
    return this.ports.send(peer, id === undefined ? { t: 'session', ticket } : { t: 'route', id, ticket })
  }

  tellStages(s: Session, message: ServerMessage, except?: PeerId): void {
    for (const peer of stagePeers(s)) if (peer !== except) this.ports.send(peer, message)
  }

  /** It broke off: the requester hears why, the stages let go. */
  fail(s: Session, error: WireError, except?: PeerId): void {
    this.counts.failed += 1
    const { id, peer } = s.asked
    this.ports.send(peer, id === undefined ? { t: 'session-closed', session: s.session } : { t: 'error', id, error })
    this.end(s, except)
  }

  /** Over without an answer. */
  end(s: Session, except?: PeerId): void {
    this.tellStages(s, { t: 'session-closed', session: s.session }, except)
    this.remove(s)
  }

  log(s: Session, line: string): void {
    this.ports.log(`session ${s.session.slice(0, 8)}: ${line}`)
  }

  async #sign(s: Session, attempt: number): Promise<void> {
    const { asked, session, ledger, maxRows, epoch, expiresAt } = s
    const { identity, now } = this.ports
    const before = ledger?.ticket
    const ticket = await signTicket(
      {
        v: 1,
        session,
        revision: asked.revision,
        requester: { peer: asked.peer, key: asked.key },
        stages: s.stages.filter(hasLoaded).map(({ peer, key, holding: { blocks, ready } }) => ({
          peer,
          key,
          blocks: [blocks.first, blocks.end],
          backend: ready.backend,
        })),
        sampling: asked.sampling,
        maxPositions: Math.min(asked.maxPositions, mostPositions),
        maxRows,
        epoch,
        generation: before ? before.generation + 1 : 0,
        issuedAt: now(),
        expiresAt,
        serverKey: identity.publicKey,
      },
      identity.privateKey,
    )
    // While the ticket was being signed, or told, a stage may have gone: then another is being signed, or the session is over.
    const overtaken = () => s.released || s.attempt !== attempt
    if (overtaken()) return
    if (s.ledger) s.ledger.turn(ticket)
    else s.ledger = new CustodyLedger(ticket)
    const told = new Set([...ticket.stages, ...(before?.stages ?? [])].map((stage) => stage.peer))
    for (const peer of told) this.ports.send(peer, { t: 'session', ticket })
    if (overtaken()) return
    // Who asked and is gone before anything began is not waited for; later the last stage waits.
    if (!this.tellTicket(s, ticket) && !before) this.end(s)
  }
}

type Loaded = Volunteer & { holding: { ready: NonNullable<NonNullable<Volunteer['holding']>['ready']> } }

/** Also of one that takes no new sessions any more. */
const hasLoaded = (v: Volunteer): v is Loaded => v.holding?.ready !== undefined
