/**
 * A volunteer's compute side, whole: one engine, the links to its neighbours, the sessions between. It runs in a tab's
 * worker or in Node, knows no globals, and tells its owner (the SDK) what the server must hear.
 */
import type { Channel } from '../../link/channel.ts'
import type { LinkHistory } from '../../link/history.ts'
import { LinkTable } from '../../link/link-table.ts'
import type { Fingerprints, LinkTerms, PeerLink } from '../../link/peer-link.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId, Revision, SessionId } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'
import { maxMessageBytes, maxUnsignedRows, sessionIdleMs } from '../../protocol/limits.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import { checkTicket, type Ticket } from '../../protocol/ticket.ts'
import type { StageEngine } from '../engine/engine.ts'
import { Scheduler } from './scheduler.ts'
import { KeptHistories } from './kept-histories.ts'
import { Feeds } from './feeds.ts'
import { notTheirs, StageSession, type SessionPorts, type StageWord } from './session.ts'
import type { ShadowWord } from './shadow-session.ts'
import { Shadows } from './shadows.ts'

export interface NodeEvents {
  /** Connect to this peer and hand the channel in. */
  dial(peer: PeerId): void
  /** The channel handed in under this number is done with. */
  released(id: number): void
  /** It takes part by this ticket from now on. */
  opened(ticket: Ticket): void
  proof(proof: Bytes): void
  tellServer(message: StageWord | ShadowWord): void
  /** Sessions came or went, or work was done. */
  changed(): void
}

export interface NodeStats {
  readonly sessions: number
  readonly answers: number
  readonly steps: number
  readonly rows: number
  readonly busyMs: number
  /** Audits done for others, and their rows. */
  readonly audits: number
  readonly auditedRows: number
  readonly sentBytes: number
  readonly receivedBytes: number
}

/** Sessions a stage takes part in at once, whatever the server says. */
const maxSessions = 64
/** Ended sessions whose late frames are ignored in silence. */
const maxRemembered = 1024
/** Frames held for a session whose ticket is being checked: steps that nobody has signed for yet, and the signatures. */
const maxEarlyMessages = 2 * maxUnsignedRows

/** What came for a session whose ticket is being checked, in order. */
interface Early {
  readonly messages: (() => void)[]
  bytes: number
}

