/**
 * Sessions from asking to receipt: admission, route and ticket, custody as it comes, the end, settlement. Capacity is taken
 * when a route is given and given back exactly once.
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { plainBytes, toHex } from '../protocol/bytes.ts'
import { proofBytes } from '../protocol/custody.ts'
import { ManyhandsError, type WireError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { chunkRows, ticketMs } from '../protocol/limits.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { signTicket, type Ticket } from '../protocol/ticket.ts'
import { AdmissionQueue } from './admission.ts'
import { CustodyLedger } from './custody-ledger.ts'
import { route } from './routing.ts'
import { expectedRows, makeReceipt, proofWaitMs, type Done } from './settlement.ts'
import type { Store, Write } from './store.ts'
import type { Manifest } from '../protocol/manifest.ts'
import { addDemand, type Swarm, type Volunteer } from './swarm.ts'

/** A request for a session, as its requester sent it. */
export interface Asked {
  readonly peer: PeerId
  readonly key: string
  readonly id: number
  readonly revision: Revision
  readonly maxPositions: number
}

interface Session {
  readonly asked: Asked
  readonly session: SessionId
  readonly manifest: Manifest
  readonly stages: readonly Volunteer[]
  readonly startedAt: number
  /** Present once the ticket is signed. */
  ledger?: CustodyLedger
  /** The last stage's word that it ended; proofs are waited for until `settleBy`. */
  done?: Done
  settleBy: number
  released: boolean
  settled: boolean
}

export interface SessionsPorts {
  readonly identity: Identity
  readonly store: Store
  /** A model that is offered, with its volunteers. */
  swarm(revision: Revision): Swarm | undefined
  epochOf(revision: Revision): number
  send(peer: PeerId, message: ServerMessage): boolean
  now(): number
  /** Uniform in [0, 1). */
  random(): number
  log(line: string): void
}

/** A session that nobody ended is let go after its ticket's life. */
const overdueMs = ticketMs
/** Proofs a single message may bring. */
const maxProofsAtOnce = 64

