/**
 * Fair turns: sessions with a step ready take turns, one step each, so a long prompt does not hold up another's answer. What is
 * computed again for audits waits until no answer has a step waiting.
 * The power setting is a duty cycle: after a run of t ms the scheduler rests t (1/power - 1).
 */
import type { SessionId } from '../../protocol/ids.ts'

/** Runs one step; resolves to the milliseconds it computed. Never rejects. */
export type Job = () => Promise<number>

/** Steps a session may have waiting: a prompt of 8,192 tokens in runs of 16, and some. */
export const maxWaitingSteps = 1024
/** Longest rest between two steps, so that a low power never looks like a dead peer. */
const maxRestMs = 2_000

type Lane = Map<SessionId, Job[]>

export class Scheduler {
  readonly #live: Lane = new Map()
  readonly #background: Lane = new Map()
  #power = 1
  #paused = false
  #running = false
  #rest: ReturnType<typeof setTimeout> | undefined

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
    this.#power = Math.min(1, Math.max(0.05, power))
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
    clearTimeout(this.#rest)
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
        const restMs = Math.min(maxRestMs, ranMs * (1 / this.#power - 1))
        if (restMs > 0) await new Promise<void>((resume) => (this.#rest = setTimeout(resume, restMs)))
        else if (this.#live.size + this.#background.size > 0) await messagesIn()
      }
    } finally {
      this.#running = false
    }
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
