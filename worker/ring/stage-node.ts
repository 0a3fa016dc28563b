/**
 * A volunteer's compute side, whole: one engine, the links to its neighbours, the sessions between. It runs in a tab's
 * worker or in Node, knows no globals, and tells its owner (the SDK) what the server must hear.
 */
import type { Channel } from '../../link/channel.ts'
import { LinkTable } from '../../link/link-table.ts'
import type { Fingerprints, LinkTerms, PeerLink } from '../../link/peer-link.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId, Revision, SessionId } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'
import { sessionIdleMs } from '../../protocol/limits.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import { checkTicket, linkEnds, type Ticket } from '../../protocol/ticket.ts'
import type { StageEngine } from '../engine/engine.ts'
import { Scheduler } from './scheduler.ts'
import { StageSession, type SessionPorts } from './session.ts'

export interface NodeEvents {
  /** Connect to this peer and hand the channel in. */
  dial(peer: PeerId): void
  /** The channel handed in under this number is done with. */
  released(id: number): void
  proof(proof: Bytes): void
  tellServer(message: Extract<ClientMessage, { t: 'done' | 'fault' }>): void
  /** Sessions came or went, or work was done. */
  changed(): void
}

export interface NodeStats {
  readonly sessions: number
  readonly answers: number
  readonly steps: number
  readonly rows: number
  readonly busyMs: number
  readonly sentBytes: number
  readonly receivedBytes: number
}

/** Sessions a stage takes part in at once, whatever the server says. */
const maxSessions = 64
/** Ended sessions whose late frames are ignored in silence. */
const maxRemembered = 1024
/** Frames held for a session whose ticket is being checked. */
const maxEarlyMessages = 256

export class StageNode {
  readonly links: LinkTable
  readonly scheduler = new Scheduler()
  readonly #identity: Identity
  readonly #revision: Revision
  readonly #serverKeys: readonly string[]
  readonly #engine: StageEngine
  readonly #events: NodeEvents
  readonly #sessions = new Map<SessionId, StageSession>()
  readonly #opening = new Map<SessionId, { promise: Promise<void>; early: (() => void)[] }>()
  readonly #ended = new Set<SessionId>()
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
      closed: (peer, reason) => {
        for (const session of this.#sessions.values()) session.peerLost(peer, reason)
      },
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
   * Takes part in a session: ahead of its first frame when the server says so, or when a neighbour opens it.
   * @throws ManyhandsError bad-ticket, busy, closed, out-of-memory
   */
  open(value: Ticket): Promise<void> {
    const known = this.#opening.get(value.session)
    if (known) return known.promise
    if (this.#sessions.has(value.session) || this.#ended.has(value.session)) return Promise.resolve()
    const early: (() => void)[] = []
    const promise = this.#admit(value).finally(() => {
      this.#opening.delete(value.session)
      for (const message of early) message()
    })
    this.#opening.set(value.session, { promise, early })
    return promise
  }

  closeSession(id: SessionId): void {
    this.#sessions.get(id)?.close()
  }

  /** Leaves every session now, so that whoever waits for them hears it at once. */
  leaveSessions(reason: ManyhandsError): void {
    this.#failAll(reason)
  }

  /** Ends everything at once. The owner disposes of the engine, or ends the worker. */
  stop(reason: ManyhandsError): void {
    this.#stopped = true
    clearInterval(this.#sweep)
    this.scheduler.stop()
    this.#failAll(reason)
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
      sentBytes,
      receivedBytes,
    }
  }

  async #admit(value: Ticket): Promise<void> {
    const ticket = await checkTicket(value, this.#serverKeys, Date.now())
    if (this.#stopped) throw new ManyhandsError('closed', 'This peer serves no stage at the moment.')
    const index = ticket.stages.findIndex((s) => s.peer === this.#identity.id)
    const { first, end } = this.#engine.range
    const blocks = ticket.stages[index]?.blocks
    if (!blocks) throw new ManyhandsError('bad-ticket', 'This session does not name this peer.')
    if (ticket.revision !== this.#revision || blocks[0] !== first || blocks[1] !== end) {
      throw new ManyhandsError('bad-ticket', 'This session is for other blocks than this peer holds.')
    }
    if (this.#sessions.size >= maxSessions)
      throw new ManyhandsError('busy', 'This peer serves as many sessions as it can.', { retryAfterMs: 1000 })
    this.#sessions.set(ticket.session, new StageSession(ticket, index, this.#ports()))
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
    const id = session.ticket.session
    this.#sessions.delete(id)
    this.#answers += 1
    this.#ended.add(id)
    if (this.#ended.size > maxRemembered) this.#ended.delete(this.#ended.values().next().value as SessionId)
    this.#events.changed()
  }

  #step(link: PeerLink, step: Step): void {
    this.#withSession(link, step.session, (session) => {
      if (linkEnds(session.ticket, step.link)?.from !== link.remote) throw notTheirs
      session.receive(step)
    })
  }

  #custody(link: PeerLink, signedChunk: Uint8Array): void {
    const chunk = decodeChunk(signedChunk.subarray(0, chunkBytes))
    this.#withSession(link, chunk.session, (session) => {
      if (linkEnds(session.ticket, chunk.link)?.from !== link.remote) throw notTheirs
      session.custody(chunk.link, signedChunk)
    })
  }

  #message(link: PeerLink, message: LinkMessage): void {
    if (message.t === 'ping' || message.t === 'pong') return
    if (message.t === 'open') {
      this.open(message.ticket).catch((thrown: unknown) => {
        link.sendMessage({ t: 'fault', session: message.ticket.session, error: asError(thrown).toWire() })
      })
      return
    }
    if (!('session' in message)) return
    this.#withSession(link, message.session, (session) => {
      const parties = [session.ticket.requester, ...session.ticket.stages]
      if (!parties.some((p) => p.peer === link.remote)) throw notTheirs
      session.message(message, link.remote)
    })
  }

  /**
   * Hands something to its session, now or once its ticket is checked. What goes wrong ends the session, not the peer; a
   * sender that is no party to the session loses its link.
   */
  #withSession(link: PeerLink, id: SessionId, deliver: (session: StageSession) => void): void {
    const opening = this.#opening.get(id)
    if (opening) {
      if (opening.early.length >= maxEarlyMessages)
        return link.close(new ManyhandsError('bad-message', 'A peer said too much before its session was open.'))
      opening.early.push(() => this.#withSession(link, id, deliver))
      return
    }
    const session = this.#sessions.get(id)
    if (!session) return
    try {
      deliver(session)
    } catch (thrown) {
      if (thrown === notTheirs) link.close(notTheirs)
      else session.fail(asError(thrown))
    }
  }

  #failAll(reason: ManyhandsError): void {
    for (const session of this.#sessions.values()) session.fail(reason)
  }

  #sweepIdle(): void {
    const before = performance.now() - sessionIdleMs
    for (const session of this.#sessions.values()) {
      if (session.lastActive < before) session.fail(new ManyhandsError('timeout', 'Nothing happened in this session for too long.'))
    }
  }
}

const notTheirs = new ManyhandsError('bad-ticket', 'A peer spoke for a session that is not its own.')
