/**
 * Sessions from asking to receipt: admission, route and ticket, custody as it comes, the end, settlement. Capacity is taken
 * when a route is given and given back exactly once.
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { toHex } from '../protocol/bytes.ts'
import { proofBytes } from '../protocol/custody.ts'
import { ManyhandsError, type WireError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { chunkRows, ticketMs } from '../protocol/limits.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { signTicket, type Ticket } from '../protocol/ticket.ts'
import { AdmissionQueue, type Who } from './admission.ts'
import { CustodyLedger } from './custody-ledger.ts'
import type { Asked } from './live-session.ts'
import { keptPlaces, route, sessionsPerStage, type Serving } from './routing.ts'
import { expectedRows, proofWaitMs, provisional, type Done } from './settlement.ts'
import type { Store } from './store.ts'
import type { Manifest } from '../protocol/manifest.ts'
import { addDemand, type Swarm, type Volunteer } from './swarm.ts'
import type { EndedSession, Trust } from './trust-port.ts'

interface Session {
  readonly asked: Asked
  readonly session: SessionId
  readonly manifest: Manifest
  readonly stages: readonly Volunteer[]
  readonly startedAt: number
  /** Present once the ticket is signed. */
  ledger?: CustodyLedger
  /** The requester is done with it; the last stage's word is waited for, which may come later by its own socket. */
  closing: boolean
  /** The last stage's word that it ended; the last proofs are waited for. */
  done?: Done
  /** Nothing more is waited for after this. */
  dueAt: number
  released: boolean
  settling?: Promise<void>
}

export interface SessionsPorts {
  readonly identity: Identity
  readonly store: Store
  readonly trust: Trust
  /** A model that is offered, with its volunteers. */
  swarm(revision: Revision): Swarm | undefined
  epochOf(revision: Revision): number
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

/** How long the last stage's word is waited for once the requester is done: the two come by different sockets. */
const lastWordMs = 3_000
/** Proofs a single message may bring. */
const maxProofsAtOnce = 64

export class Sessions {
  /** Totals since the start, for /metrics. */
  readonly counts = { opened: 0, settled: 0, failed: 0, busy: 0, chunksChecked: 0, chunksFailed: 0 }
  readonly #ports: SessionsPorts
  readonly #sessions = new Map<SessionId, Session>()
  readonly #queues = new Map<Revision, AdmissionQueue<Asked>>()
  /** Sessions under way, by network and by key. */
  readonly #places = new Map<string, number>()

  constructor(ports: SessionsPorts) {
    this.#ports = ports
  }

