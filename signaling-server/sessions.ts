/**
 * Sessions from asking to receipt: admission, route and ticket, custody as it comes, the end, settlement. What keeps one going
 * when a stage is lost is failover.ts, and when the server was adoption.ts.
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { toHex } from '../protocol/bytes.ts'
import { proofBytes } from '../protocol/custody.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import { chunkRows, ticketMs } from '../protocol/limits.ts'
import type { Ticket } from '../protocol/ticket.ts'
import type { Manifest } from '../protocol/manifest.ts'
import { Adoption } from './adoption.ts'
import type { Viewpoint } from './audience.ts'
import { Failover } from './failover.ts'
import { hostOf, isParty, whose, type Asked, type Session } from './live-session.ts'
import { patientCommit } from './patient-commit.ts'
import { keptPlaces, route, sessionsPerStage, type Choice, type Serving } from './routing.ts'
import { SessionLines, type Terms } from './session-lines.ts'
import { SessionTable, type SessionsPorts } from './session-table.ts'
import { expectedRows, proofWaitMs, provisional } from './settlement.ts'
import { Standbys } from './standbys.ts'
import { addDemand } from './swarm.ts'
import type { EndedSession } from './trust-port.ts'

/** How long the last stage's word is waited for once the requester is done: the two come by different sockets. */
const lastWordMs = 3_000
/** Proofs a single message may bring. */
const maxProofsAtOnce = 64

export class Sessions {
  readonly failover: Failover
  readonly standbys: Standbys
  readonly #adoption: Adoption
  readonly #ports: SessionsPorts
  readonly #table: SessionTable
  readonly #lines: SessionLines
  /** Positions of the answers that have a receipt, prompts included, ever. */
  readonly rows = new Map<Revision, number>()
  readonly #closing = new AbortController()

