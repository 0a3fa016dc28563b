/**
 * The standbys there are: who computes which stage's rows alongside, fed by the stage's upstream. Each takes room in a cache
 * and gives it back once, when its session ends, when it takes the stage's place, or when what feeds it is gone.
 */
import { toHex } from '../protocol/bytes.ts'
import type { PeerId, SessionId } from '../protocol/ids.ts'
import { signShadowTicket, type ShadowTicket } from '../protocol/shadow.ts'
import { linkEnds, type TicketStage } from '../protocol/ticket.ts'
import { seenFrom } from './audience.ts'
import { answerFrom } from './audit-plan.ts'
import { stagePeers, type Session } from './live-session.ts'
import type { SessionTable } from './session-table.ts'
import { standbyFor, standbyPays } from './standby.ts'
import type { Volunteer } from './swarm.ts'

interface Standby {
  /** The name of its shadow ticket. */
  readonly shadow: SessionId
  readonly session: SessionId
  readonly volunteer: Volunteer
  readonly positions: number
  /** Whose stage, and who feeds it: without either it stands by for nothing. */
  readonly stage: PeerId
  readonly source: PeerId
  /** Rows that it said it has run. */
  held: number
}

/** Standbys begun in one tick, so that a server full of long answers does not begin them all at once. */
const mostPerTick = 16

export class Standbys {
  readonly #table: SessionTable
  readonly #standbys = new Map<SessionId, Standby>()

  constructor(table: SessionTable) {
    this.#table = table
  }

  get size(): number {
    return this.#standbys.size
  }

  stoodBy(session: SessionId, v: Volunteer): boolean {
    return this.of(session).some((s) => s.volunteer === v)
  }

  of(session: SessionId): Standby[] {
    return [...this.#standbys.values()].filter((s) => s.session === session)
  }

  /** Whoever stands by for this stage, if anybody can: the one there is, or another from now on. */
  ask(s: Session, stage: PeerId): boolean {
    if (this.of(s.session).some((standby) => standby.stage === stage)) return true
    const { ledger, asked, maxRows, manifest } = s
    const ticket = ledger?.ticket
    const index = ticket?.stages.findIndex((t) => t.peer === stage) ?? -1
    const everybody = this.#table.ports.swarm(asked.revision)?.members
    const members = everybody && seenFrom(asked.viewpoint, everybody)
    if (!ticket || index < 0 || !members) return false
    // Whoever stands by for a last stage chooses tokens as it does: from the prompt's end on, which the answer's first chunk shows.
    const last = index === ticket.stages.length - 1
    if (last && manifest.decoder && answerFrom(ledger) === undefined) return false
    const [first, end] = (ticket.stages[index] as TicketStage).blocks
    const taken = new Set([...stagePeers(s), ...s.without, ...this.of(s.session).map((standby) => standby.volunteer.peer)])
    const wanted = { blocks: { first, end }, taken, maxPositions: asked.maxPositions, maxRows, decoder: manifest.decoder !== undefined }
    const volunteer = standbyFor(members, wanted, (v) => this.#standingAt(v))
    if (!volunteer) return false
    const standby: Standby = {
      shadow: toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId,
      session: s.session,
      volunteer,
      positions: asked.maxPositions,
      stage,
      source: linkEnds(ticket, index)?.from as PeerId,
      held: 0,
    }
    this.#standbys.set(standby.shadow, standby)
    volunteer.positions += standby.positions
    this.#table.log(s, `${volunteer.peer.slice(0, 8)} stands by for ${stage.slice(0, 8)}`)
    this.#begin(standby, s, index).catch((thrown: unknown) => {
      this.#table.ports.failed(thrown)
      this.#drop(standby)
    })
    return true
  }

  /** How far the one is that stands by for a stage; it is asked again each time. */
  held(session: SessionId, stage: PeerId): number {
    const standby = this.of(session).find((s) => s.stage === stage)
    if (!standby) return 0
    this.#table.ports.send(standby.volunteer.peer, { t: 'probe', session: standby.shadow })
    return standby.held
  }