  get live(): number {
    let live = 0
    for (const s of this.#sessions.values()) if (!s.released) live += 1
    return live
  }

  get queued(): number {
    let queued = 0
    for (const queue of this.#queues.values()) queued += queue.length
    return queued
  }

  open(asked: Asked): void {
    const model = this.#ports.swarm(asked.revision)?.model
    if (!model) return this.#refuse(asked, new ManyhandsError('unknown-model', 'This server has no model of that revision.'))
    const { decoder, name } = model.manifest
    const context = decoder?.context ?? 1
    if (asked.maxPositions > context)
      return this.#refuse(asked, new ManyhandsError('context-overflow', `${name} holds ${context} tokens, prompt and answer together.`))
    addDemand(model, this.#ports.uptime())
    const queue = this.#queue(asked.revision)
    const place = queue.enter(whose(asked), asked, this.#ports.uptime())
    if ('ahead' in place) {
      this.#drain(queue)
      if (queue.has(asked)) this.#ports.send(asked.peer, { t: 'queued', id: asked.id, ahead: place.ahead })
      return
    }
    this.counts.busy += 1
    this.#refuse(asked, new ManyhandsError('busy', 'Every place is taken and the line is full. Come again in a moment.', place))
  }

  /** The requester is done with a session, or gives up waiting for one. */
  close(peer: PeerId, id: number): void {
    for (const queue of this.#queues.values()) queue.leave((a) => a.peer === peer && a.id === id)
    for (const s of this.#sessions.values()) {
      if (s.asked.peer !== peer || s.asked.id !== id || s.done || s.closing) continue
      s.closing = true
      s.dueAt = this.#ports.uptime() + lastWordMs
      // Nobody has heard of it yet.
      if (!s.ledger) this.#end(s)
    }
  }

  /** Nobody waits any more for what this peer asked; an answer under way goes on. */
  requesterGone(peer: PeerId): void {
    for (const queue of this.#queues.values()) queue.leave((a) => a.peer === peer)
  }

  /** A stage's peer is gone: its sessions can't go on. */
  stageLost(peer: PeerId, reason: string): void {
    for (const s of this.#sessions.values()) {
      if (s.released || !s.stages.some((v) => v.peer === peer)) continue
      this.#fail(s, new ManyhandsError('peer-lost', reason).toWire(), peer)
    }
  }

  fault(peer: PeerId, session: SessionId, error: WireError): void {
    const s = this.#sessions.get(session)
    if (!s || s.released || !isParty(s, peer)) return
    this.#ports.log(`session ${session.slice(0, 8)}: ${error.code} at ${peer.slice(0, 8)}: ${error.message}`)
    this.#fail(s, error, undefined)
  }

  done(peer: PeerId, message: Extract<ClientMessage, { t: 'done' }>): void {
    const s = this.#sessions.get(message.session)
    if (!s || s.done || s.stages.at(-1)?.peer !== peer) return
    s.done = message
    s.dueAt = this.#ports.uptime() + proofWaitMs
    this.#release(s)
    this.#settleIfComplete(s)
  }

  /** One or more proofs, end to end. @throws ManyhandsError bad-message */
  proofs(peer: PeerId, bytes: Uint8Array): void {
    const count = bytes.length / proofBytes
    if (!Number.isInteger(count) || count < 1 || count > maxProofsAtOnce)
      throw new ManyhandsError('bad-message', `Custody proofs take ${proofBytes} bytes each.`)
    for (let i = 0; i < count; i++) {
      // A copy: what is kept must not hold on to the message, or to what the socket read along with it.
      const proof = new Uint8Array(bytes.subarray(i * proofBytes, (i + 1) * proofBytes))
      const s = this.#sessions.get(toHex(proof.subarray(0, 16)) as SessionId)
      if (!s?.ledger || s.settling || !isParty(s, peer)) continue
      void s.ledger.add(proof, peer).then(() => this.#settleIfComplete(s))
    }
  }

  /** Receipts for what has ended, with the proofs that are there: the server is going away. */
  async settleAll(): Promise<void> {
    await Promise.all([...this.#sessions.values()].filter((s) => s.done).map((s) => this.#settle(s)))
  }

  drainQueues(): void {
    for (const queue of this.#queues.values()) this.#drain(queue)
  }

  tick(): void {
    const now = this.#ports.uptime()
    for (const s of this.#sessions.values()) {
      if (now <= s.dueAt) continue
      if (s.done) void this.#settle(s)
      else if (s.closing) this.#end(s)
      else this.#fail(s, new ManyhandsError('timeout', 'This answer took longer than a session may last.').toWire(), undefined)
    }
    for (const queue of this.#queues.values()) {
      for (const asked of queue.expired(now)) {
        this.#refuse(
          asked,
          new ManyhandsError('busy', 'No place came free in time. Come again in a moment.', { retryAfterMs: queue.retryAfterMs() }),
        )
      }
    }
    this.drainQueues()
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** Who has the fewest places goes first, so behind one that found no room only a smaller one can find some. */
  #drain(queue: AdmissionQueue<Asked>): void {
    let fewest = Infinity
    queue.drain(
      (asked) => {
        if (asked.maxPositions >= fewest) return false
        if (this.#admit(asked)) return true
        fewest = asked.maxPositions
        return false
      },
      (who) => this.#places.get(who) ?? 0,
    )
  }

  /** True when the request needs to wait no longer: it has a route, or will never have one. */
  #admit(asked: Asked): boolean {
    const swarm = this.#ports.swarm(asked.revision)
    if (!swarm) {
      this.#refuse(asked, new ManyhandsError('unknown-model', 'This model is no longer offered.'))
      return true
    }
    const { name } = swarm.model.manifest
    const places = sessionsPerStage - (whose(asked).some((who) => this.#places.has(who)) ? keptPlaces : 0)
    const routing = route(swarm, asked.maxPositions, places, this.#ports.random)
    if ('full' in routing) return false
    if ('stages' in routing) this.#start(asked, swarm.model.manifest, routing.stages)
    else if ('missing' in routing) {
      const blocks = routing.missing.map(({ first, end }) => `${first + 1}-${end}`).join(', ')
      const sentence = `Nobody online holds blocks ${blocks} of ${name}. Try again when more people give, or give yourself.`
      this.#refuse(asked, new ManyhandsError('no-volunteers', sentence, { retryAfterMs: 5_000 }))
    } else {
      const sentence = `The volunteers who hold ${name} now have memory for ${routing.most} tokens, prompt and answer together: shorten the prompt or ask for fewer.`
      this.#refuse(asked, new ManyhandsError('context-overflow', sentence))
    }
    return true
  }

  #start(asked: Asked, manifest: Manifest, stages: readonly Serving[]): void {
    const session = toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId
    const startedAt = this.#ports.uptime()
    const s: Session = { asked, session, manifest, stages, startedAt, closing: false, dueAt: startedAt + ticketMs, released: false }
    this.#sessions.set(session, s)
    this.counts.opened += 1
    for (const v of stages) {
      v.sessions += 1
      v.positions += asked.maxPositions
    }
    for (const who of whose(asked)) this.#places.set(who, (this.#places.get(who) ?? 0) + 1)
    this.#tell(s, stages).catch((thrown: unknown) => {
      this.#ports.failed(thrown)
      if (!s.released)
        this.#fail(s, new ManyhandsError('internal', 'The server failed at this request. It has been logged.').toWire(), undefined)
    })
  }

  /** The ticket, to all who take part. */
  async #tell(s: Session, stages: readonly Serving[]): Promise<void> {
    const { asked } = s
    const { identity, now } = this.#ports
    const issuedAt = now()
    const ticket: Ticket = await signTicket(
      {
        v: 1,
        session: s.session,
        revision: asked.revision,
        requester: { peer: asked.peer, key: asked.key },
        stages: stages.map(({ peer, key, holding: { blocks, ready } }) => ({
          peer,
          key,
          blocks: [blocks.first, blocks.end],
          backend: ready.backend,
        })),
        sampling: asked.sampling,
        maxPositions: asked.maxPositions,
        maxRows: Math.min(chunkRows, ...stages.map((v) => v.holding.ready.rowLimit)),
        epoch: this.#ports.epochOf(asked.revision),
        generation: 0,
        issuedAt,
        expiresAt: issuedAt + ticketMs,
        serverKey: identity.publicKey,
      },
      identity.privateKey,
    )
    // While the ticket was being signed, or told, a stage may have gone, and the session with it.
    if (s.released) return
    s.ledger = new CustodyLedger(ticket)
    for (const { peer } of s.stages) this.#ports.send(peer, { t: 'session', ticket })
    if (!s.released && !this.#ports.send(asked.peer, { t: 'route', id: asked.id, ticket })) this.#end(s)
  }

  #settleIfComplete(s: Session): void {
    if (!s.done || !s.ledger) return
    const expected = expectedRows(s.ledger.ticket, s.manifest, s.done)
    if (expected && s.ledger.complete(expected)) void this.#settle(s)
  }

  /** Never rejects; once over, the session is forgotten whatever became of its receipt. */
  #settle(s: Session): Promise<void> {
    s.settling ??= this.#writeReceipt(s)
      .catch((thrown: unknown) => this.#ports.failed(thrown))
      .finally(() => this.#sessions.delete(s.session))
    return s.settling
  }

  async #writeReceipt({ asked, session, manifest, ledger, done }: Session): Promise<void> {
    if (!done || !ledger) return
    const { ticket } = ledger
    await ledger.judged()
    const result = ledger.result(expectedRows(ticket, manifest, done))
    this.counts.chunksChecked += result.checked
    this.counts.chunksFailed += result.failed
    for (const reason of result.reasons) this.#ports.log(`session ${session.slice(0, 8)}: custody: ${reason}`)
    const { trust, identity, now } = this.#ports
    const ended: EndedSession = { session, request: session, asked, manifest, ledger, custody: result, done, epoch: ticket.epoch }
    const { receipt, writes } = await provisional(ended, identity, now(), trust)
    // The epoch of the route: a server that has lost the swarm since can't write for it.
    const written = await this.#ports.store.commit(ticket.revision, ticket.epoch, writes)
    if (written !== 'ok') return this.#ports.log(`session ${session.slice(0, 8)}: no receipt: another server has taken over`)
    this.counts.settled += 1
    this.#ports.send(asked.peer, { t: 'receipt', receipt })
    trust.ended(ended, receipt)
  }

  /** It broke off: the requester hears why, the stages let go. */
  #fail(s: Session, error: WireError, except: PeerId | undefined): void {
    this.counts.failed += 1
    this.#ports.send(s.asked.peer, { t: 'error', id: s.asked.id, error })
    this.#end(s, except)
  }

  /** Over without an answer. */
  #end(s: Session, except?: PeerId): void {
    for (const v of s.stages) if (v.peer !== except) this.#ports.send(v.peer, { t: 'session-closed', session: s.session })
    this.#sessions.delete(s.session)
    this.#release(s)
  }

  #release(s: Session): void {
    if (s.released) return
    s.released = true
    for (const v of s.stages) {
      v.sessions -= 1
      v.positions -= s.asked.maxPositions
    }
    for (const who of whose(s.asked)) {
      const left = (this.#places.get(who) ?? 1) - 1
      if (left > 0) this.#places.set(who, left)
      else this.#places.delete(who)
    }
    this.#queues.get(s.asked.revision)?.sessionEnded(this.#ports.uptime() - s.startedAt)
    this.drainQueues()
  }

  #refuse(asked: Asked, error: ManyhandsError): void {
    this.#ports.send(asked.peer, { t: 'error', id: asked.id, error: error.toWire() })
  }

  #queue(revision: Revision): AdmissionQueue<Asked> {
    const queue = this.#queues.get(revision) ?? new AdmissionQueue<Asked>()
    this.#queues.set(revision, queue)
    return queue
  }
}

const whose = ({ network, peer }: Asked): Who => (network === undefined ? [peer] : [network, peer])

const isParty = ({ asked, stages }: Session, peer: PeerId) => asked.peer === peer || stages.some((v) => v.peer === peer)