export class StageNode {
  readonly links: LinkTable
  readonly scheduler = new Scheduler(() => this.#opening.size > 0 || this.links.unsettled)
  /** What this peer computes again, and what it hands over for others to. */
  readonly shadows: Shadows
  readonly #feeds: Feeds
  readonly #identity: Identity
  readonly #revision: Revision
  readonly #serverKeys: readonly string[]
  readonly #engine: StageEngine
  readonly #events: NodeEvents
  readonly #sessions = new Map<SessionId, StageSession>()
  readonly #opening = new Map<SessionId, { generation: number; promise: Promise<void>; early: Early }>()
  /** The generation that each was in. */
  readonly #ended = new Map<SessionId, number>()
  /** What sessions that are over sent and received, for audits. */
  readonly kept = new KeptHistories()
  readonly #sweep: ReturnType<typeof setInterval>
  #stopped = false
  #answers = 0
  #steps = 0
  #rows = 0
  #busyMs = 0

  constructor(identity: Identity, revision: Revision, serverKeys: readonly string[], engine: StageEngine, events: NodeEvents) {
    this.#identity = identity
    this.#revision = revision
    this.#serverKeys = serverKeys
    this.#engine = engine
    this.#events = events
    this.links = new LinkTable(identity, {
      dial: (peer) => events.dial(peer),
      released: (id) => events.released(id),
      step: (link, step) => this.#step(link, step),
      message: (link, message) => this.#message(link, message),
      custody: (link, signedChunk) => this.#custody(link, signedChunk),
      closed: (peer, reason, link) => {
        for (const session of this.#sessions.values()) session.peerLost(peer, reason, link)
        this.shadows.peerLost(peer, reason)
        this.#feeds.peerLost(peer)
      },
    })
    const ports = this.#ports()
    this.shadows = new Shadows({
      ...ports,
      link: (peer) => this.links.to(peer),
      tellServer: events.tellServer,
      self: identity.id,
      revision,
      serverKeys,
    })
    this.#feeds = new Feeds({
      self: identity.id,
      serverKeys,
      live: (session) => this.#sessions.has(session),
      history: (session, link) => this.history(session, link),
      logits: (session, position) => (this.#sessions.get(session) ?? this.kept.get(session))?.logitsRow(position),
    })
    this.#sweep = setInterval(() => this.#sweepIdle(), sessionIdleMs / 4)
    void engine.lost.then((reason) => this.#failAll(asError(reason, 'engine-failed')))
  }

  addChannel(id: number, channel: Channel, terms: LinkTerms): void {
    this.links.add(id, channel, terms)
  }

  bindChannel(id: number, fingerprints: Fingerprints): void {
    this.links.bind(id, fingerprints)
  }

  /**
   * Takes part in a session, or goes on with it by a newer ticket: ahead of its first frame when the server says so, or when a
   * neighbour opens it. A ticket that is no newer than what is known changes nothing.
   * @throws ManyhandsError bad-ticket, busy, closed, out-of-memory
   */
  open(value: Ticket): Promise<void> {
    const { session, generation } = value
    const known = this.#sessions.get(session)?.ticket.generation ?? this.#ended.get(session) ?? -1
    if (generation <= known) return Promise.resolve()
    const opening = this.#opening.get(session)
    if (opening && generation <= opening.generation) return opening.promise
    const early = opening?.early ?? { messages: [], bytes: 0 }
    const promise = (opening?.promise ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => this.#admit(value))
      .finally(() => {
        if (this.#opening.get(session)?.generation !== generation) return
        this.#opening.delete(session)
        for (const message of early.messages) message()
      })
    this.#opening.set(session, { generation, promise, early })
    return promise
  }

  closeSession(id: SessionId): void {
    this.#sessions.get(id)?.close()
  }

  /** How far a session is here, and how fast; undefined where it is not served. */
  probe(id: SessionId): { held: number; serviceMs: number } | undefined {
    return this.#sessions.get(id)?.pace() ?? this.shadows.pace(id)
  }

  /** What went over a link of a session that has an end here, live or over for some minutes. */
  history(id: SessionId, link: number): LinkHistory | undefined {
    return (this.#sessions.get(id) ?? this.kept.get(id))?.history(link)
  }

  /** Leaves every session now, so that whoever waits for them hears it at once. */
  leaveSessions(reason: ManyhandsError): void {
    this.#failAll(reason)
    this.shadows.giveUpAll(reason)
  }

  /** Ends everything at once. The owner disposes of the engine, or ends the worker. */
  stop(reason: ManyhandsError): void {
    this.#stopped = true
    clearInterval(this.#sweep)
    this.kept.clear()
    this.scheduler.stop()
    this.#failAll(reason)
    this.shadows.stop(reason)
    this.#feeds.stop()
    this.links.closeAll(reason)
  }

  stats(): NodeStats {
    const { sentBytes, receivedBytes } = this.links.counters()
    return {
      sessions: this.#sessions.size,
      answers: this.#answers,
      steps: this.#steps,
      rows: this.#rows,
      busyMs: this.#busyMs,
      audits: this.shadows.done.audits,
      auditedRows: this.shadows.done.rows,
      sentBytes,
      receivedBytes,
    }
  }

  async #admit(value: Ticket): Promise<void> {
    const ticket = await checkTicket(value, this.#serverKeys, Date.now())
    if (this.#stopped) throw new ManyhandsError('closed', 'This peer serves no stage at the moment.')
    const live = this.#sessions.get(ticket.session)
    const index = ticket.stages.findIndex((s) => s.peer === this.#identity.id)
    if (index === -1 && live) return live.leave()
    const { first, end } = this.#engine.range
    const blocks = ticket.stages[index]?.blocks
    if (!blocks) throw new ManyhandsError('bad-ticket', 'This session does not name this peer.')
    if (ticket.revision !== this.#revision || blocks[0] !== first || blocks[1] !== end) {
      throw new ManyhandsError('bad-ticket', 'This session is for other blocks than this peer holds.')
    }
    if (live) {
      this.#events.opened(ticket)
      return live.reroute(ticket, index)
    }
    if (this.#sessions.size >= maxSessions)
      throw new ManyhandsError('busy', 'This peer serves as many sessions as it can.', { retryAfterMs: 1000 })
    this.#ended.delete(ticket.session)
    this.kept.drop(ticket.session)
    const warm = await this.shadows.standby(ticket, index)?.takeOver()
    this.#events.opened(ticket)
    this.#sessions.set(ticket.session, new StageSession(ticket, index, this.#ports(), warm))
    this.#events.changed()
  }

  #ports(): SessionPorts {
    return {
      engine: this.#engine,
      identity: this.#identity,
      scheduler: this.scheduler,
      link: (peer) => this.links.to(peer),
      proof: (proof) => this.#events.proof(proof),
      tellServer: (message) => this.#events.tellServer(message),
      ran: (rows, ms) => {
        this.#steps += 1
        this.#rows += rows
        this.#busyMs += ms
        this.#events.changed()
      },
      ended: (session) => this.#forget(session),
    }
  }

  #forget(session: StageSession): void {
    const { id } = session
    this.#sessions.delete(id)
    this.#answers += 1
    this.#ended.set(id, session.ticket.generation)
    this.kept.keep(session)
    this.#feeds.sessionOver(id)
    for (const link of this.links.ready()) link.forget(id)
    if (this.#ended.size > maxRemembered) this.#ended.delete(this.#ended.keys().next().value as SessionId)
    this.#events.changed()
  }

  #step(link: PeerLink, step: Step): void {
    if (this.shadows.has(step.session)) return this.shadows.step(step, link.remote)
    const { session, generation, payload } = step
    this.#withSession(link, session, generation, (taking) => taking.receive(step, link.remote), payload.length)
  }

  #custody(link: PeerLink, signedChunk: Uint8Array): void {
    const { session, generation, link: number } = decodeChunk(signedChunk.subarray(0, chunkBytes))
    this.#withSession(link, session, generation, (taking) => taking.custody(signedChunk, generation, number, link.remote))
  }

  #message(link: PeerLink, message: LinkMessage): void {
    if (message.t === 'ping' || message.t === 'pong') return
    if (message.t === 'open') {
      this.open(message.ticket).catch((thrown: unknown) => this.#refused(link, message.ticket, asError(thrown)))
      return
    }
    if (this.#feeds.message(link, message) || !('session' in message)) return
    if (this.shadows.has(message.session)) return this.shadows.message(message.session, message, link.remote)
    // Not all of them say their generation: in order they stay, behind a ticket that is being checked.
    this.#withSession(link, message.session, Infinity, (session) => session.message(message, link.remote, link))
  }

  /** A session that this peer can't take part in: the server finds another, whoever asked. */
  #refused(link: PeerLink, ticket: Ticket, error: ManyhandsError): void {
    link.sendMessage({ t: 'fault', session: ticket.session, error: error.toWire() })
    if (error.code !== 'bad-ticket') this.#events.tellServer({ t: 'fault', session: ticket.session, error: error.toWire() })
  }

  /**
   * Hands something to its session, now or once the ticket of its generation is checked. What goes wrong is the sender's doing;
   * one that is no party to the session loses its link.
   */
  #withSession(link: PeerLink, id: SessionId, generation: number, deliver: (session: StageSession) => void, bytes = 0): void {
    const opening = this.#opening.get(id)
    const session = this.#sessions.get(id)
    if (opening && (!session || generation > session.ticket.generation || opening.early.messages.length > 0)) {
      opening.early.bytes += bytes
      if (opening.early.messages.length >= maxEarlyMessages || opening.early.bytes > maxMessageBytes)
        return link.close(new ManyhandsError('bad-message', 'A peer said too much before its session was open.'))
      opening.early.messages.push(() => this.#withSession(link, id, generation, deliver))
      return
    }
    if (!session) return
    try {
      deliver(session)
    } catch (thrown) {
      if (thrown === notTheirs) link.close(notTheirs)
      else session.blame(link.remote, asError(thrown))
    }
  }

  #failAll(reason: ManyhandsError): void {
    for (const session of this.#sessions.values()) session.fail(reason)
  }

  #sweepIdle(): void {
    const before = performance.now() - sessionIdleMs
    for (const session of this.#sessions.values()) {
      if (session.lastActive < before) session.idle()
    }
  }
}
