/**
 * Visitors of widgets and consents, counted so that one person with a mouse counts for little: by network and day a few. What
 * is counted waits here for some seconds; a server that is killed loses that much.
 */
import type { PeerId, ProjectId } from '../../protocol/ids.ts'
import { networkPrefix } from '../network-prefix.ts'
import type { Tally } from '../store.ts'
import type { ProjectStore } from './project-store.ts'
import { dayOf } from './tally.ts'

export interface VisitsPorts {
  readonly store: Pick<ProjectStore, 'count' | 'forget'>
  /** Of this process's start: what it counts has names of its own. */
  readonly boot: string
  /** Wall time, ms since 1970. */
  now(): number
  log(line: string): void
}

/** From one network to one project: a school class, or somebody who reloads. */
export const perNetworkAndDay = 50
const writeMs = 5_000
/** Networks and projects that are told apart on a day; 100 bytes each. Past them the first one counts anew. */
const maxKeys = 100_000
/** Consents that wait to be written. */
const maxWaiting = 10_000
/** A commit that is sent again is so within minutes. */
const keptDays = 7
/** Between two times of letting go. */
const forgetMs = 3600_000

export class Visits {
  readonly #ports: VisitsPorts
  readonly #visitors = new DailyBound()
  readonly #consenting = new DailyBound()
  /** By project and day. */
  readonly #shown = new Map<string, Tally>()
  readonly #consents = new Map<string, Tally>()
  readonly #timer: NodeJS.Timeout
  #batches = 0
  #forgotAt = -Infinity
  #writing: Promise<void> = Promise.resolve()

  constructor(ports: VisitsPorts) {
    this.#ports = ports
    this.#timer = setInterval(() => void this.written(), writeMs).unref()
  }

  /** The widget's frame was served. */
  shown(project: ProjectId, ip: string): void {
    const day = dayOf(this.#ports.now())
    if (!this.#visitors.take(`${project} ${networkPrefix(ip) ?? ip}`, day)) return
    const key = `${project}/${day}`
    const before = this.#shown.get(key)?.amount ?? 0
    this.#shown.set(key, { id: '', counter: 'visitors', project, day, amount: before + 1 })
  }

  /** Somebody offers to give for it: the first time on a day it counts. @param network where that counts, else its key */
  consented(project: ProjectId, peer: PeerId, network: string | undefined): void {
    const day = dayOf(this.#ports.now())
    const id = `${peer}/${day}`
    if (this.#consents.has(id) || this.#consents.size >= maxWaiting) return
    if (network !== undefined && !this.#consenting.take(`${project} ${network}`, day)) return
    this.#consents.set(id, { id, counter: 'consents', project, day, amount: 1 })
  }

  /** Resolves when all that was counted so far is written, or could not be. */
  written(): Promise<void> {
    this.#writing = this.#writing
      .then(() => this.#write())
      .catch((thrown: unknown) => this.#ports.log(`projects: ${thrown instanceof Error ? thrown.message : String(thrown)}`))
    return this.#writing
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.written()
  }

  async #write(): Promise<void> {
    const { store, boot, now } = this.#ports
    const batch = `${boot}/${this.#batches++}`
    const shown = [...this.#shown.values()].map((tally) => ({ ...tally, id: `${batch}/${tally.project}/${tally.day}` }))
    const tallies = [...shown, ...this.#consents.values()]
    this.#shown.clear()
    this.#consents.clear()
    if (tallies.length > 0) await store.count(tallies)
    if (now() - this.#forgotAt < forgetMs) return
    this.#forgotAt = now()
    await store.forget(dayOf(now()) - keptDays)
  }
}

/** So many of a key on a day, and no more. */
class DailyBound {
  #day = 0
  readonly #taken = new Map<string, number>()

  take(key: string, day: number): boolean {
    if (day !== this.#day) this.#taken.clear()
    this.#day = day
    const taken = this.#taken.get(key) ?? 0
    if (taken >= perNetworkAndDay) return false
    this.#taken.set(key, taken + 1)
    if (this.#taken.size > maxKeys) this.#taken.delete(this.#taken.keys().next().value as string)
    return true
  }
}