  constructor(ports: SessionsPorts) {
    this.#ports = ports
    this.#table = new SessionTable(ports, (s) => this.#placesFree(s))
    this.#lines = new SessionLines({
      admit: (asked, terms) => this.#admit(asked, terms),
      placesOf: (who) => this.#table.placesOf(who),
      uptime: () => ports.uptime(),
    })
    this.standbys = new Standbys(this.#table)
    this.failover = new Failover(this.#table, this.standbys, (session, reason, without) => this.wrong(session, reason, without))
    this.#adoption = new Adoption(this.#table, this.failover)
  }

  /** Totals since the start, for /metrics. */
  get counts(): SessionTable['counts'] {
    return this.#table.counts
  }

  get live(): number {
    return this.#table.live
  }

  get queued(): number {
    return this.#lines.length
  }

  /** How many are under way of a model, and how many wait. */
  busyness(revision: Revision): { readonly sessions: number; readonly queued: number } {
    let sessions = 0
    for (const s of this.#table.all()) if (!s.released && s.asked.revision === revision) sessions += 1
    return { sessions, queued: this.#lines.lengthAt(revision) }
  }

  open(asked: Asked): void {
    const model = this.#ports.swarm(asked.revision)?.model
    if (!model) return this.#refuse(asked, new ManyhandsError('unknown-model', 'This server has no model of that revision.'))
    const { decoder, name } = model.manifest
    if ((decoder === undefined) !== (asked.sampling === null)) {
      const why = decoder ? `${name} generates text: say how tokens are chosen.` : `${name} chooses no tokens: sampling is null.`
      return this.#refuse(asked, new ManyhandsError('bad-input', why))
    }
    const context = decoder?.context ?? 1
    if (asked.maxPositions > context)
      return this.#refuse(asked, new ManyhandsError('context-overflow', `${name} holds ${context} tokens, prompt and answer together.`))
    addDemand(model, this.#ports.uptime())
    const place = this.#lines.enter(asked)
    if ('ahead' in place) {
      if (place.waits) this.#tell(asked, (id) => ({ t: 'queued', id, ahead: place.ahead }))
      return
    }
    this.counts.busy += 1
    this.#refuse(asked, new ManyhandsError('busy', 'Every place is taken and the line is full. Come again in a moment.', place))
  }

  /** The requester is done with a session, or gives up waiting for one. */
  close(peer: PeerId, id: number): void {
    this.#lines.leave((a) => a.peer === peer && a.id === id)
    for (const s of this.#table.all()) {
      if (s.asked.peer !== peer || s.asked.id !== id || s.done || s.closing) continue
      s.closing = true
      s.dueAt = this.#ports.uptime() + lastWordMs
      // Nobody has heard of it yet.
      if (!s.ledger) this.#table.end(s)
    }
  }

  /** Nobody waits any more for what this peer asked; an answer under way goes on. */
  requesterGone(peer: PeerId): void {
    this.#lines.leave((a) => a.peer === peer)
  }

  /** A stage's peer is gone: its sessions go on with others. */
  stageLost(peer: PeerId, reason: string): void {
    this.standbys.lost(peer)
    this.failover.stageLost(peer, reason)
  }

  /** Somebody takes part in a session that began before this server did, or has been away. */
  adopt(peer: PeerId, ticket: Ticket): void {
    this.#adoption.adopt(peer, ticket)
  }

  /** Another server has that swarm now: what is under way goes on there, and who waits asks there. */
  moved(revision: Revision, url: string): void {
    for (const asked of this.#lines.close(revision)) this.#tell(asked, (id) => ({ t: 'moved', id, revision, url }))
    for (const s of this.#table.all()) {
      if (s.asked.revision !== revision || s.settling) continue
      if (s.ledger) this.#ports.send(s.asked.peer, { t: 'moved', revision, url })
      else this.#tell(s.asked, (id) => ({ t: 'moved', id, revision, url }))
      this.#table.letGo(s)
    }
  }

  /** Its requester is back, perhaps with the ticket that is being checked. */
  reopen(peer: PeerId, message: Extract<ClientMessage, { t: 'reopen' }>, viewpoint?: Viewpoint): void {
    const checking = this.#adoption.checking(message.session)
    if (checking) void checking.then(() => this.failover.reopen(peer, message, viewpoint))
    else this.failover.reopen(peer, message, viewpoint)
  }

  /**
   * An answer was found wrong, or may be: its requester is told, and asks again; over those named nothing of it goes any more.
   * One that is under way ends.
   */
  wrong(session: SessionId, reason: string, without: readonly PeerId[]): void {
    const s = this.#table.get(session)
    if (s && !s.done) this.#table.end(s)
    const requester = s?.asked.peer ?? this.#table.over(session)?.requester
    if (requester === undefined) return
    // While its receipt is being written it is not over yet.
    const over = this.#table.over(session) ?? this.#table.remember(s as Session)
    over.wrong = new Set([...(over.wrong ?? []), ...without])
    this.counts.wrong += 1
    this.#ports.send(requester, { t: 'wrong', session, reason: reason.slice(0, 300) })
  }

  done(peer: PeerId, message: Extract<ClientMessage, { t: 'done' }>): void {
    const checking = this.#adoption.checking(message.session)
    if (checking) return void checking.then(() => this.done(peer, message))
    const s = this.#table.get(message.session)
    if (!s || s.done || hostOf(s) !== peer) return
    s.done = message
    s.dueAt = this.#ports.uptime() + proofWaitMs
    delete s.gatheringUntil
    this.#table.release(s)
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
      const session = toHex(proof.subarray(0, 16)) as SessionId
      const checking = this.#adoption.checking(session)
      if (checking) void checking.then(() => this.#proof(peer, session, proof))
      else this.#proof(peer, session, proof)
    }
  }

  /** Receipts for what has ended, with the proofs that are there: the server is going away. */
  async settleAll(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#table.all()].filter((s) => s.done).map((s) => this.#settle(s)))
  }

  /** Somebody serves who did not, or a place is free: sessions under way first. */
  roomMade(): void {
    this.failover.roomMade()
    this.#lines.drain()
  }

  tick(): void {
    const now = this.#ports.uptime()
    this.#adoption.tick()
    this.failover.tick()
    this.standbys.tick()
    for (const s of this.#table.all()) {
      if (now <= s.dueAt) continue
      if (s.done) void this.#settle(s)
      else if (s.closing) this.#table.end(s)
      else this.#table.fail(s, new ManyhandsError('timeout', 'This answer took longer than a session may last.').toWire())
    }
    for (const { asked, retryAfterMs } of this.#lines.expired())
      this.#refuse(asked, new ManyhandsError('busy', 'No place came free in time. Come again in a moment.', { retryAfterMs }))
    this.roomMade()
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** True when the request needs to wait no longer: it has a route, or will never have one. */
  #admit(asked: Asked, terms: Terms): boolean {
    const swarm = this.#ports.swarm(asked.revision)
    if (!swarm) {
      this.#refuse(asked, new ManyhandsError('unknown-model', 'This model is no longer offered.'))
      return true
    }
    const { name } = swarm.model.manifest
    const places = sessionsPerStage - (whose(asked).some((who) => this.#table.placesOf(who) > 0) ? keptPlaces : 0)
    const choice = { ...this.#choice(asked), ...terms }
    const routing = route(swarm, asked.maxPositions, places, choice)
    if ('full' in routing) return false
    if ('stages' in routing) this.#start(asked, swarm.model.manifest, routing.stages, choice.without)
    else if ('missing' in routing) {
      const blocks = routing.missing.map(({ first, end }) => `${first + 1}-${end}`).join(', ')
      const nobody = choice.without.size > 0 ? 'Nobody else online' : 'Nobody online'
      const sentence = `${nobody} holds blocks ${blocks} of ${name}. Try again when more people give, or give yourself.`
      this.#refuse(asked, new ManyhandsError('no-volunteers', sentence, { retryAfterMs: 5_000 }))
    } else {
      const sentence = `The volunteers who hold ${name} now have memory for ${routing.most} tokens, prompt and answer together: shorten the prompt or ask for fewer.`
      this.#refuse(asked, new ManyhandsError('context-overflow', sentence))
    }
    return true
  }

  /** Apart from the other pipelines of a quorum, and in a correction without those who were wrong. */
  #choice(asked: Asked): Choice & { readonly without: Set<PeerId> } {
    const { peer, apart, corrects } = asked
    const without = new Set<PeerId>()
    for (const session of apart ?? []) {
      const s = this.#table.get(session)
      const over = s ? this.#table.remember(s) : this.#table.over(session)
      if (over?.requester === peer) for (const other of over.peers) without.add(other)
    }
    const corrected = corrects === undefined ? undefined : this.#table.over(corrects)
    if (corrected?.requester === peer) for (const other of corrected.wrong ?? []) without.add(other)
    return { ...this.#table.choice({ without, asked }), without }
  }

  #start(asked: Asked, manifest: Manifest, stages: readonly Serving[], without: Set<PeerId>): void {
    const session = toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId
    const startedAt = this.#ports.uptime()
    const corrected = asked.corrects === undefined ? undefined : this.#table.over(asked.corrects)
    const s: Session = {
      asked,
      session,
      request: corrected?.requester === asked.peer ? corrected.request : session,
      manifest,
      epoch: this.#ports.epochOf(asked.revision),
      startedAt,
      expiresAt: this.#ports.now() + ticketMs,
      maxRows: Math.min(chunkRows, ...stages.map((v) => v.holding.ready.rowLimit)),
      stages: [],
      attempt: 0,
      without,
      slow: new Set(),
      brokenLinks: new Map(),
      leaving: new Map(),
      faults: 0,
      quietUntil: 0,
      closing: false,
      dueAt: startedAt + ticketMs,
      released: false,
    }
    this.#table.add(s)
    this.counts.opened += 1
    this.#table.seat(s, stages)
    this.#table.issue(s)
  }

  #proof(peer: PeerId, session: SessionId, proof: Uint8Array<ArrayBuffer>): void {
    const s = this.#table.get(session)
    if (!s?.ledger || s.settling || !isParty(s, peer)) return
    void s.ledger.add(proof, peer).then(() => this.#settleIfComplete(s))
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
      .finally(() => this.#table.remove(s))
    return s.settling
  }

  async #writeReceipt(s: Session): Promise<void> {
    const { asked, session, request, manifest, epoch, ledger, done } = s
    if (!done || !ledger) return
    await ledger.judged()
    const custody = ledger.result(expectedRows(ledger.ticket, manifest, done))
    this.counts.chunksChecked += custody.checked
    this.counts.chunksFailed += custody.failed
    const log = (line: string) => this.#ports.log(`session ${session.slice(0, 8)}: ${line}`)
    for (const reason of custody.reasons) log(`custody: ${reason}`)
    const { trust, store } = this.#ports
    const ended: EndedSession = { session, request, asked, manifest, ledger, custody, done, epoch }
    const { receipt, writes } = await provisional(ended, this.#ports)
    // The epoch of the route: a server that has lost the swarm since can't write for it.
    const written = await patientCommit(store, { cell: asked.revision, epoch, writes }, this.#closing.signal)
    if (written !== 'ok') return log('no receipt: another server has taken over')
    this.counts.settled += 1
    this.rows.set(asked.revision, (this.rows.get(asked.revision) ?? 0) + done.promptPositions + done.answerPositions)
    this.#table.tellStages(s, { t: 'settled', session })
    this.#ports.send(asked.peer, { t: 'receipt', receipt })
    if (custody.named.length > 0) trust.failedCustody(session, asked.revision, custody.named)
    trust.ended(ended, receipt)
  }

  #placesFree(s: Session): void {
    this.standbys.close(s.session)
    this.#lines.sessionEnded(s.asked.revision, this.#ports.uptime() - s.startedAt)
    this.roomMade()
  }

  #refuse(asked: Asked, error: ManyhandsError): void {
    this.#tell(asked, (id) => ({ t: 'error', id, error: error.toWire() }))
  }

  #tell({ peer, id }: Asked, message: (id: number) => Parameters<SessionsPorts['send']>[1]): void {
    if (id !== undefined) this.#ports.send(peer, message(id))
  }
}
