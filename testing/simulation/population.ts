/**
 * Who is there: places that people come to and go from, some back with their key; attackers, who never leave and, barred,
 * are back at once as strangers; anchors. And where each stands: among producers, newcomers, or the proven.
 */
import type { PeerId } from '../../protocol/ids.ts'
import type { Candidate } from '../../signaling-server/trust/auditors.ts'
import { afterBar, barsAt, type PrefixStanding } from '../../signaling-server/trust/prefixes.ts'
import { rankOf, routingCost, stranger, type Rank, type Standing } from '../../signaling-server/trust/standing.ts'
import { sessionsPerStage } from '../../signaling-server/routing.ts'
import { kindOf, planOf, type Kind, type Plan } from './attackers.ts'
import type { Job } from './jobs.ts'
import { world, type Options } from './options.ts'
import { createProducers, type Producers, type Seat } from './producers.ts'
import type { Random } from './random.ts'
import type { Wheel } from './wheel.ts'

export interface Peer extends Candidate, Seat {
  readonly kind: Kind
  readonly plan: Plan
  standing: Standing
  prefixBars: number
  place: Place
  online: boolean
  /** Counts its visits: what was begun in one doesn't outlast it. */
  visit: number
  since: number
  leftAt: number
  rank: Rank
  /** Counted among the proven online. */
  isProven: boolean
  pool: Producers<Peer> | undefined
  crowd: Peer[] | undefined
  crowdAt: number
  /** Stage-jobs since it may produce. */
  jobs: number
  auditing: boolean
  disputed: boolean
  /** Jobs it did, and jobs it agreed to, whose rows are still kept. */
  kept: Job[]
  vouched: Job[]
}

interface Place {
  readonly stage: Stage
  readonly kind: Kind | 'anchor'
  prefix: string
}

/** Holders of the same blocks. */
export interface Stage {
  readonly proven: Producers<Peer>
  /** They produce only when no proven one has a place free. */
  readonly unproven: Producers<Peer>
  readonly newcomers: Peer[]
  readonly known: Peer[]
  readonly anchors: Peer[]
}

export interface Population {
  readonly stages: readonly Stage[]
  /** To be called after whatever changes what is thought of a peer, or its sessions. */
  settle(peer: Peer): void
  /** The server bars a key: its prefix is remembered, and an attacker comes back with another. */
  bar(peer: Peer): void
  nowMs(): number
  /** Online and proven, anchors not counted. */
  proven(): number
}

const spread = Math.log(world.stay90 / world.stayMedian) / 1.2815515655446004
/** Minutes of a visit at which its cost in routing has halved. */
const agedSteps = [2, 4, 8, 15]

