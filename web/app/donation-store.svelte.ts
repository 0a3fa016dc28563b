/**
 * What this tab gives: the choices before the click, the donation after it, what is left to say when it ended. Lives as
 * long as the page, so that one may look around while giving.
 */
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import type { Donation, DonationState } from '../../sdk/types.ts'
import type { Sdk } from './sdk.ts'

const mebibyte = 2 ** 20
export const memoryChoices = [256, 512, 1024, 2048, 4096].map((mebibytes) => mebibytes * mebibyte)
const defaultMemory = 1024 * mebibyte

export class DonationStore {
  memory = $state(defaultMemory)
  power = $state(1)
  /** Undefined until something was given. */
  state: DonationState | undefined = $state.raw()
  /** Between the click and the first state. */
  joining = $state(false)
  /** Finishes what it holds, then stops. */
  finishing = $state(false)
  error: ManyhandsError | undefined = $state.raw()
  readonly giving: boolean = $derived(this.state !== undefined && this.state.phase !== 'stopped')
  readonly #sdk: Sdk
  #donation: Donation | undefined

  constructor(sdk: Sdk) {
    this.#sdk = sdk
    // A tab that closes says goodbye, so that the network need not find out.
    addEventListener('pagehide', () => void this.stop('now'))
  }

  /** The click: only from here on is anything fetched, probed, stored or computed. */
  async start(): Promise<void> {
    if (this.joining || this.giving) return
    this.joining = true
    this.error = undefined
    try {
      const donation = await this.#sdk.donate({ server: location.origin, maxMemory: this.memory, power: this.power })
      this.#donation = donation
      this.finishing = false
      donation.addEventListener('change', () => (this.state = donation.state))
      this.state = donation.state
    } catch (thrown) {
      this.error = asError(thrown)
    } finally {
      this.joining = false
    }
  }

  setPower(power: number): void {
    this.power = power
    this.#donation?.setPower(power)
  }

  pause(): void {
    this.#donation?.pause('You paused it.')
  }

  resume(): void {
    this.#donation?.resume()
  }

  async stop(mode: 'finish' | 'now'): Promise<void> {
    this.finishing = mode === 'finish'
    try {
      await this.#donation?.stop(mode)
      // One that had failed for good says nothing more: back to the choices.
      if (this.state?.phase === 'failed') this.state = undefined
    } catch (thrown) {
      this.error = asError(thrown)
    }
  }
}
