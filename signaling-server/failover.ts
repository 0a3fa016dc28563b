/**
 * A session goes on when a stage dies, freezes, crawls, leaves or fails: others take its place and everybody is told in the
 * next generation's ticket. Where nobody can, it waits for a while. docs/protocol.md [FO].
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { ManyhandsError, type ErrorCode, type WireError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import { replacementMs } from '../protocol/limits.ts'
import { ringLink } from '../protocol/ticket.ts'
import type { Viewpoint } from './audience.ts'
import { hostOf, isParty, isStageOf, type BrokenLink, type Session } from './live-session.ts'
import { reroute, type Routing } from './routing.ts'
import { maxGenerations, type SessionTable } from './session-table.ts'
import { probeMs, slowest } from './stall.ts'
import type { Volunteer } from './swarm.ts'

type Of<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>

/** Stages of one session that may fail, each replaced by another: past them the fault is the session's own. */
const mostFaults = 4
/** Both ends of a link notice that it broke; the second's word within this is of the same break. */
const sameBreakMs = 5_000
/** A replacement runs the session's rows again before it can keep pace. */
const quietMs = 3_000
/** Whoever held a session up is given new ones last for so long. */
const slowMs = 60_000

/** What ends the session wherever it happens: no other stage would do better. */
const hopeless: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['aborted', 'closed', 'context-overflow', 'bad-input', 'timeout'])
/** One end of a link lied about what it carried. */
const disagreements: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['hash-mismatch', 'bad-signature'])

/** Who leaves is waited for so long while somebody catches up with it. */
const handOverMs = 5_000
/** Rows that a standby may lack: it runs them in a fraction of a second. */
const rowsBehind = 64

/** Who computes stages' rows alongside. */
export interface StandbyPort {
  stoodBy(session: SessionId, v: Volunteer): boolean
  /** False when nobody can stand by for this stage. */
  ask(s: Session, stage: PeerId): boolean
  /** Rows that the stage's standby has run. */
  held(session: SessionId, stage: PeerId): number
}

export class Failover {
  readonly #table: SessionTable
  readonly #standbys: StandbyPort
  readonly #wrong: (session: SessionId, reason: string, without: readonly PeerId[]) => void

  /** @param wrong ends a session whose text may be wrong and has it asked again */
  constructor(table: SessionTable, standbys: StandbyPort, wrong: (session: SessionId, reason: string, without: readonly PeerId[]) => void) {
    this.#table = table
    this.#standbys = standbys
    this.#wrong = wrong
  }