export class Sessions {
  /** Totals since the start, for /metrics. */
  readonly counts = { opened: 0, settled: 0, failed: 0, busy: 0, chunksChecked: 0, chunksFailed: 0 }
  readonly #ports: SessionsPorts
  readonly #sessions = new Map<SessionId, Session>()
  readonly #queues = new Map<Revision, AdmissionQueue<Asked>>()

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
    addDemand(model, this.#ports.now())
    const queue = this.#queue(asked.revision)
    if (queue.length === 0 && this.#admit(asked)) return
    const place = queue.enter(asked.peer, asked, this.#ports.now())
    if ('ahead' in place) return void this.#ports.send(asked.peer, { t: 'queued', id: asked.id, ahead: place.ahead })
    this.counts.busy += 1
    this.#refuse(asked, new ManyhandsError('busy', 'Every place is taken and the line is full. Come again in a moment.', place))
  }

  /** The requester is done with a session, or gives up waiting for one. */
  close(peer: PeerId, id: number): void {
    for (const queue of this.#queues.values()) queue.leave((a) => a.peer === peer && a.id === id)
    for (const s of this.#sessions.values()) {
      if (s.asked.peer === peer && s.asked.id === id && !s.done) this.#end(s)
    }
  }

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
    if (!s || s.released || ![s.asked.peer, ...s.stages.map((v) => v.peer)].includes(peer)) return
    this.#ports.log(`session ${session.slice(0, 8)}: ${error.code} at ${peer.slice(0, 8)}: ${error.message}`)
    this.#fail(s, error, undefined)
  }

  done(peer: PeerId, message: Extract<ClientMessage, { t: 'done' }>): void {
    const s = this.#sessions.get(message.session)
    if (!s || s.done || s.stages.at(-1)?.peer !== peer) return
    s.done = message
    s.settleBy = this.#ports.now() + proofWaitMs
    this.#release(s)
    this.#settleIfComplete(s)
  }

  /** One or more proofs, end to end. @throws ManyhandsError bad-message */
  proofs(peer: PeerId, bytes: Uint8Array): void {
    const count = bytes.length / proofBytes
    if (!Number.isInteger(count) || count < 1 || count > maxProofsAtOnce)
      throw new ManyhandsError('bad-message', `Custody proofs take ${proofBytes} bytes each.`)
    for (let i = 0; i < count; i++) {
      const proof = plainBytes(bytes.slice(i * proofBytes, (i + 1) * proofBytes))
      const s = this.#sessions.get(toHex(proof.subarray(0, 16)) as SessionId)
      if (!s?.ledger || s.settled) continue
      void s.ledger.add(proof, peer).then(() => this.#settleIfComplete(s))
    }
  }

  /** Receipts for what has ended, with the proofs that are there: the server is going away. */
  async settleAll(): Promise<void> {
    await Promise.all([...this.#sessions.values()].filter((s) => s.done).map((s) => this.#settle(s)))
  }

  drainQueues(): void {
    for (const queue of this.#queues.values()) queue.drain((asked) => this.#admit(asked))
  }

  tick(): void {
    const now = this.#ports.now()
    for (const s of this.#sessions.values()) {
      if (s.done && !s.settled && now > s.settleBy) void this.#settle(s)
      else if (!s.done && now - s.startedAt > overdueMs) this.#end(s)
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

  /** True when the request needs to wait no longer: it has a route, or will never have one. */
  #admit(asked: Asked): boolean {
    const swarm = this.#ports.swarm(asked.revision)
    if (!swarm) {
      this.#refuse(asked, new ManyhandsError('unknown-model', 'This model is no longer offered.'))
      return true
    }
    const { name } = swarm.model.manifest
    const routing = route(swarm, asked.maxPositions, this.#ports.random)
    if ('full' in routing) return false
    if ('stages' in routing) void this.#start(asked, swarm.model.manifest, routing.stages)
    else if ('missing' in routing) {
      const blocks = routing.missing.map(({ first, end }) => `${first}-${end - 1}`).join(', ')
      const sentence = `Nobody online holds blocks ${blocks} of ${name}. Try again when more people give, or give yourself.`
      this.#refuse(asked, new ManyhandsError('no-volunteers', sentence, { retryAfterMs: 5_000 }))
    } else {
      const sentence = `The volunteers who hold ${name} now have memory for ${routing.most} tokens, prompt and answer together: shorten the prompt or ask for fewer.`
      this.#refuse(asked, new ManyhandsError('context-overflow', sentence))
    }
    return true
  }

  async #start(asked: Asked, manifest: Manifest, stages: readonly Volunteer[]): Promise<void> {
    const { identity, now } = this.#ports
    const issuedAt = now()
    const session = toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId
    const s: Session = { asked, session, manifest, stages, startedAt: issuedAt, settleBy: Infinity, released: false, settled: false }
    this.#sessions.set(session, s)
    this.counts.opened += 1
    for (const v of stages) {
      v.sessions += 1
      v.positions += asked.maxPositions
    }
    const ticket: Ticket = await signTicket(
      {
        v: 1,
        session,
        revision: asked.revision,
        requester: { peer: asked.peer, key: asked.key },
        stages: stages.map(({ peer, key, holding }) => ({
          peer,
          key,
          blocks: [holding?.blocks.first ?? 0, holding?.blocks.end ?? 0],
          backend: holding?.ready?.backend ?? 'wasm',
        })),
        maxPositions: asked.maxPositions,
        maxRows: Math.min(chunkRows, ...stages.map((v) => v.holding?.ready?.rowLimit ?? 1)),
        epoch: this.#ports.epochOf(asked.revision),
        generation: 0,
        issuedAt,
        expiresAt: issuedAt + ticketMs,
        serverKey: identity.publicKey,
      },
      identity.privateKey,
    )
    // While the ticket was being signed a stage may have gone, and the session with it.
    if (s.released) return
    s.ledger = new CustodyLedger(ticket)
    for (const v of stages) this.#ports.send(v.peer, { t: 'session', ticket })
    if (!this.#ports.send(asked.peer, { t: 'route', id: asked.id, ticket })) this.#end(s)
  }

  #settleIfComplete(s: Session): void {
    if (!s.done || s.settled || !s.ledger) return
    const expected = expectedRows(s.ledger.ticket, s.manifest, s.done)
    if (expected && s.ledger.complete(expected)) void this.#settle(s)
  }

  async #settle(s: Session): Promise<void> {
    if (s.settled || !s.done || !s.ledger) return
    s.settled = true
    const { done, ledger } = s
    const expected = expectedRows(ledger.ticket, s.manifest, done)
    const result = ledger.result(expected)
    this.counts.settled += 1
    this.counts.chunksChecked += result.checked
    this.counts.chunksFailed += result.failed
    for (const reason of result.reasons) this.#ports.log(`session ${s.session.slice(0, 8)}: custody: ${reason}`)
    const at = this.#ports.now()
    const receipt = await makeReceipt(ledger, result, done, this.#ports.identity, at)
    const writes: Write[] = [{ t: 'receipt', receipt }]
    if (result.failed === 0) {
      const rows = s.manifest.decoder ? Math.max(0, done.promptPositions + done.answerPositions - 1) : 1
      for (const { peer, blocks } of ledger.ticket.stages) {
        writes.push({
          t: 'work',
          entry: { session: s.session, peer, revision: s.asked.revision, first: blocks[0], end: blocks[1], rows, at },
        })
      }
    }
    const written = await this.#ports.store.commit(s.asked.revision, this.#ports.epochOf(s.asked.revision), writes)
    this.#sessions.delete(s.session)
    if (written === 'ok') this.#ports.send(s.asked.peer, { t: 'receipt', receipt })
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
    this.#queues.get(s.asked.revision)?.sessionEnded(this.#ports.now() - s.startedAt)
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
