/**
 * The cells (swarms) of this process: claimed when nobody has them, up to its share; renewed; given up when it has more than its
 * share and nobody uses them, so that a process that joins gets some; lost when another has taken over. Embedded, it has them all.
 */
import { asError } from '../protocol/errors.ts'
import type { Revision } from '../protocol/ids.ts'
import type { Ownership } from './ownership.ts'

export interface CellsPorts {
  readonly ownership: Ownership
  /** Nothing lives in it: nobody serves it, nobody waits for it. */
  idle(cell: Revision): boolean
  /** Which cells are ours is another matter than before. */
  changed(): void
  /** It was ours, and is another's now. Those who live in it are told before `changed`. */
  lost(cell: Revision): Promise<void>
  /** Milliseconds since some moment, which never step back. */
  uptime(): number
  log(line: string): void
}

/** Between two looks: a dead process's cells are ours at most so long after its lease. */
export const turnMs = 500
/** A third of a lease: two renewals may be lost. */
const renewMs = 1_000
/** What nobody else takes within this is taken beyond our share. */
const beyondShareMs = 2_000
/** Between two rounds of giving up, and the part of all cells that goes in one. */
const giveUpMs = 5_000
const giveUpPart = 0.1
/** A cell that came back because nobody wanted it is not given up again for so long. */
const keepMs = 10 * 60_000

export class Cells {
  readonly #ports: CellsPorts
  readonly #epochs = new Map<Revision, number>()
  /** Given up: until when it is kept if it comes back. */
  readonly #keptUntil = new Map<Revision, number>()
  #wanted: readonly Revision[] = []
  #servers = 1
  #renewedAt = -Infinity
  #beyondAt = -Infinity
  #gaveUpAt = -Infinity
  #away = false
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<void> = Promise.resolve()

  constructor(ports: CellsPorts) {
    this.#ports = ports
  }

  get owned(): readonly Revision[] {
    return [...this.#epochs.keys()]
  }

  /** Undefined when it is not ours. */
  epochOf(cell: Revision): number | undefined {
    return this.#epochs.get(cell)
  }

  mayAct(): boolean {
    return this.#ports.ownership.mayAct()
  }

  /** The cells that there are, for all processes alike. Resolves when what can be had of them is ours. */
  want(cells: readonly Revision[]): Promise<void> {
    this.#wanted = cells
    return this.turn()
  }

  start(): void {
    this.#timer = setInterval(() => void this.turn(), turnMs)
  }

  /** What is due: never rejects, and one after the other, so that what one found is done before the next one looks. */
  turn(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#look()).catch((thrown: unknown) => this.#outOfReach(thrown))
    return this.#turn
  }

  /** Gives up everything. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#turn
    const held = this.owned
    this.#epochs.clear()
    // Unanswered, the leases run out by themselves.
    await this.#ports.ownership.release(held).catch(() => undefined)
  }

  async #look(): Promise<void> {
    const before = new Map(this.#epochs)
    const { ownership, log } = this.#ports
    const now = this.#ports.uptime()
    if (now - this.#renewedAt >= renewMs) {
      await this.#renew()
      this.#renewedAt = now
      this.#servers = Math.max(1, (await ownership.servers()).length)
    }
    const gone = this.owned.filter((cell) => !this.#wanted.includes(cell))
    if (gone.length > 0) await this.#release(gone)
    await this.#claim(now)
    await this.#giveUp(now)
    if (this.#away) log('the database answers again')
    this.#away = false
    if (!sameEntries(before, this.#epochs)) this.#ports.changed()
  }

  async #renew(): Promise<void> {
    const held = this.owned
    const kept = new Set(await this.#ports.ownership.renew(held))
    for (const cell of held) {
      if (kept.has(cell)) continue
      this.#epochs.delete(cell)
      await this.#ports.lost(cell)
    }
  }

  async #claim(now: number): Promise<void> {
    const wanted = this.#wanted.filter((cell) => !this.#epochs.has(cell))
    let limit = this.#share() - this.#epochs.size
    if (limit <= 0) {
      if (now - this.#beyondAt < beyondShareMs) return
      this.#beyondAt = now
      limit = 1
    }
    if (wanted.length === 0) return
    for (const [cell, epoch] of await this.#ports.ownership.claim(wanted, limit)) this.#epochs.set(cell as Revision, epoch)
  }

  async #giveUp(now: number): Promise<void> {
    const over = this.#epochs.size - this.#share()
    if (over <= 0 || now - this.#gaveUpAt < giveUpMs) return
    this.#gaveUpAt = now
    this.#beyondAt = now
    const spare = this.owned.filter((cell) => (this.#keptUntil.get(cell) ?? 0) < now && this.#ports.idle(cell))
    const most = Math.min(over, Math.ceil(giveUpPart * this.#wanted.length))
    const given = spare.slice(0, most)
    if (given.length === 0) return
    for (const cell of given) this.#keptUntil.set(cell, now + keepMs)
    await this.#release(given)
  }

  /** No longer ours from the moment on in which it is said. */
  async #release(cells: readonly Revision[]): Promise<void> {
    for (const cell of cells) this.#epochs.delete(cell)
    this.#ports.changed()
    await this.#ports.ownership.release(cells)
  }

  #share(): number {
    return Math.ceil(this.#wanted.length / this.#servers)
  }

  #outOfReach(thrown: unknown): void {
    if (!this.#away) this.#ports.log(asError(thrown).message)
    this.#away = true
  }
}

const sameEntries = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>) =>
  a.size === b.size && [...a].every(([cell, epoch]) => b.get(cell) === epoch)
