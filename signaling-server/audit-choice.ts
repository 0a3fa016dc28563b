/**
 * Who computes a piece of work again, and whom it gets the rows from: of those that hold the same blocks, strangers to the
 * session, one piece each at a time. Which of them, trust/auditors.ts draws.
 */
import type { PeerId, Revision } from '../protocol/ids.ts'
import { mayServe } from './audience.ts'
import type { Party } from './audit-plan.ts'
import type { Examination } from './audit-runs.ts'
import type { Reexecution } from './audit-case.ts'
import type { Job } from './kept-sessions.ts'
import type { Serving } from './routing.ts'
import type { Standings } from './standings.ts'
import { chooseAuditor, chooseReferees, type Candidate } from './trust/auditors.ts'
import type { Known } from './trust/standing.ts'

/** Why a piece of work is examined. What is not drawn is done by those who have shown themselves. */
export type Why = 'drawn' | 'recheck' | 'backtrack' | 'dispute' | 'canary'

export interface Case extends Examination {
  readonly why: Why
  readonly of: Job
  /** Whom a canary tries, until it has. */
  auditor?: PeerId
  readonly works: Reexecution[]
  /** Auditors that it did not work out with. */
  readonly failed: Set<PeerId>
  /** `auditor/source` of rows that did not come, or not as they were signed. */
  readonly badSources: Set<string>
  /** Sides of its mismatch, until it is decided. */
  sides: readonly PeerId[]
  tries: number
  running: boolean
}

export interface ChoicePorts {
  readonly standings: Standings
  /** Volunteers that serve a model now. */
  serving(revision: Revision): Iterable<Serving>
  online(peer: PeerId): boolean
  isBusy(peer: PeerId): boolean
  /** Whether the auditor is tried with work of known outcome in this one's stead. */
  tried(c: Case, auditor: Known): boolean
  /** Wall time, ms since 1970. */
  now(): number
  /** Uniform in [0, 1), not to be foreseen by anybody. */
  random(): number
}

/** 'busy': all who could are at work. 'nobody': there is nobody else to ask. */
export type Chosen = { readonly auditor: Serving; readonly source: Party } | 'busy' | 'nobody'

interface Fit extends Candidate {
  readonly volunteer: Serving
}

export class AuditorChoice {
  readonly #ports: ChoicePorts

  constructor(ports: ChoicePorts) {
    this.#ports = ports
  }

  choose(c: Case): Chosen {
    const { now, random } = this.#ports
    const fit = this.#fit(c)
    const free = fit.filter((f) => !this.#ports.isBusy(f.peer))
    const chosen = this.#draw(c, free)
    const source = chosen && this.#source(c, chosen.peer)
    if (chosen && source) return { auditor: chosen.volunteer, source }
    const any =
      c.why === 'canary' && c.works.length === 0
        ? fit.some((f) => f.peer === c.auditor)
        : chooseReferees(fit, this.#involved(c), 1, now(), random).length > 0
    return any ? 'busy' : 'nobody'
  }

  #fit(c: Case): Fit[] {
    const { job, of, works, failed } = c
    const fit: Fit[] = []
    for (const v of this.#ports.serving(job.revision)) {
      if (!mayServe(v, of.of.viewpoint)) continue
      const { blocks, ready } = v.holding
      if (blocks.first !== job.first || blocks.end !== job.end || ready.rowLimit < job.maxRows) continue
      // Of a wasm host no logits are kept, so only its like can say whether they are right.
      if (job.last && job.backend === 'wasm' && ready.backend !== 'wasm') continue
      if (job.sampling && v.positions + job.rows > ready.cachePositions) continue
      if (failed.has(v.peer) || [...works, ...of.agreed].some((w) => w.peer === v.peer)) continue
      if (!this.#source(c, v.peer)) continue
      fit.push({ ...this.#ports.standings.known(v.peer), wasm: ready.backend === 'wasm', volunteer: v })
    }
    return fit
  }

  #draw(c: Case, among: readonly Fit[]): Fit | undefined {
    const { now, random } = this.#ports
    const involved = this.#involved(c)
    if (c.why === 'canary' && c.works.length === 0) return among.find((a) => a.peer === c.auditor)
    if (c.why !== 'drawn' || c.works.length > 0) return chooseReferees(among, involved, 1, now(), random)[0]
    const chosen = chooseAuditor(among, involved, now(), random)
    if (!chosen || !this.#ports.tried(c, chosen)) return chosen
    return chooseAuditor(
      among.filter((a) => a.peer !== chosen.peer),
      involved,
      now(),
      random,
    )
  }

  /** Everybody who had a part in the session, or in this. */
  #involved({ of, works }: Case): Known[] {
    const { standings } = this.#ports
    return [
      ...of.of.participants.map(({ peer, prefix }) => ({ ...standings.known(peer), prefix })),
      ...works.map((w) => standings.known(w.peer)),
    ]
  }

  /** One end of the link that its rows came by, at first by chance: whom they are asked of says nothing. */
  #source({ job, badSources }: Case, auditor: PeerId): Party | undefined {
    const there = job.sources.filter(({ peer }) => !badSources.has(`${auditor}/${peer}`) && this.#ports.online(peer))
    return there[Math.floor(this.#ports.random() * there.length)]
  }
}
