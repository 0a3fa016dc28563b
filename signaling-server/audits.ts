/**
 * Audits from draw to verdict: which ended work is computed again, by whom, and who decides when two disagree. The decisions
 * are trust/'s, the re-executions audit-runs.ts's; what follows a verdict is audit-aftermath.ts. Nothing waits for an audit but
 * its receipt. docs/protocol.md [AU].
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { Aftermath } from './audit-aftermath.ts'
import { compareToProducer, verdictOf, type Work } from './audit-case.ts'
import { AuditorChoice, type Case, type Why } from './audit-choice.ts'
import { keptSession, unproven } from './audit-intake.ts'
import type { Conclusion } from './audit-outcome.ts'
import type { Party } from './audit-plan.ts'
import { AuditReceipts } from './audit-receipts.ts'
import { AuditRuns, type RunResult } from './audit-runs.ts'
import { Disputes } from './disputes.ts'
import { KeptSessions, type Job, type KeptSession } from './kept-sessions.ts'
import type { GaveFor } from './projects/tally.ts'
import type { Serving } from './routing.ts'
import type { Standings } from './standings.ts'
import type { Store } from './store.ts'
import { auditShare, canaryShareOf } from './trust/audit-policy.ts'
import type { Known } from './trust/standing.ts'
import type { EndedSession } from './trust-port.ts'
import { Withheld } from './withheld.ts'

export interface AuditsPorts {
  readonly identity: Identity
  readonly store: Store
  readonly standings: Standings
  /** Volunteers that serve a model now. */
  serving(revision: Revision): Iterable<Serving>
  volunteer(peer: PeerId): Serving | undefined
  readonly gaveFor: GaveFor
  /** False when the peer is not connected. */
  send(peer: PeerId, message: ServerMessage): boolean
  online(peer: PeerId): boolean
  /** Wall time, ms since 1970: for what is signed and stored. */
  now(): number
  uptime(): number
  /** Uniform in [0, 1), not to be foreseen by anybody. */
  random(): number
  randomBytes(count: number): Uint8Array
  /** Its requester is told; its correction must do without these. */
  wrong(session: SessionId, reason: string, without: readonly PeerId[]): void
  /** A backend is not to serve a model any more. */
  doubted(backendKey: string): void
  log(line: string): void
  failed(thrown: unknown): void
}

/** Times that a re-execution is begun for one vote: another source, another auditor, and once more. */
const mostTries = 3
/** Examinations at once; what is drawn beyond is not audited. */
const maxCases = 10_000
/** Waiting ones that are looked at in one go. */
const maxLookedAt = 500

type Of<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>

export class Audits {
  readonly #ports: AuditsPorts
  readonly #runs: AuditRuns
  readonly #kept = new KeptSessions()
  readonly #disputes = new Disputes()
  /** In the order in which they wait for somebody. */
  readonly #cases = new Set<Case>()
  readonly #withheld = new Withheld()
  readonly #choice: AuditorChoice
  readonly #receipts: AuditReceipts
  readonly #aftermath: Aftermath
  #drawn = 0
  #mismatches = 0

