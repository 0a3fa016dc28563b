/**
 * What follows a stage-job's end: the draw of an audit, its auditor, the verdict, and what the losers answer for. Every
 * decision is the server's own (signaling-server/trust); only chance, time and people are made up here.
 */
import {
  afterAudit,
  agreementWeight,
  auditShare,
  canaryShareOf,
  quietNetwork,
  recheckShareOf,
  type NetworkStanding,
} from '../../signaling-server/trust/audit-policy.ts'
import { chooseAuditor, chooseReferees } from '../../signaling-server/trust/auditors.ts'
import { jobsToRecheck } from '../../signaling-server/trust/backtrack.ts'
import { newcomersCompared } from '../../signaling-server/trust/policy.ts'
import { afterAgreement, afterLoss } from '../../signaling-server/trust/standing.ts'
import { judge } from '../../signaling-server/trust/verdict.ts'
import { lieAsAuditor } from './attackers.ts'
import type { Job, Purpose, Request, Tally } from './jobs.ts'
import { world } from './options.ts'
import type { Peer, Population } from './population.ts'
import type { Random } from './random.ts'
import type { Wheel } from './wheel.ts'
import { createComparing, rightWork, wrongWork, type Work } from './work.ts'

interface Vote {
  readonly by: Peer
  readonly work: Work
}

export interface Audits {
  /** A request was answered: its stage-jobs are committed. */
  answered(request: Request): void
  network(): NetworkStanding
}

/** Auditors asked for one job before it is given up: those who leave in the middle. */
const mostTries = 3

export interface Scene {
  readonly people: Population
  readonly wheel: Wheel
  readonly random: Random
  readonly tally: Tally
  /** Whether what happens now is counted. */
  counts(): boolean
  /** The same request on other producers. */
  again(request: Request): readonly Work[] | undefined
}

export const honestWork = (wasm: boolean, random: Random): Work =>
  random.uniform() < world.honestFaults ? wrongWork(10 ** -random.exponential(1), wasm) : rightWork(wasm)

