/**
 * The lines of those who wait for a session, one of the public and of every project at each model, and in which order they are
 * let in when a place may be free. Whether there is one is for sessions.ts and routing.ts. docs/protocol.md [SE7], [PJ3].
 */
import type { Revision } from '../protocol/ids.ts'
import { AdmissionQueue, patienceMs } from './admission.ts'
import { distance, type Viewpoint } from './audience.ts'
import { whose, type Asked } from './live-session.ts'
import type { Choice } from './routing.ts'

/** On which a request is let in now. */
export type Terms = Pick<Choice, 'reserved' | 'patient'>

export interface SessionLinesPorts {
  /** True when the request needs to wait no longer: it has a route, or will never have one. */
  admit(asked: Asked, terms: Terms): boolean
  /** Sessions that a network or key has under way. */
  placesOf(who: string): number
  /** Milliseconds since some moment, which never step back. */
  uptime(): number
}

export class SessionLines {
  readonly #ports: SessionLinesPorts
  readonly #queues = new Map<Revision, AdmissionQueue<Asked>>()

  constructor(ports: SessionLinesPorts) {
    this.#ports = ports
  }

  get length(): number {
    let length = 0
    for (const queue of this.#queues.values()) length += queue.length
    return length
  }

  lengthAt(revision: Revision): number {
    return this.#queues.get(revision)?.length ?? 0
  }

  /** Takes its turn at once, where it is its turn: then it no longer waits. How many were ahead, or when to come again. */
  enter(asked: Asked): { readonly ahead: number; readonly waits: boolean } | { readonly retryAfterMs: number } {
    const queue = this.#queue(asked.revision)
    const place = queue.enter(whose(asked), asked, this.#ports.uptime(), asked.viewpoint)
    if ('retryAfterMs' in place) return place
    this.#drain(queue)
    return { ahead: place.ahead, waits: queue.has(asked) }
  }

  leave(match: (asked: Asked) => boolean): void {
    for (const queue of this.#queues.values()) queue.leave(match)
  }

  /** Nobody waits here for that model any more: those who did. */
  close(revision: Revision): Asked[] {
    const queue = this.#queues.get(revision)
    this.#queues.delete(revision)
    return queue?.expired(Infinity) ?? []
  }

  /** Those who have waited too long; they wait no more. */
  *expired(): Iterable<{ readonly asked: Asked; readonly retryAfterMs: number }> {
    for (const queue of this.#queues.values())
      for (const asked of queue.expired(this.#ports.uptime())) yield { asked, retryAfterMs: queue.retryAfterMs() }
  }

  sessionEnded(revision: Revision, ms: number): void {
    this.#queues.get(revision)?.sessionEnded(ms)
  }

  /** There may be places. */
  drain(): void {
    for (const queue of this.#queues.values()) this.#drain(queue)
  }

  /** Those who have waited long; then each project's requests at its own volunteers; then everybody, but for those whom a project's requests wait for. */
  #drain(queue: AdmissionQueue<Asked>): void {
    const now = this.#ports.uptime()
    this.#turn(
      queue,
      () => ({ patient: true }),
      (_, since) => now - since >= patienceMs,
    )
    if (queue.projects.size > 0)
      this.#turn(
        queue,
        ({ viewpoint }) => ({ reserved: (v) => distance(v, viewpoint) > 0 }),
        (line) => line !== undefined,
      )
    this.#turn(queue, ({ viewpoint }) => {
      const { projects } = queue
      return { reserved: ({ gives }) => gives !== undefined && gives.project !== viewpoint && projects.has(gives.project) }
    })
  }

  /** Who has the fewest places goes first, so behind one of the same line that found no room only a smaller one can find some. */
  #turn(queue: AdmissionQueue<Asked>, terms: (asked: Asked) => Terms, among?: (line: Viewpoint, since: number) => boolean): void {
    const fewest = new Map<Viewpoint, number>()
    queue.drain(
      (asked) => {
        if (asked.maxPositions >= (fewest.get(asked.viewpoint) ?? Infinity)) return false
        if (this.#ports.admit(asked, terms(asked))) return true
        fewest.set(asked.viewpoint, asked.maxPositions)
        return false
      },
      (who) => this.#ports.placesOf(who),
      among,
    )
  }

  #queue(revision: Revision): AdmissionQueue<Asked> {
    const queue = this.#queues.get(revision) ?? new AdmissionQueue<Asked>()
    this.#queues.set(revision, queue)
    return queue
  }
}