  /** An answer to `held`'s question. False when it is none of a standby's. */
  pace(peer: PeerId, shadow: SessionId, held: number): boolean {
    const standby = this.#standbys.get(shadow)
    if (standby?.volunteer.peer !== peer) return false
    standby.held = held
    return true
  }

  /** It can't be done there. False when it is none of a standby's. */
  failed(peer: PeerId, shadow: SessionId): boolean {
    const standby = this.#standbys.get(shadow)
    if (standby?.volunteer.peer !== peer) return false
    this.#drop(standby)
    return true
  }

  /** A volunteer is gone: what it stood by for is without one. */
  lost(peer: PeerId): void {
    for (const standby of this.#standbys.values()) if (standby.volunteer.peer === peer) this.#drop(standby)
  }

  /** The session is over. */
  close(session: SessionId): void {
    for (const standby of this.of(session)) this.#close(standby)
  }

  /** Long sessions get theirs; those whose stage or source is no more are let go. */
  tick(): void {
    let begun = 0
    for (const standby of this.#standbys.values()) this.#check(standby)
    for (const s of this.#table.all()) {
      if (s.released || s.closing || s.waiting || s.gatheringUntil !== undefined || !s.ledger) continue
      if (s.stages.length !== s.ledger.ticket.stages.length) continue
      const rows = s.ledger.rows(0)
      const now = this.#table.ports.uptime()
      for (const { peer, since } of s.stages) {
        if (begun >= mostPerTick) return
        if (!standbyPays(rows, s.manifest.decoder !== undefined, now - since)) continue
        if (this.of(s.session).some((standby) => standby.stage === peer)) continue
        if (this.ask(s, peer)) begun += 1
      }
    }
  }

  #check(standby: Standby): void {
    const s = this.#table.get(standby.session)
    const ticket = s?.ledger?.ticket
    if (!s || s.released || !ticket) return this.#close(standby)
    // It has taken the stage's place: what it computed is the session's now.
    if (s.stages.includes(standby.volunteer)) return this.#drop(standby)
    const index = ticket.stages.findIndex((t) => t.peer === standby.stage)
    if (index < 0 || linkEnds(ticket, index)?.from !== standby.source) this.#close(standby)
  }

  async #begin({ shadow, volunteer, source }: Standby, s: Session, index: number): Promise<void> {
    const { identity, now, send } = this.#table.ports
    const ticket = s.ledger?.ticket
    const stage = ticket?.stages[index]
    const feeder = ticket?.stages.find((t) => t.peer === source)
    if (!ticket || !stage || !feeder) return this.#drop(this.#standbys.get(shadow))
    const signed: ShadowTicket = await signShadowTicket(
      {
        v: 1,
        shadow,
        role: 'standby',
        session: s.session,
        revision: ticket.revision,
        stage: index,
        blocks: stage.blocks,
        last: index === ticket.stages.length - 1,
        peer: volunteer.peer,
        key: volunteer.key,
        source: { peer: feeder.peer, key: feeder.key },
        link: index,
        rows: 0,
        inputCuts: [],
        outputs: [],
        promptLength: (s.ledger && answerFrom(s.ledger)) ?? 0,
        sampling: ticket.sampling,
        maxPositions: ticket.maxPositions,
        maxRows: ticket.maxRows,
        backend: stage.backend,
        issuedAt: now(),
        expiresAt: ticket.expiresAt,
        serverKey: identity.publicKey,
      },
      identity.privateKey,
    )
    if (this.#standbys.has(shadow) && !send(volunteer.peer, { t: 'shadow', ticket: signed })) this.#drop(this.#standbys.get(shadow))
  }

  #standingAt(v: Volunteer): number {
    let standing = 0
    for (const standby of this.#standbys.values()) if (standby.volunteer === v) standing += 1
    return standing
  }

  #close(standby: Standby): void {
    const { shadow, volunteer } = standby
    if (!this.#standbys.has(shadow)) return
    this.#drop(standby)
    this.#table.ports.send(volunteer.peer, { t: 'shadow-closed', shadow })
  }

  /** The one place where its room is given back. */
  #drop(standby: Standby | undefined): void {
    if (standby && this.#standbys.delete(standby.shadow)) standby.volunteer.positions -= standby.positions
  }
}
