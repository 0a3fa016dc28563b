/**
 * Audits from draw to verdict: which ended work is computed again, by whom, who decides when two disagree, and what is looked
 * at then. The decisions are trust/'s, the re-executions audit-runs.ts's, the outcome is written in one commit. Nothing waits
 * for an audit but its receipt. docs/protocol.md [AU].
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { linkEnds } from '../protocol/ticket.ts'
import { compareToProducer, verdictOf, type Work } from './audit-case.ts'
import { changesOf, type Changes, type Conclusion } from './audit-outcome.ts'
import { stageChunks, stageJobs, type Party, type StageJob } from './audit-plan.ts'
import { signedHashes } from './audit-run.ts'
import { AuditorChoice, type Case, type Why } from './audit-choice.ts'
import { AuditRuns, type RunResult } from './audit-runs.ts'
import { Disputes } from './disputes.ts'
import { KeptSessions, type Job, type KeptSession, type Participant } from './kept-sessions.ts'
import type { Serving } from './routing.ts'
import { expectedRows, settled } from './settlement.ts'
import type { Standings } from './standings.ts'
import type { Store } from './store.ts'
import { afterAudit, agreementWeight, auditShare, canaryShareOf, quietNetwork, recheckShareOf } from './trust/audit-policy.ts'
import { jobsToRecheck } from './trust/backtrack.ts'
import { backendKey } from './trust/quarantine.ts'
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
/** Peers whose strikes may turn out to be their backend's. */
const maxStruck = 1_000
type Of<T extends ClientMessage['t']> = Extract<ClientMessage, { t: T }>

export class Audits {
  /** Totals since the start, for /metrics. */
  readonly counts = {
    drawn: 0,
    agreed: 0,
    mismatches: 0,
    lost: 0,
    auditorsLost: 0,
    split: 0,
    void: 0,
    strikes: 0,
    barred: 0,
    quarantined: 0,
    wrong: 0,
  }
  readonly #ports: AuditsPorts
  readonly #runs: AuditRuns
  readonly #kept = new KeptSessions()
  readonly #disputes = new Disputes()
  /** In the order in which they wait for somebody. */
  readonly #cases = new Set<Case>()
  readonly #struck = new Map<string, PeerId[]>()
  readonly #withheld = new Withheld()
  readonly #choice: AuditorChoice
  #network = quietNetwork

