/**
 * Sessions that live on without the server: after its restart, or when another process takes over their swarm, everybody who
 * takes part shows the ticket that he has, and the session is taken over as it is. docs/protocol.md [AD].
 */
import { asError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import { checkTicket, type Ticket } from '../protocol/ticket.ts'
import { CustodyLedger } from './custody-ledger.ts'
import type { Failover } from './failover.ts'
import { isParty, isStageOf, type Session } from './live-session.ts'
import type { SessionTable } from './session-table.ts'
import type { Volunteer } from './swarm.ts'

/** The stages of a session that is taken over are waited for so long: they come back within seconds, each by its own socket. */
export const gatherMs = 5_000
/** Sessions whose tickets are being checked at once: what comes beyond is refused, and comes again with the next reconnection. */
const maxChecking = 1_000

export class Adoption {
  readonly #table: SessionTable
  readonly #failover: Failover
  /** What is being checked, in the order in which it came: proofs that follow a ticket wait for it. */
  readonly #checking = new Map<SessionId, Promise<void>>()

  constructor(table: SessionTable, failover: Failover) {
    this.#table = table
    this.#failover = failover
  }

  /** A ticket that somebody who takes part shows. Never throws: whoever shows what is not good here hears that it is over. */
  adopt(peer: PeerId, ticket: Ticket): void {
    const { session } = ticket
    if (!this.#checking.has(session) && this.#checking.size >= maxChecking) return this.#over(peer, session)
    const before = this.#checking.get(session) ?? Promise.resolve()
    const checked: Promise<void> = before
      .then(() => this.#adopt(peer, ticket))
      .catch((thrown: unknown) => {
        const error = asError(thrown)
        if (error.code === 'internal') this.#table.ports.failed(thrown)
        this.#over(peer, session)
      })
      .finally(() => {
        if (this.#checking.get(session) === checked) this.#checking.delete(session)
      })
    this.#checking.set(session, checked)
  }

  /** Resolves when the tickets of this session that came so far are checked; undefined when none is being. */
  checking(session: SessionId): Promise<void> | undefined {
    return this.#checking.get(session)
  }

  tick(): void {
    const now = this.#table.ports.uptime()
    for (const s of this.#table.all()) if (s.gatheringUntil !== undefined && now > s.gatheringUntil) this.#gathered(s)
  }

  async #adopt(peer: PeerId, given: Ticket): Promise<void> {
    const { serverKeys, now } = this.#table.ports
    let s = this.#table.get(given.session)
    if (!s && this.#table.over(given.session)) return this.#over(peer, given.session)
    if (!s?.ledger?.tickets.some((t) => t.signature === given.signature)) {
      const ticket = await checkTicket(given, serverKeys(), now())
      if (peer !== ticket.requester.peer && !isStageOf(ticket, peer)) return
      s = this.#table.get(ticket.session) ?? this.#begin(ticket)
      if (!s) return this.#over(peer, ticket.session)
      const latest = s.ledger?.ticket.generation ?? -1
      s.ledger?.turn(ticket)
      // One that only some had heard of when the server went.
      if (ticket.generation > latest) this.#gather(s)
    }
    if (s && !s.settling) this.#back(s, peer)
  }

  /** Undefined where the model is not, or no longer, this server's. */
  #begin(ticket: Ticket): Session | undefined {
    const { swarm, uptime, now, epochOf } = this.#table.ports
    const model = swarm(ticket.revision)?.model
    if (!model) return undefined
    const { session, requester, revision, maxPositions, sampling, maxRows, expiresAt } = ticket
    const startedAt = uptime()
    const s: Session = {
      asked: { ...requester, network: undefined, id: undefined, revision, maxPositions, sampling },
      session,
      request: session,
      manifest: model.manifest,
      epoch: epochOf(revision),
      startedAt,
      expiresAt,
      maxRows,
      stages: [],
      ledger: new CustodyLedger(ticket),
      attempt: 0,
      without: new Set(),
      slow: new Set(),
      brokenLinks: new Map(),
      leaving: new Map(),
      faults: 0,
      quietUntil: 0,
      closing: false,
      dueAt: startedAt + (expiresAt - now()),
      released: false,
    }
    this.#table.add(s)
    this.#table.counts.adopted += 1
    this.#table.log(s, `taken over from before, generation ${ticket.generation}`)
    this.#gather(s)
    return s
  }

  #gather(s: Session): void {
    if (s.done) return
    this.#table.seat(s, [])
    s.gatheringUntil = this.#table.ports.uptime() + gatherMs
  }

  /** One who takes part is here, and shows a ticket of the session's, perhaps an outdated one. */
  #back(s: Session, peer: PeerId): void {
    const ticket = s.ledger?.ticket
    if (!ticket || !isParty(s, peer)) return
    if (peer === s.asked.peer) return void (s.gatheringUntil === undefined && this.#table.tellTicket(s, ticket))
    if (!isStageOf(ticket, peer)) return this.#over(peer, s.session)
    if (s.gatheringUntil === undefined) return void this.#table.ports.send(peer, { t: 'session', ticket })
    const stages = ticket.stages.map((stage) => {
      const seated = s.stages.find((v) => v.peer === stage.peer)
      return seated ?? (stage.peer === peer ? this.#holder(ticket.revision, stage) : undefined)
    })
    this.#table.seat(
      s,
      stages.filter((v) => v !== undefined),
    )
    if (stages.every((v) => v !== undefined)) this.#gathered(s)
  }

  #holder(revision: Revision, { peer, blocks }: Ticket['stages'][number]): Volunteer | undefined {
    for (const v of this.#table.ports.swarm(revision)?.members ?? []) {
      const { holding } = v
      if (v.peer === peer && holding?.ready && holding.blocks.first === blocks[0] && holding.blocks.end === blocks[1]) return v
    }
    return undefined
  }

  /** Everybody is back, or has been waited for: whoever is not back is replaced. */
  #gathered(s: Session): void {
    delete s.gatheringUntil
    if (s.released) return
    // Nobody computes it any more: what a lone requester shows is a memory.
    if (s.stages.length === 0) return this.#table.fail(s, { code: 'peer-lost', message: 'All volunteers of this answer are gone.' })
    if (s.stages.length < (s.ledger?.ticket.stages.length ?? 0)) this.#failover.goOn(s, 'Not everybody came back.')
  }

  #over(peer: PeerId, session: SessionId): void {
    this.#table.ports.send(peer, { t: 'session-closed', session })
  }
}