  /** A stage's peer is gone, or serves no more: others go on in its place. */
  stageLost(peer: PeerId, why: string): void {
    for (const s of this.#table.at(peer)) this.#goOnWithout(s, peer, why)
  }

  /** It wants to go: others catch up with it, and then go on in its place. */
  handOver(peer: PeerId): void {
    const { uptime } = this.#table.ports
    for (const s of this.#table.at(peer)) s.leaving.set(peer, { until: uptime() + (this.#standbys.ask(s, peer) ? handOverMs : 0) })
  }

  fault(peer: PeerId, { session, peer: other, error }: Of<'fault'>): void {
    const s = this.#table.get(session)
    if (!s || s.released || !isParty(s, peer)) return
    this.#table.log(s, `${error.code} at ${peer.slice(0, 8)}: ${error.message}`)
    const mine = peer === s.asked.peer || s.stages.some((v) => v.peer === peer)
    if (other !== undefined && isParty(s, other) && other !== peer) {
      // Of a neighbour that has been replaced nobody needs to hear any more.
      const both = mine && (other === s.asked.peer || s.stages.some((v) => v.peer === other))
      if (both) this.#linkFault(s, peer, other, error)
      return
    }
    if (!mine) return
    if (peer === s.asked.peer || hopeless.has(error.code) || s.faults >= mostFaults) return this.#table.fail(s, error)
    // One that pauses or leaves is no fault.
    if (error.code !== 'peer-lost') s.faults += 1
    s.without.add(peer)
    this.#goOnWithout(s, peer, error.message)
  }

  /** The last stage's word that nothing moves: its stages are asked. */
  stalled(peer: PeerId, { session, position, waitedMs }: Of<'stalled'>): void {
    const s = this.#table.get(session)
    const { uptime, send } = this.#table.ports
    if (!s?.ledger || s.released || hostOf(s) !== peer) return
    if (s.probe || s.waiting || s.gatheringUntil !== undefined || uptime() < s.quietUntil) return
    this.#table.log(s, `row ${position} has been under way for ${Math.round(waitedMs)} ms`)
    s.probe = { position, until: uptime() + probeMs, paces: new Map() }
    for (const v of s.stages) send(v.peer, { t: 'probe', session })
  }

  pace(peer: PeerId, { session, held, serviceMs }: Of<'pace'>): void {
    const s = this.#table.get(session)
    if (!s?.probe || !s.stages.some((v) => v.peer === peer)) return
    s.probe.paces.set(peer, { held, serviceMs })
    if (s.stages.every((v) => s.probe?.paces.has(v.peer))) this.#judgePace(s)
  }

  /**
   * The requester was away and is back: everybody begins where it left off.
   * @param viewpoint for whom it asks, which a server that took the session over has not heard yet
   */
  reopen(peer: PeerId, { id, session }: Of<'reopen'>, viewpoint?: Viewpoint): void {
    const s = this.#table.get(session)
    if (s && s.asked.peer === peer && !s.done) {
      s.asked = { ...s.asked, viewpoint, id }
      if (s.gatheringUntil === undefined && !s.waiting && s.ledger) this.#again(s)
      return
    }
    const error = new ManyhandsError('not-found', 'This session is over.')
    this.#table.ports.send(peer, { t: 'error', id, error: error.toWire() })
  }

  /** Whether sessions wait for somebody who holds a part of this model. */
  awaits(revision: Revision): boolean {
    for (const s of this.#table.all()) if (s.waiting && s.asked.revision === revision) return true
    return false
  }

  /** Somebody serves who did not, or has room: those that wait may go on. */
  roomMade(): void {
    for (const s of this.#table.all()) if (s.waiting && !s.released) this.#goOn(s)
  }

  tick(): void {
    const now = this.#table.ports.uptime()
    for (const s of this.#table.all()) {
      if (s.released) continue
      if (s.probe && now > s.probe.until) this.#judgePace(s)
      for (const [peer, { until }] of s.leaving) this.#handOver(s, peer, until)
      if (s.waiting && now > s.waiting.since + replacementMs) this.#giveUp(s, s.waiting.reason)
    }
  }

  /** Whole again if somebody can be found for what is missing; else it waits. */
  goOn(s: Session, why: string): void {
    delete s.probe
    if (!this.#table.ports.swarm(s.asked.revision)) {
      const error = new ManyhandsError('unknown-model', `${s.manifest.name} is no longer offered here.`)
      return this.#table.fail(s, error.toWire())
    }
    const generation = s.ledger?.ticket.generation ?? 0
    if (generation + 1 >= maxGenerations) {
      const error = new ManyhandsError('peer-lost', `${why} This answer has changed its volunteers too often to go on.`)
      return this.#table.fail(s, error.toWire())
    }
    this.#goOn(s, why)
  }

  // ------------------------------------------------------------------------------------------------------------------

  #goOnWithout(s: Session, peer: PeerId, why: string): void {
    if (s.closing) return this.#table.end(s, peer)
    // Its stages are still being counted: whoever is not back in time is replaced then.
    this.#table.seat(
      s,
      s.stages.filter((v) => v.peer !== peer),
    )
    if (s.gatheringUntil !== undefined) return
    this.goOn(s, why)
  }

  #handOver(s: Session, peer: PeerId, until: number): void {
    if (!s.stages.some((v) => v.peer === peer)) return void s.leaving.delete(peer)
    if (!s.ledger || s.waiting || s.gatheringUntil !== undefined) return
    const behind = s.ledger.rows(ringLink) - this.#standbys.held(s.session, peer)
    if (this.#table.ports.uptime() < until && behind > rowsBehind) return
    // Where nobody can take over it finishes what it has.
    this.#replaceIfPossible(s, peer, 'A volunteer is leaving.')
  }

  #goOn(s: Session, why?: string): void {
    const rather = this.#routing({ ...s, without: new Set([...s.without, ...s.slow]) }, s.stages)
    const routing = 'stages' in rather || s.slow.size === 0 ? rather : this.#routing(s, s.stages)
    if ('stages' in routing) {
      if (why !== undefined) this.#table.log(s, `${why} It goes on with others.`)
      return this.#give(s, routing.stages)
    }
    const reason = this.#reason(s, routing)
    // Nobody has heard of it yet, and nothing is lost.
    if (!s.ledger) return this.#giveUp(s, reason)
    const { uptime } = this.#table.ports
    if (s.waiting?.reason === reason) return
    s.waiting = { since: s.waiting?.since ?? uptime(), reason }
    this.#table.tell(s, (id) => ({ t: 'waiting', id, reason }))
  }

  #give(s: Session, stages: readonly Volunteer[]): void {
    const { counts, ports } = this.#table
    this.#table.seat(s, stages)
    delete s.waiting
    s.quietUntil = ports.uptime() + quietMs
    if (s.ledger) counts.rerouted += 1
    this.#table.issue(s)
  }