export function createAudits({ people, wheel, random, tally, counts, again }: Scene): Audits {
  let network = quietNetwork
  const comparing = createComparing(random, world.falseMismatches)
  const chance = () => random.uniform()

  // The shipped choice draws by chance, so it may as well be given a few of each crowd; the server gives it all.
  const sample = (crowd: readonly Peer[], looked: number): readonly Peer[] =>
    crowd.length <= looked ? crowd : Array.from({ length: looked }, () => crowd[random.below(crowd.length)] as Peer)
  const some = ({ producer }: Job): Peer[] => {
    const { newcomers, known, anchors } = producer.place.stage
    return [...sample(newcomers, newcomersCompared), ...sample(known, 3), ...sample(anchors, 2)]
  }
  const session = ({ request }: Job) => request.jobs.map(({ producer }) => producer)

  /** Computes the job again, if it stays for that. */
  function execute(by: Peer, { request: { rows, minutes, counted } }: Job, purpose: Purpose, then: (stayed: boolean) => void): void {
    by.auditing = true
    people.settle(by)
    const { visit } = by
    wheel.after(0.1 + minutes / 2, () => {
      const stayed = by.online && by.visit === visit && by.rank !== 'barred'
      tally.spend(stayed ? purpose : 'abandoned', stayed ? rows : rows / 2, counted)
      if (by.visit === visit && by.online) {
        by.auditing = false
        people.settle(by)
      }
      then(stayed)
    })
  }

  function workOf(by: Peer, { work, producer }: Job): Work {
    // It knows whose work it is given, and what its fellow has committed to.
    if (by.kind === 'cartel' && producer.kind === 'cartel' && work.error > 0) return { ...work, wasm: by.wasm }
    const lie = lieAsAuditor(by.kind, by.plan, random)
    return lie > 0 ? wrongWork(lie, by.wasm) : honestWork(by.wasm, random)
  }

  function audit(job: Job, tries = 0): void {
    const auditor = chooseAuditor(some(job), session(job), people.nowMs(), chance)
    if (!auditor) return
    if (chance() < canaryShareOf(auditor, people.nowMs())) {
      canary(auditor, job)
      return audit(job, tries)
    }
    execute(auditor, job, 'audits', (stayed) => {
      if (!stayed) return tries + 1 < mostTries ? audit(job, tries + 1) : undefined
      const votes = [
        { by: job.producer, work: job.work },
        { by: auditor, work: workOf(auditor, job) },
      ]
      if (!comparing.same(job.work, (votes[1] as Vote).work)) return decide(job, votes)
      agree(job.producer)
      agree(auditor)
      network = afterAudit(network, false)
      tally.checked((wheel.now - job.at) * 60_000)
      if (auditor.rank !== 'new') job.checked = true
      else keep(auditor.vouched, job)
      if (chance() < recheckShareOf(auditor, people.nowMs())) askReferee(job, votes, 'rechecks')
    })
  }

  /** Work whose outcome is known: no referees are needed. */
  function canary(auditor: Peer, job: Job): void {
    execute(auditor, job, 'canaries', (stayed) => {
      if (!stayed) return
      const right = lieAsAuditor(auditor.kind, auditor.plan, random) === 0 && honestWork(auditor.wasm, random).error === 0
      if (right) agree(auditor)
      else lose(auditor, job)
    })
  }

  /** `votes` are the producer's and whoever has computed it again, in order. */
  function decide(job: Job, votes: readonly Vote[], known = new Map<number, boolean>(), more = true): void {
    const same = (i: number, j: number): boolean => {
      const key = Math.min(i, j) * 8 + Math.max(i, j)
      const before = known.get(key) ?? comparing.same((votes[i] as Vote).work, (votes[j] as Vote).work)
      known.set(key, before)
      return before
    }
    const ballot = votes.map(({ by }) => ({ peer: by.peer, rank: by.rank }))
    const verdict = judge(ballot, same, more ? refereesFor(job, votes).length : 0)
    if (verdict.t === 'more') {
      for (const { by } of votes) dispute(by, true)
      return askReferee(job, votes, 'referees', known)
    }
    for (const { by } of votes) dispute(by, false)
    tally.checked((wheel.now - job.at) * 60_000)
    const losers = verdict.t === 'lost' ? verdict.losers : []
    const guilty = losers.includes(job.producer.peer)
    job.checked = !guilty && verdict.t !== 'split'
    const wasBarred = job.producer.rank === 'barred'
    for (const { by } of votes) {
      if (losers.includes(by.peer)) lose(by, job)
      else if (verdict.t !== 'split') agree(by)
    }
    network = afterAudit(network, guilty && !wasBarred && job.producer.standing.barredAt !== undefined)
    if (guilty || verdict.t === 'split') runAgain(job.request)
  }

  const refereesFor = (job: Job, votes: readonly Vote[]): Peer[] => {
    const involved = [...session(job), ...votes.map(({ by }) => by)]
    return chooseReferees(some(job), involved, 1, people.nowMs(), chance)
  }

  function askReferee(job: Job, votes: readonly Vote[], purpose: Purpose, known?: Map<number, boolean>, tries = 0): void {
    const [referee] = refereesFor(job, votes)
    if (!referee) return decide(job, votes, known, false)
    execute(referee, job, purpose, (stayed) => {
      if (stayed) decide(job, [...votes, { by: referee, work: workOf(referee, job) }], known)
      else if (tries + 1 < mostTries) askReferee(job, votes, purpose, known, tries + 1)
      else decide(job, votes, known, false)
    })
  }

  function dispute(peer: Peer, disputed: boolean): void {
    if (peer.disputed === disputed) return
    peer.disputed = disputed
    people.settle(peer)
  }

  function agree(peer: Peer): void {
    if (peer.rank === 'barred') return
    peer.standing = afterAgreement(peer.standing, agreementWeight(network))
    people.settle(peer)
  }

  function lose(peer: Peer, job: Job): void {
    if (peer.rank === 'barred') return
    peer.standing = afterLoss(peer.standing, people.nowMs())
    const barred = peer.standing.barredAt !== undefined
    if (counts()) {
      if (peer.kind === 'honest') tally[barred ? 'honestBars' : 'honestStrikes']++
      else if (barred) tally.attackerBars++
    }
    if (barred) people.bar(peer)
    else people.settle(peer)
    const lostAt = job.at
    for (const jobs of [peer.kept, peer.vouched]) {
      for (const other of jobsToRecheck(jobs.filter(isKept), lostAt, barred)) {
        if (other !== job && !other.rechecking) recheck(other)
      }
    }
  }

  const isKept = ({ at }: Job) => wheel.now - at < world.keptMinutes

  /** In the order of their ends. What is kept no longer goes in batches. */
  function keep(jobs: Job[], job: Job): void {
    jobs.push(job)
    if (jobs.length < 32 || isKept(jobs[16] as Job)) return
    jobs.splice(0, jobs.findIndex(isKept))
  }

  /** One referee is enough where it finds the same. */
  function recheck(job: Job, tries = 0): void {
    job.rechecking = true
    const own = { by: job.producer, work: job.work }
    const [referee] = refereesFor(job, [own])
    if (!referee) return
    execute(referee, job, 'backtracking', (stayed) => {
      if (!stayed) return tries + 1 < mostTries ? recheck(job, tries + 1) : undefined
      const vote = { by: referee, work: workOf(referee, job) }
      if (!comparing.same(job.work, vote.work)) return decide(job, [own, vote])
      job.checked = true
      agree(job.producer)
      agree(referee)
    })
  }

  function runAgain(request: Request): void {
    if (request.rerun) return
    const better = again(request)
    if (!better) return
    request.rerun = true
    tally.spend('reruns', request.jobs.length * request.rows, request.counted)
    tally.corrected(request, better)
  }

  return {
    network: () => network,
    answered(request) {
      for (const job of request.jobs) {
        const { producer } = job
        keep(producer.kept, job)
        if (chance() < auditShare(producer, network, people.nowMs())) audit(job)
      }
    },
  }
}
