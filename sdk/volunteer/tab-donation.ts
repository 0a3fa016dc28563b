/**
 * A tab's donation around the volunteer's life with its server (donation.ts): only while no other tab of this browser gives, and only
 * while nothing that its person chose speaks against it. What must not begin yet is not begun: on a metered line no weights come.
 */
import type { Donation, DonationState, TabDonateOptions, TabDonation } from '../types.ts'
import { watchDevice, type WatchedDevice } from './device-conditions.ts'
import { firstState } from './donation-state.ts'
import { pauseCause, pauseReasons, usualPauses, type OwnPause, type PauseCause, type PauseChoices } from './pause-policy.ts'
import { givingLock, soleGiver, type Seat } from './sole-giver.ts'

export interface TabPorts {
  /** Joins at once. */
  start(options: TabDonateOptions): Donation
  watchDevice(changed: () => void): Promise<WatchedDevice>
  soleGiver: typeof soleGiver
  /** ms since 1970 */
  now(): number
}

/** Of a real tab, but for what it starts. */
export const tabPorts = { watchDevice, soleGiver, now: () => Date.now() }

const elsewhere: Pick<DonationState, 'phase' | 'reason'> = {
  phase: 'elsewhere',
  reason: 'Another tab of this browser gives already. This one takes over when that one ends.',
}

export class TabVolunteer extends EventTarget implements TabDonation {
  readonly #options: TabDonateOptions
  readonly #ports: TabPorts
  #choices: PauseChoices
  /** Its own, while nothing is started. */
  #state: DonationState
  #device: WatchedDevice | undefined
  #seat: Seat | undefined
  /** The wait for a seat; a later one takes its place. */
  #sitting: AbortController | undefined
  #donation: Donation | undefined
  #own: (OwnPause & { readonly reason: string }) | undefined
  #cause: PauseCause | undefined
  /** When the cause may be another. */
  #again: ReturnType<typeof setTimeout> | undefined
  #ended = false

  constructor(options: TabDonateOptions, ports: TabPorts) {
    super()
    this.#options = options
    this.#ports = ports
    this.#choices = { ...usualPauses, ...options.pauses }
    this.#state = firstState(options.power ?? 1)
    options.signal?.addEventListener('abort', () => void this.stop('now'), { once: true })
    void this.#begin()
  }

  get state(): DonationState {
    const state = this.#donation?.state ?? this.#state
    if (!this.#cause || !this.#seat || this.#ended || state.phase === 'failed') return state
    return { ...state, phase: 'paused', reason: this.#reason(this.#cause), paused: this.#cause }
  }

  pause(reason = pauseReasons.person, forMs?: number): void {
    this.#own = { reason, ...(forMs === undefined ? {} : { until: this.#ports.now() + forMs }) }
    this.#weigh()
  }

  resume(): void {
    this.#own = undefined
    this.#weigh()
  }

  setPauses(choices: Partial<PauseChoices>): void {
    this.#choices = { ...this.#choices, ...choices }
    this.#weigh()
  }

  setPower(power: number): void {
    this.#state = { ...this.#state, power }
    if (this.#donation) this.#donation.setPower(power)
    else this.#tell()
  }

  giveHere(): void {
    if (!this.#seat && !this.#ended && this.#device) void this.#sit(true)
  }

  async stop(mode: 'now' | 'finish' = 'now'): Promise<void> {
    await this.#donation?.stop(mode)
    if (this.#ended) return
    this.#ended = true
    this.#sitting?.abort()
    clearTimeout(this.#again)
    this.#device?.stop()
    this.#seat?.release()
    this.#state = { ...this.#state, phase: 'stopped', reason: 'Stopped. Nothing computes here any more.' }
    this.#tell()
  }

  async #begin(): Promise<void> {
    const device = await this.#ports.watchDevice(() => this.#weigh())
    if (this.#ended) return device.stop()
    this.#device = device
    await this.#sit(false)
  }

  async #sit(steal: boolean): Promise<void> {
    this.#sitting?.abort()
    const sitting = new AbortController()
    this.#sitting = sitting
    const busy = () => this.#say(elsewhere)
    const seat = await this.#ports.soleGiver(givingLock, { signal: sitting.signal, busy, steal })
    if (!seat) return
    if (this.#ended || this.#sitting !== sitting) return seat.release()
    this.#seat = seat
    void seat.lost.then(() => this.#unseated())
    this.#weigh()
  }

  /** Its person gives in another tab now. */
  async #unseated(): Promise<void> {
    if (this.#ended) return
    const donation = this.#donation
    this.#seat = undefined
    this.#donation = undefined
    this.#say(elsewhere)
    await donation?.stop('now')
    await this.#sit(false)
  }

  /** Begins, pauses or goes on as things stand now. */
  #weigh(): void {
    if (this.#ended || !this.#device) return
    clearTimeout(this.#again)
    const now = this.#ports.now()
    this.#cause = pauseCause(this.#choices, this.#device.conditions, this.#own, now)
    if (this.#cause?.until !== undefined) this.#again = setTimeout(() => this.#weigh(), this.#cause.until - now)
    if (!this.#seat) return
    if (this.#cause) this.#donation?.pause(this.#reason(this.#cause))
    else if (this.#donation) this.#donation.resume()
    else this.#start()
    this.#tell()
  }

  #start(): void {
    const donation = this.#ports.start({ ...this.#options, power: this.#state.power })
    this.#donation = donation
    donation.addEventListener('change', () => donation === this.#donation && this.#tell())
  }

  #reason({ by }: PauseCause): string {
    return (by === 'person' && this.#own?.reason) || pauseReasons[by]
  }

  #say(change: Partial<DonationState>): void {
    this.#state = { ...this.#state, ...change }
    this.#tell()
  }

  #tell(): void {
    this.dispatchEvent(new Event('change'))
  }
}
