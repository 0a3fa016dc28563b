/**
 * The last stage's watch over the ring: a row that takes far longer on its way round than rows usually do is told to the
 * server, which finds out where it is. docs/protocol.md [HO].
 */

/** A round is late past this, and past `lateFactor` times the usual. */
const lateMs = 1_500
/** The same before any round was measured: a long prompt's runs queue at every stage, behind others' too. A frozen stage is found sooner, by its silence. */
const firstLateMs = 10_000
/** The same after a reroute: whoever is new runs all the rows so far. */
const rerouteLateMs = 20_000
const lateFactor = 6
/** The ring crawls when this many rounds in a row took this many times the usual, for this long. */
const crawlRounds = 8
const crawlFactor = 4
const crawlMs = 2_000
/** Rounds that the usual is the median of. */
const usualRounds = 32
const tickMs = 250

export interface RoundWatchOptions {
  readonly now: () => number
  /** The step at this position has been away for so long. */
  readonly stalled: (position: number, waitedMs: number) => void
}

export class RoundWatch {
  readonly #options: RoundWatchOptions
  /** Positions on their way, with the time when each was sent or the one before it came back. */
  readonly #away = new Map<number, number>()
  #rounds: number[] = []
  #recent: number[] = []
  #timer: ReturnType<typeof setInterval> | undefined
  #suspect: number | undefined
  /** Not told again before it has waited for so long. */
  #quietMs = 0
  #rerouted = false

  constructor(options: RoundWatchOptions) {
    this.#options = options
  }

  sent(position: number): void {
    this.#away.set(position, this.#options.now())
    this.#timer ??= setInterval(() => this.#look(), tickMs)
  }

  cameRound(position: number): void {
    const sentAt = this.#away.get(position)
    if (sentAt === undefined) return
    const now = this.#options.now()
    for (const [other, at] of this.#away) {
      if (other <= position) this.#away.delete(other)
      // Rows sent close behind wait for this one: their own round counts from now.
      else this.#away.set(other, Math.max(at, now))
    }
    this.#quietMs = 0
    this.#suspect = undefined
    // How long a replay took says nothing of the rounds to come.
    if (this.#rerouted) return void (this.#rerouted = false)
    this.#recent.push(now - sentAt)
    if (this.#recent.length <= crawlRounds) return
    this.#rounds = [...this.#rounds.slice(1 - usualRounds), this.#recent.shift() as number]
  }

  /** Everything that was away goes on after a reroute. */
  reroute(position: number): void {
    this.stop()
    this.#rerouted = true
    this.sent(position)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#away.clear()
    this.#recent = []
    this.#suspect = undefined
    this.#quietMs = 0
  }

  #look(): void {
    const [oldest] = this.#away
    if (!oldest) return
    const [position, sentAt] = oldest
    const usual = median(this.#rounds.length > 0 ? this.#rounds : this.#recent)
    const waitedMs = this.#options.now() - sentAt
    const late = waitedMs > this.#limitMs(usual)
    const slow = this.#crawls(usual)
    if ((!late && !slow) || waitedMs < this.#quietMs) return
    // Seen at two ticks: after a run of its own that blocked this peer, what has arrived meanwhile is heard first.
    if (this.#suspect !== position && !slow) return void (this.#suspect = position)
    this.#quietMs = 2 * waitedMs
    this.#recent = []
    this.#options.stalled(position, waitedMs)
  }

  #limitMs(usual: number | undefined): number {
    if (this.#rerouted) return rerouteLateMs
    return usual === undefined ? firstLateMs : Math.max(lateMs, lateFactor * usual)
  }

  #crawls(usual: number | undefined): boolean {
    if (usual === undefined || this.#rounds.length === 0 || this.#recent.length < crawlRounds) return false
    return this.#recent.every((ms) => ms > crawlFactor * usual) && this.#recent.reduce((sum, ms) => sum + ms, 0) > crawlMs
  }
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}