  constructor(ports: AuditsPorts) {
    this.#ports = ports
    this.#runs = new AuditRuns(ports)
    this.#choice = new AuditorChoice({
      ...ports,
      isBusy: (peer) => this.#runs.isBusy(peer),
      tried: (c, auditor) => this.#tried(c, auditor),
    })
    this.#receipts = new AuditReceipts(ports)
    this.#aftermath = new Aftermath({
      ...ports,
      kept: this.#kept,
      receipts: this.#receipts,
      withheld: this.#withheld,
      examine: (of, why) => this.#examine(of, why),
    })
  }

  /** Totals since the start, for /metrics. */
  get counts() {
    return { drawn: this.#drawn, mismatches: this.#mismatches, ...this.#aftermath.counts }
  }

  get underWay(): number {
    return this.#cases.size
  }

  /** Did not hand over what it must keep, several times in a row: what it computes can't be checked. */
  withholds(peer: PeerId): boolean {
    return this.#withheld.has(peer)
  }

  /** Never rejects; resolves when its audits are drawn. */
  async ended(ended: EndedSession, { promptHash }: Receipt): Promise<void> {
    // Whom signatures prove wrong needs no audit.
    if (ended.custody.named.length > 0) return
    try {
      const kept = await keptSession(ended, promptHash, this.#ports)
      this.#kept.add(kept)
      for (const peer of unproven(ended)) this.#withheld.note(peer, this.#ports.uptime())
      const now = this.#ports.now()
      for (const job of kept.jobs) {
        if (this.#ports.random() < auditShare(this.#ports.standings.known(job.job.peer), this.#aftermath.network, now))
          this.#examine(job, 'drawn')
      }
      for (const session of this.#disputes.due(kept.session, (s) => this.#kept.get(s))) this.#examineAll(session)
      if (kept.pending === 0) await this.#receipts.settle(kept)
      this.#pump()
    } catch (thrown) {
      this.#ports.failed(thrown)
    }
  }

  /** Pipelines that were asked the same answered differently. */
  dispute(peer: PeerId, { sessions }: Of<'dispute'>): void {
    for (const session of this.#disputes.begin(peer, sessions, this.#ports.uptime(), (s) => this.#kept.get(s))) this.#examineAll(session)
    this.#pump()
  }

  audited(peer: PeerId, message: Of<'audited'>): void {
    this.#runs.audited(peer, message)
  }

  sketched(peer: PeerId, message: Of<'sketched'>): void {
    this.#runs.sketched(peer, message)
  }

  unaudited(peer: PeerId, message: Of<'unaudited'>): void {
    this.#runs.unaudited(peer, message)
  }

  gone(peer: PeerId): void {
    this.#runs.gone(peer)
  }

  /** Found wrong elsewhere, by its custody: it is not settled, and nothing of it is a known outcome. */
  foundWrong(session: SessionId): void {
    const kept = this.#kept.get(session)
    if (kept) kept.wrong = true
  }

  tick(): void {
    this.#runs.tick()
    const now = this.#ports.uptime()
    this.#kept.forgetOld(now)
    this.#disputes.forgetOld(now)
    this.#withheld.forgetOld(now)
    this.#pump()
  }

  // ---- What is examined ------------------------------------------------------------------------------------------------

  #examineAll({ jobs }: KeptSession): void {
    for (const job of jobs) this.#examine(job, 'dispute')
  }

  #examine(of: Job, why: Why, auditor?: PeerId): void {
    if (of.open || this.#cases.size >= maxCases || !KeptSessions.isUsable(of.of, this.#ports.uptime())) return
    const producer: Work = { ...of.producer, rank: this.#ports.standings.rank(of.job.peer) }
    const c: Case = {
      why,
      of,
      job: of.job,
      producer,
      works: [],
      failed: new Set(),
      badSources: new Set(),
      sides: [],
      tries: 0,
      running: false,
    }
    if (auditor !== undefined) c.auditor = auditor
    of.open = true
    of.of.pending += 1
    this.#drawn += 1
    this.#cases.add(c)
  }

  // ---- Who does it -----------------------------------------------------------------------------------------------------

  #pump(): void {
    const waiting = [...this.#cases].filter((c) => !c.running)
    for (const c of waiting.slice(0, maxLookedAt)) {
      this.#advance(c)
      if (c.running || !this.#cases.delete(c)) continue
      // It has found nobody: others are looked at before it is again.
      this.#cases.add(c)
    }
  }

  #advance(c: Case): void {
    if (c.tries >= mostTries || !KeptSessions.isUsable(c.of.of, this.#ports.uptime())) return this.#weigh(c, 0)
    const chosen = this.#choice.choose(c)
    if (chosen === 'busy') return
    if (chosen === 'nobody') return this.#weigh(c, 0)
    const { auditor, source } = chosen
    c.running = true
    c.tries += 1
    delete c.auditor
    this.#runs.start(c, auditor, this.#ports.standings.rank(auditor.peer), source, (result) => this.#over(c, auditor.peer, source, result))
  }

  /** It can't tell which work it was given. */
  #tried({ job }: Case, auditor: Known): boolean {
    const { now, uptime, random } = this.#ports
    if (random() >= canaryShareOf(auditor, now())) return false
    const v = this.#ports.volunteer(auditor.peer)
    const known = v && this.#kept.canary(job.revision, job.first, job.end, v, uptime(), random)
    if (known) this.#examine(known, 'canary', auditor.peer)
    return known !== undefined
  }

  // ---- What comes of it ------------------------------------------------------------------------------------------------

  #over(c: Case, auditor: PeerId, source: Party, result: RunResult): void {
    c.running = false
    switch (result.t) {
      case 'work':
        c.works.push(result.work)
        c.tries = 0
        this.#weigh(c, Infinity)
        break
      case 'source':
        c.badSources.add(`${auditor}/${source.peer}`)
        if (source.peer === c.job.peer) this.#withheld.note(source.peer, this.#ports.uptime())
        break
      case 'auditor':
        c.failed.add(auditor)
        break
      case 'holder':
        c.tries = mostTries
        break
    }
    this.#pump()
  }

  /** @param available 0 when nobody is left who could be asked */
  #weigh(c: Case, available: number): void {
    const [first] = c.works
    if (!first) return void this.#conclude(c, { t: 'void' })
    if (c.works.length === 1) {
      // Two who agree need nobody else.
      if (compareToProducer(c.producer, first) === 'same') return void this.#conclude(c, { t: 'agreed' })
      if (available > 0) this.#mismatch(c, first.peer)
    }
    const verdict = verdictOf([c.producer, ...c.works], available)
    if (verdict.t !== 'more') void this.#conclude(c, verdict)
  }

  #mismatch(c: Case, auditor: PeerId): void {
    this.#mismatches += 1
    c.sides = [c.job.peer, auditor]
    for (const peer of c.sides) this.#ports.standings.dispute(peer, true)
  }

  async #conclude(c: Case, conclusion: Conclusion): Promise<void> {
    this.#cases.delete(c)
    await this.#aftermath.conclude(c, conclusion)
    this.#pump()
  }
}