  constructor(ports: AuditsPorts) {
    this.#ports = ports
    this.#runs = new AuditRuns(ports)
    this.#choice = new AuditorChoice({
      ...ports,
      isBusy: (peer) => this.#runs.isBusy(peer),
      tried: (c, auditor) => this.#tried(c, auditor),
    })
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
      const kept = await this.#keep(ended, promptHash)
      for (const peer of unproven(ended)) this.#withheld.note(peer, this.#ports.uptime())
      const now = this.#ports.now()
      for (const job of kept.jobs) {
        if (this.#ports.random() < auditShare(this.#ports.standings.known(job.job.peer), this.#network, now)) this.#examine(job, 'drawn')
      }
      for (const session of this.#disputes.due(kept.session, (s) => this.#kept.get(s))) this.#examineAll(session)
      if (kept.pending === 0) await this.#settle(kept)
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

  async #keep({ session, request, asked, ledger, custody }: EndedSession, promptHash: string): Promise<KeptSession> {
    const jobs: Job[] = []
    const peers = new Set(ledger.tickets.flatMap((t) => t.stages.map((s) => s.peer)))
    const participants: Participant[] = [...peers].map((peer) => ({ peer, prefix: this.#ports.standings.known(peer).prefix }))
    const endedAt = this.#ports.uptime()
    const kept: KeptSession = {
      session,
      request,
      revision: asked.revision,
      requester: asked.peer,
      endedAt,
      participants: [...participants, { peer: asked.peer, prefix: asked.network }],
      chunks: stageChunks(ledger),
      promptHash,
      jobs,
      pending: 0,
      wrong: false,
      // What was not all proven stays provisional.
      settled: custody.failed > 0,
    }
    for (const job of await stageJobs(ledger)) {
      const { peer, backend, revision, chunks } = job
      const key = backendKey(revision, backend, this.#ports.volunteer(peer)?.holding.ready.adapter)
      const producer = { peer, wasm: backend === 'wasm', backendKey: key, outputs: signedHashes(job) }
      jobs.push({ of: kept, job, producer, at: endedAt, chunks, checked: false, agreed: [], open: false })
    }
    this.#kept.add(kept)
    return kept
  }

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
    this.counts.drawn += 1
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
    const known = this.#kept.canary(job.revision, job.first, job.end, auditor.peer, uptime(), random)
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
    this.counts.mismatches += 1
    c.sides = [c.job.peer, auditor]
    for (const peer of c.sides) this.#ports.standings.dispute(peer, true)
  }

  /** Everything that follows, in one commit; what is looked at next, after it. */
  async #conclude(c: Case, conclusion: Conclusion): Promise<void> {
    this.#cases.delete(c)
    const { of, job, producer, works } = c
    const kept = of.of
    const { standings, now } = this.#ports
    const before = of.agreed.filter((w) => w.wasm && producer.wasm)
    const involved = [producer.peer, ...works.map((w) => w.peer), ...before.map((w) => w.peer)]
    const producerLost = conclusion.t === 'lost' && conclusion.losers.includes(producer.peer)
    const isWrong = producerLost || conclusion.t === 'split'
    const isNews = isWrong && !kept.wrong
    if (isWrong) kept.wrong = true
    const right =
      isWrong || conclusion.t === 'void' ? [] : works.filter((w) => conclusion.t !== 'lost' || !conclusion.losers.includes(w.peer))
    of.open = false
    const weight = agreementWeight(this.#network)
    let changes: Changes | undefined
    let receipt: Receipt | undefined
    const written = await standings
      .commit(kept.revision, involved, async (draft) => {
        // In turn, so that a receipt never counts what is not written before it.
        kept.pending -= 1
        of.agreed.push(...right)
        const struck = (key: string) => this.#struck.get(key) ?? []
        const decided = changesOf(draft, { job, producer, works, before, conclusion, weight }, struck, now())
        changes = decided
        receipt = await this.#settledReceipt(kept)
        return [...decided.writes, ...(receipt ? [{ t: 'receipt', receipt } as const] : [])]
      })
      .catch((thrown: unknown) => {
        this.#ports.failed(thrown)
        return false
      })
    for (const peer of c.sides) standings.dispute(peer, false)
    if (!written) of.agreed = of.agreed.filter((w) => !right.some((r) => r === w))
    if (right.length > 0 && written) {
      of.checked ||= right.some((w) => w.rank === 'proven' || w.rank === 'anchor')
      this.#withheld.forgive(producer.peer)
    }
    this.#count(conclusion, producerLost)
    if (isNews) this.#tellWrong(kept, job, changes?.losers ?? [], producerLost)
    if (!written || !changes) return this.#pump()
    if (receipt) this.#sendReceipt(kept, receipt)
    this.#follow(c, conclusion, changes)
    this.#pump()
  }

  #count(conclusion: Conclusion, producerLost: boolean): void {
    const name = conclusion.t === 'lost' ? (producerLost ? 'lost' : 'auditorsLost') : conclusion.t
    this.counts[name] += 1
  }

  #tellWrong(kept: KeptSession, job: StageJob, losers: readonly PeerId[], producerLost: boolean): void {
    this.counts.wrong += 1
    const reason = producerLost
      ? `Blocks ${job.first + 1} to ${job.end} of the model were computed wrongly.`
      : `Blocks ${job.first + 1} to ${job.end} of the model came out differently each time they were computed.`
    this.#ports.log(`session ${kept.session.slice(0, 8)}: ${reason}`)
    this.#ports.wrong(kept.session, reason, producerLost ? losers : [job.peer])
  }

  /** Other work of those who lost, backends that are doubted, and who is watched because of what newcomers found. */
  #follow(c: Case, conclusion: Conclusion, { losers, barred, quarantined, writes }: Changes): void {
    const { now, uptime, random, standings } = this.#ports
    const { of, producer, works } = c
    if (conclusion.t !== 'void') this.#network = afterAudit(this.#network, barred.includes(producer.peer))
    this.counts.barred += barred.length
    this.counts.strikes += writes.filter((w) => w.t === 'strike').length
    for (const key of quarantined) {
      this.counts.quarantined += 1
      this.#struck.delete(key)
      this.#ports.log(`a backend is doubted: ${key}`)
      this.#ports.doubted(key)
    }
    for (const peer of losers) {
      const { backendKey: key } = [producer, ...works, ...of.agreed].find((w) => w.peer === peer) ?? producer
      if (!quarantined.includes(key)) this.#struck.set(key, [...(this.#struck.get(key) ?? []), peer].slice(-maxStruck))
      this.#ports.log(
        `${peer.slice(0, 8)} was found wrong at session ${of.of.session.slice(0, 8)}, blocks ${of.job.first + 1}-${of.job.end}`,
      )
      const kept = this.#kept.workOf(peer, uptime()).filter((job) => job !== of && !job.open && !job.of.wrong)
      for (const job of jobsToRecheck(kept, of.at, barred.includes(peer))) this.#examine(job, 'backtrack')
    }
    const [first] = works
    if (
      c.why === 'drawn' &&
      conclusion.t === 'agreed' &&
      first &&
      !of.of.wrong &&
      random() < recheckShareOf(standings.known(first.peer), now())
    )
      this.#examine(of, 'recheck')
  }

  // ---- Receipts --------------------------------------------------------------------------------------------------------

  async #settle(kept: KeptSession): Promise<void> {
    let receipt: Receipt | undefined
    const written = await this.#ports.standings.commit(kept.revision, [], async () => {
      receipt = await this.#settledReceipt(kept)
      return receipt ? [{ t: 'receipt', receipt }] : []
    })
    if (written && receipt) this.#sendReceipt(kept, receipt)
  }

  /** Once nothing is waited for: what was computed again with the same outcome, of all. Inside a commit only. */
  async #settledReceipt(kept: KeptSession): Promise<Receipt | undefined> {
    if (kept.pending > 0 || kept.wrong || kept.settled) return undefined
    const { store, identity, now } = this.#ports
    const last = await store.receipt(kept.request)
    if (last?.session !== kept.session) return undefined
    const done = kept.jobs.reduce((sum, job) => sum + (job.agreed.length > 0 ? job.chunks : 0), 0)
    return settled(last, { done, of: kept.chunks }, identity, now())
  }

  #sendReceipt(kept: KeptSession, receipt: Receipt): void {
    kept.settled = true
    this.#ports.send(kept.requester, { t: 'receipt', receipt })
  }
}

/** Stages at the ends of links of which rows are missing: one of the two did not sign. */
function unproven({ ledger, manifest, done }: EndedSession): Set<PeerId> {
  const { ticket } = ledger
  const peers = new Set<PeerId>()
  for (const [link, { from, to }] of expectedRows(ticket, manifest, done) ?? []) {
    const ends = linkEnds(ticket, link)
    if (!ends || link >= ticket.stages.length || ledger.rows(link) >= to - from) continue
    peers.add(ends.from).add(ends.to)
  }
  return peers
}