export function createPopulation({ attack, peers, freshAddresses }: Options, wheel: Wheel, random: Random): Population {
  const prefixes = new Map<string, PrefixStanding>()
  const due: Peer[] = []
  let keys = 0
  let proven = 0
  const nowMs = () => Math.round(wheel.now * 60_000)
  const somePrefix = () => `p${random.below(Math.ceil(world.prefixes * peers))}`
  const stages = Array.from({ length: world.stages }, (): Stage => {
    return { proven: createProducers(), unproven: createProducers(), newcomers: [], known: [], anchors: [] }
  })

  function newKey(place: Place): Peer {
    const kind = place.kind === 'anchor' ? 'honest' : place.kind
    return {
      peer: `k${keys++}` as PeerId,
      anchor: place.kind === 'anchor',
      wasm: kind === 'stealthy' ? false : random.uniform() < world.wasm,
      kind,
      plan: planOf(kind, random),
      standing: stranger,
      prefix: place.prefix,
      prefixBars: barsAt(prefixes.get(place.prefix), nowMs()),
      place,
      online: false,
      visit: 0,
      since: 0,
      leftAt: 0,
      rank: 'new',
      isProven: false,
      sessions: 0,
      costClass: -1,
      at: 0,
      pool: undefined,
      crowd: undefined,
      crowdAt: 0,
      jobs: 0,
      auditing: false,
      disputed: false,
      kept: [],
      vouched: [],
    }
  }

  function settle(peer: Peer): void {
    proven -= Number(peer.isProven)
    peer.rank = rankOf(peer, nowMs())
    peer.isProven = peer.online && peer.rank === 'proven'
    proven += Number(peer.isProven)
    const { stage } = peer.place
    const known = peer.rank === 'anchor' || peer.rank === 'proven'
    const pool = known ? stage.proven : stage.unproven
    if (peer.pool && peer.pool !== pool) peer.pool.place(peer, Infinity)
    peer.pool = pool
    const serves = peer.online && peer.rank !== 'barred' && !peer.disputed && peer.sessions < sessionsPerStage
    const cost = serves ? (1 + peer.sessions) * routingCost(peer, (wheel.now - peer.since) * 60_000) : Infinity
    pool.place(peer, cost)
    const free = peer.online && peer.rank !== 'barred' && !peer.auditing
    const crowd = !free ? undefined : peer.anchor ? stage.anchors : known ? stage.known : stage.newcomers
    if (crowd !== peer.crowd) moveTo(peer, crowd)
  }

  function arrive(peer: Peer, place: Place): void {
    peer.place = place
    peer.online = true
    peer.visit++
    peer.since = wheel.now
    settle(peer)
    const { visit } = peer
    for (const minutes of agedSteps) wheel.after(minutes, () => peer.visit === visit && peer.online && settle(peer))
  }

  function depart(peer: Peer): void {
    peer.online = false
    peer.leftAt = wheel.now
    peer.sessions = 0
    peer.auditing = false
    settle(peer)
    // What nobody keeps any longer is forgotten here too, with all that it refers to.
    wheel.after(world.keptMinutes, () => {
      if (peer.online) return
      peer.kept = []
      peer.vouched = []
    })
  }

  function visitor(place: Place): void {
    place.prefix = somePrefix()
    const peer = due.pop() ?? newKey(place)
    arrive(peer, place)
    const stay = world.stayMedian * Math.exp(spread * random.normal())
    wheel.after(stay, () => {
      if (peer.rank === 'barred') peer.leftAt = wheel.now
      else if (random.uniform() < world.returnRate) wheel.after(random.exponential(world.awayMean), () => due.push(peer))
      depart(peer)
      visitor(place)
    })
  }

  const anchors = Math.ceil(world.anchors * peers)
  const attackers = Math.round(attack.share * peers)
  // Spread over the stages alike: the places of a kind follow one another.
  for (let i = 0; i < peers; i++) {
    const stage = stages[i % world.stages] as Stage
    const kind = i < anchors ? 'anchor' : i < anchors + attackers ? kindOf(attack, i - anchors, attackers) : 'honest'
    const place: Place = { stage, kind, prefix: kind === 'anchor' ? `anchor ${i}` : somePrefix() }
    if (kind === 'honest') visitor(place)
    else arrive(newKey(place), place)
  }

  return {
    stages,
    settle,
    nowMs,
    proven: () => proven,
    bar(peer) {
      const prefix = peer.prefix as string
      prefixes.set(prefix, afterBar(prefixes.get(prefix), nowMs()))
      settle(peer)
      if (peer.kind === 'honest') return
      const { place } = peer
      depart(peer)
      if (freshAddresses) place.prefix = somePrefix()
      arrive(newKey(place), place)
    },
  }
}

function moveTo(peer: Peer, crowd: Peer[] | undefined): void {
  if (peer.crowd) {
    const last = peer.crowd.pop() as Peer
    if (last !== peer) {
      peer.crowd[peer.crowdAt] = last
      last.crowdAt = peer.crowdAt
    }
  }
  peer.crowd = crowd
  if (crowd) peer.crowdAt = crowd.push(peer) - 1
}
