/**
 * The power setting as a duty cycle that holds over time: a run of t ms pays for t / power, so that what timers give too much of, and
 * what is too short to wait for, is carried on to the next. Pure; the scheduler has the clock.
 */

/** Rests shorter than this are saved up: a timer can't keep them (browsers round nested ones up to 4 ms). */
const shortestRestMs = 8
/** A timer that comes late is made good by so much, and no more: idle time is not saved up for later. */
const latenessMs = 250
/** Longest rest between two steps: a sixth of the time after which a session without steps is closed as dead. */
export const longestRestMs = 10_000
/** A prompt's runs may be too long for their rests: so much is paid back later, at most. */
const mostOwedMs = 30_000

export class DutyCycle {
  #power = 1
  /** What has run so far is paid for at this time. */
  #paidAt = 0

  /** From now on; what was owed at the old power is not. */
  setPower(power: number, now: number): void {
    this.#power = Math.min(1, Math.max(0.05, power))
    this.#paidAt = Math.min(this.#paidAt, now)
  }

  /** A run took so long and has just ended. */
  ran(ms: number, now: number): void {
    const from = Math.max(this.#paidAt, now - ms - latenessMs)
    this.#paidAt = Math.min(from + ms / this.#power, now + mostOwedMs)
  }

  /** How long to rest before the next run. */
  restMs(now: number): number {
    if (this.#power === 1) return 0
    const owed = this.#paidAt - now
    return owed < shortestRestMs ? 0 : Math.min(owed, longestRestMs)
  }
}