  /** Others in the place of one that could go on too: only where there are others. */
  #replaceIfPossible(s: Session, peer: PeerId, why: string): boolean {
    const without = new Set([...s.without, ...s.slow, peer])
    const routing = this.#routing(
      { ...s, without },
      s.stages.filter((v) => v.peer !== peer),
    )
    const generation = s.ledger?.ticket.generation ?? 0
    if (!('stages' in routing) || generation + 1 >= maxGenerations) return false
    this.#table.log(s, `${why} Another takes over from ${peer.slice(0, 8)}.`)
    this.#give(s, routing.stages)
    return true
  }

  /** The same stages in a new generation: whoever is not connected any more connects again. */
  #again(s: Session): void {
    if (s.stages.every((v) => v.awaySince === undefined)) this.goOn(s, 'Its peers connect again.')
  }

  #routing(s: Pick<Session, 'without' | 'asked' | 'maxRows' | 'session'>, kept: readonly Volunteer[]): Routing {
    const { asked, maxRows } = s
    const swarm = this.#table.ports.swarm(asked.revision)
    if (!swarm) return { missing: [] }
    const isStandby = (v: Volunteer) => this.#standbys.stoodBy(s.session, v)
    return reroute(swarm, { kept, maxPositions: asked.maxPositions, maxRows, isStandby }, this.#table.choice(s))
  }

  #reason({ manifest, stages }: Session, routing: Routing): string {
    if (!('missing' in routing)) return `Those who hold the missing part of ${manifest.name} have no room for this answer.`
    const blocks = routing.missing.map(({ first, end }) => `${first + 1}-${end}`).join(', ')
    const left = stages.length === 0 ? 'All volunteers of this answer are' : 'A volunteer is'
    return `${left} gone, and nobody else online holds blocks ${blocks} of ${manifest.name}.`
  }

  #giveUp(s: Session, reason: string): void {
    const sentence = `${reason} Try again when more people give, or give yourself.`
    this.#table.fail(s, new ManyhandsError('no-volunteers', sentence, { retryAfterMs: 5_000 }).toWire())
  }

  /** Two neighbours that can't go on with each other. */
  #linkFault(s: Session, peer: PeerId, other: PeerId, error: WireError): void {
    const { trust } = this.#table.ports
    if (hopeless.has(error.code)) return this.#table.fail(s, error)
    if (disagreements.has(error.code)) {
      trust.failedCustody(s.session, s.asked.revision, [], [peer, other])
      return this.#wrong(s.session, 'Two volunteers disagree on what was sent between them.', [this.#lesser(s, peer, other)])
    }
    // The requester's own connections are its own to mend, and those that are being counted may yet be back.
    if (s.gatheringUntil !== undefined || s.waiting) return
    const break_ = this.#noted(s, peer, other)
    if (break_ === 'known') return
    if (break_ === 'first' && error.code === 'peer-lost') return this.#again(s)
    const lesser = this.#lesser(s, peer, other)
    s.without.add(lesser)
    this.#goOnWithout(s, lesser, error.message)
  }

  #lesser(s: Session, a: PeerId, b: PeerId): PeerId {
    if (a === s.asked.peer) return b
    return b === s.asked.peer ? a : this.#table.ports.trust.lessTrusted(a, b)
  }

  #noted(s: Session, peer: PeerId, other: PeerId): 'known' | 'first' | 'again' {
    const ends = [peer, other].sort().join()
    const now = this.#table.ports.uptime()
    const known: BrokenLink | undefined = s.brokenLinks.get(ends)
    if (known && !known.by.has(peer) && now - known.at < sameBreakMs) {
      s.brokenLinks.set(ends, { ...known, by: new Set([...known.by, peer]) })
      return 'known'
    }
    s.brokenLinks.set(ends, { times: (known?.times ?? 0) + 1, at: now, by: new Set([peer]) })
    return known ? 'again' : 'first'
  }

  #judgePace(s: Session): void {
    const { probe, ledger } = s
    delete s.probe
    if (!probe || !ledger || s.waiting) return
    const { uptime } = this.#table.ports
    const asked = s.stages.map((v) => ({ peer: v.peer, usualMs: v.holding?.ready?.msPerRow ?? 0, pace: probe.paces.get(v.peer) }))
    const slow = s.stages.find((v) => v.peer === slowest(asked, probe.position))
    s.quietUntil = uptime() + quietMs
    if (!slow || !isStageOf(ledger.ticket, slow.peer)) return
    const went = this.#replaceIfPossible(s, slow.peer, 'It was held up.')
    if (!went) return
    s.slow.add(slow.peer)
    slow.slowUntil = uptime() + slowMs
  }
}
