/**
 * A whole network for some days: requests come, stages are chosen, people leave in the middle, answers go out, and what is
 * drawn is audited. Deterministic for a seed.
 */
import { standbyPays } from '../../signaling-server/standby.ts'
import { lieAsProducer } from './attackers.ts'
import { createAudits, honestWork } from './audits.ts'
import { createTally, type Figures, type Job, type Request } from './jobs.ts'
import { world, type Options } from './options.ts'
import { createPopulation, type Peer } from './population.ts'
import { createRandom } from './random.ts'
import { createWheel, minutesPerTick } from './wheel.ts'
import { wrongWork, type Work } from './work.ts'

interface Seated {
  readonly peer: Peer
  readonly visit: number
  /** When the request came. */
  readonly onlineMs: number
}

/** A killed tab's socket closes at once; its successor is told and dials: this long, and then for each row to replay. */
const noticedMs = 400
const replayMsPerRow = 5
/** A request that finds every place taken comes again after so long, so often. */
const againMinutes = 0.5
const mostWaits = 3
/** After the last counted request audits still end, and corrections are made. */
const lastMinutes = 30

export interface Progress {
  readonly minutes: number
  readonly figures: () => Figures
  /** What the server has found lately. */
  readonly barRate: number
  /** Proven peers online, at work or not. */
  readonly proven: number
}

export function simulate(options: Options, onHour?: (progress: Progress) => void): Figures {
  const random = createRandom(options.seed)
  const wheel = createWheel()
  const people = createPopulation(options, wheel, random)
  const tally = createTally()
  const perMinute = options.peers * world.load
  const from = options.young ? 0 : world.warmUpMinutes
  const until = from + options.jobs / perMinute
  const counts = () => wheel.now >= from && wheel.now < until
  const audits = createAudits({ people, wheel, random, tally, counts, again: rerun })

  /** One for each stage, from different networks. */
  function seat(): Seated[] | undefined {
    const seats: Peer[] = []
    for (const { proven, unproven } of people.stages) {
      const passes = (peer: Peer) => seats.every(({ prefix }) => prefix !== peer.prefix)
      const peer = proven.choose(random, passes) ?? unproven.choose(random, passes)
      if (!peer) return undefined
      seats.push(peer)
    }
    return seats.map((peer) => ({ peer, visit: peer.visit, onlineMs: (wheel.now - peer.since) * 60_000 }))
  }

  function ask(waits = 0): void {
    const counted = counts()
    if (waits === 0 && counted) tally.requests++
    const seats = seat()
    if (!seats) {
      if (waits < mostWaits) wheel.after(againMinutes, () => ask(waits + 1))
      else if (counted) tally.failed++
      return
    }
    for (const { peer } of seats) {
      peer.sessions++
      people.settle(peer)
    }
    const size = Math.exp(world.rowsSpread * random.normal())
    const request: Request = {
      rows: Math.ceil(world.rowsMedian * size),
      minutes: size / Math.exp(world.rowsSpread ** 2 / 2),
      jobs: [],
      counted,
      delayMs: waits * againMinutes * 60_000,
      rerun: false,
    }
    const began = wheel.now
    wheel.after(request.minutes, () => end(request, seats, began))
  }

  function end(request: Request, seats: readonly Seated[], began: number): void {
    const { rows, minutes, counted, jobs } = request
    const producers = seats.map(({ peer, visit }) => {
      if (peer.online && peer.visit === visit) {
        peer.sessions--
        people.settle(peer)
        return peer
      }
      // Its rows so far are computed again by whoever takes over.
      const done = Math.min(1, Math.max(0, peer.leftAt - began) / minutes) * rows
      tally.spend('replays', done, counted)
      request.delayMs += noticedMs + done * replayMsPerRow
      return successor(peer, seats)
    })
    if (producers.some((peer) => !peer)) {
      if (counted) tally.failed++
      return
    }
    for (const { onlineMs } of seats) if (standbyPays(rows, true, onlineMs)) tally.spend('standbys', rows, counted)
    for (const [stage, producer] of (producers as Peer[]).entries()) {
      const job: Job = {
        request,
        stage,
        producer,
        work: produce(producer),
        at: wheel.now,
        chunks: Math.ceil(rows / 32),
        unproven: producer.rank === 'new',
        checked: false,
        rechecking: false,
      }
      jobs.push(job)
    }
    tally.delivered(request)
    audits.answered(request)
  }

  function successor(gone: Peer, seats: readonly Seated[]): Peer | undefined {
    const { proven, unproven } = gone.place.stage
    const passes = (peer: Peer) => seats.every((other) => other.peer.prefix !== peer.prefix)
    return proven.choose(random, passes) ?? unproven.choose(random, passes)
  }

  function produce(peer: Peer): Work {
    const atOnce = peer.plan.atOnce || peer.rank !== 'new'
    const lie = atOnce ? lieAsProducer(peer.kind, peer.plan, peer.jobs, random) : 0
    if (peer.rank !== 'new') peer.jobs++
    return lie > 0 ? wrongWork(lie, peer.wasm) : honestWork(peer.wasm, random)
  }

  function rerun(): readonly Work[] | undefined {
    return seat()?.map(({ peer }) => produce(peer))
  }

  let hour = 1
  let due = 0
  while (wheel.now < until + lastMinutes) {
    wheel.turn()
    if (wheel.now < until) {
      due += (perMinute / world.stages) * minutesPerTick
      for (; due >= 1; due--) ask()
    }
    if (onHour && wheel.now >= 60 * hour) {
      hour++
      onHour({ minutes: wheel.now, figures: () => tally.figures(), barRate: audits.network().barRate, proven: people.proven() })
    }
  }
  return tally.figures()
}
