/**
 * Fair turns: sessions with a step ready take turns, one step each, so a long prompt does not hold up another's answer. What is
 * computed again for audits waits until no answer has a step waiting.
 * Between two steps it rests as the power setting says (duty.ts).
 */
import type { SessionId } from '../../protocol/ids.ts'
import { DutyCycle } from './duty.ts'

/** Runs one step; resolves to the milliseconds it computed. Never rejects. */
export type Job = () => Promise<number>

/** Steps a session may have waiting: a prompt of 8,192 tokens in runs of 16, and some. */
export const maxWaitingSteps = 1024

/** While peers connect or tickets are checked: a handshake is some messages and signatures, each of which a run would hold up. */
const giveWayMs = 20
/** Nobody waits for the background: it waits for them until they are through, but not for ever. */
const backgroundWaitsMs = 3_000

type Lane = Map<SessionId, Job[]>

export class Scheduler {
  readonly #live: Lane = new Map()
  readonly #background: Lane = new Map()
  readonly #duty = new DutyCycle()
  readonly #unsettled: () => boolean
  #paused = false
  #running = false
  /** Ends the rest in hand. */
  #wake: () => void = () => undefined

  /** @param unsettled whether a peer is connecting or a ticket being checked */
  constructor(unsettled: () => boolean = () => false) {
    this.#unsettled = unsettled
  }

  /** False when the session has too many steps waiting. */
  enqueue(session: SessionId, job: Job): boolean {
    return this.#add(this.#live, session, job)
  }

  /** As {@link enqueue}, for work that nobody waits for: it runs when no other is waiting. */
  enqueueBackground(session: SessionId, job: Job): boolean {
    return this.#add(this.#background, session, job)
  }

  remove(session: SessionId): void {
    this.#live.delete(session)
    this.#background.delete(session)
  }

  setPower(power: number): void {
    this.#duty.setPower(power, performance.now())
    this.#wake()
  }

  setPaused(paused: boolean): void {
    this.#paused = paused
    void this.#turn()
  }

  /** Nothing runs after the job in hand. */
  stop(): void {
    this.#paused = true
    this.#live.clear()
    this.#background.clear()
    this.#wake()
  }

  #add(lane: Lane, session: SessionId, job: Job): boolean {
    const jobs = lane.get(session)
    if (jobs && jobs.length >= maxWaitingSteps) return false
    if (jobs) jobs.push(job)
    else lane.set(session, [job])
    void this.#turn()
    return true
  }

  async #turn(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      for (let next = this.#next(); next; next = this.#next()) {
        const ranMs = await next()
        this.#duty.ran(ranMs, performance.now())
        const restMs = this.#duty.restMs(performance.now())
        if (restMs > 0) await this.#rest(restMs)
        else if (this.#live.size + this.#background.size > 0) await messagesIn()
        await this.#giveWay()
      }
    } finally {
      this.#running = false
    }
  }

  /** An answer's next step waits a moment for whoever connects; the background waits until they have. */
  async #giveWay(): Promise<void> {
    for (let waitedMs = 0; this.#unsettled() && waitedMs < backgroundWaitsMs; waitedMs += giveWayMs) {
      if (this.#live.size > 0 ? waitedMs > 0 : this.#background.size === 0) return
      await this.#rest(giveWayMs)
    }
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** The first session's first job; that session then goes to the end of the line. */
  #next(): Job | undefined {
    if (this.#paused) return undefined
    const lane = this.#live.size > 0 ? this.#live : this.#background
    const first = lane.entries().next()
    if (first.done) return undefined
    const [session, jobs] = first.value
    const job = jobs.shift()
    lane.delete(session)
    if (jobs.length > 0) lane.set(session, jobs)
    return job
  }
}

/**
 * Between two steps what has arrived is heard: a stop, a signature, another session's step. A run on wasm never gives way by
 * itself, and a peer that is all of a pipeline has its next step ready at once.
 */
function messagesIn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port2.onmessage = () => {
      port2.close()
      resolve()
    }
    port1.postMessage(undefined)
  })
}
