/**
 * What this tab gives: the choices before the click, the donation after it, what is left to say when it ended. Lives as
 * long as the page, so that one may look around while giving.
 */
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import { isProjectId, type ProjectId } from '../../protocol/ids.ts'
import type { DonationState, PauseCause, PauseChoices, TabDonation } from '../../sdk/types.ts'
import { creditedWork } from './give/credited-work.ts'
import { keepChoices, keptChoices } from './give/kept-choices.ts'
import type { Sdk } from './sdk.ts'

export const hourMs = 3_600_000
/** The ledger grows when answers settle, some minutes after them. */
const workMs = 30_000

/** What a person chooses where it pauses by itself. */
const choiceOf: Readonly<Record<Exclude<PauseCause['by'], 'person'>, keyof PauseChoices>> = {
  battery: 'onBattery',
  'save-data': 'onSaveData',
  pressure: 'onPressure',
  hidden: 'whileHidden',
}

export class DonationStore {
  memory = $state(0)
  power = $state(1)
  pauses: PauseChoices = $state.raw(keptChoices().pauses)
  /** The project (`p_…`) that this visit gives for, from the URL: a link on its site leads here. */
  readonly project = projectOf(location.search)
  /** Undefined until something was given. */
  state: DonationState | undefined = $state.raw()
  /** Between the click and the first state. */
  joining = $state(false)
  /** Finishes what it holds, then stops. */
  finishing = $state(false)
  error: ManyhandsError | undefined = $state.raw()
  /** Bytes of weights on this disk; undefined until looked up. */
  disk: number | undefined = $state()
  /** Rows that the server has credited to this browser's id, as far as it was asked. */
  work: number | undefined = $state()
  readonly giving: boolean = $derived(this.state !== undefined && this.state.phase !== 'stopped')
  readonly #sdk: Sdk
  #donation: TabDonation | undefined
  #asking: ReturnType<typeof setInterval> | undefined

  constructor(sdk: Sdk) {
    this.#sdk = sdk
    const { memory, power } = keptChoices()
    this.memory = memory
    this.power = power
    // A tab that closes says goodbye, so that the network need not find out.
    addEventListener('pagehide', () => void this.stop('now'))
  }

  /** The click: only from here on is anything fetched, probed, stored or computed. */
  async start(): Promise<void> {
    if (this.joining || this.giving) return
    this.joining = true
    this.error = undefined
    try {
      const { memory, power, pauses, project } = this
      const options = { server: location.origin, maxMemory: memory, power, pauses }
      const donation = await this.#sdk.donate(project === undefined ? options : { ...options, project })
      this.#donation = donation
      this.finishing = false
      donation.addEventListener('change', () => this.#changed(donation.state))
      this.#changed(donation.state)
      this.#asking = setInterval(() => this.#ask(), workMs)
      this.#keep()
    } catch (thrown) {
      this.error = asError(thrown)
    } finally {
      this.joining = false
    }
  }

  setPower(power: number): void {
    this.power = power
    this.#donation?.setPower(power)
    if (this.giving) this.#keep()
  }

  setPauses(change: Partial<PauseChoices>): void {
    this.pauses = { ...this.pauses, ...change }
    this.#donation?.setPauses(change)
    if (this.giving) this.#keep()
  }

  /** @param forMs after which it goes on by itself */
  pause(forMs?: number): void {
    this.#donation?.pause(undefined, forMs)
  }

  /** Goes on, whatever it paused for. */
  resume(): void {
    const by = this.state?.paused?.by
    if (by !== undefined && by !== 'person') this.setPauses({ [choiceOf[by]]: false })
    else this.#donation?.resume()
  }

  /** Here instead of in the other tab. */
  giveHere(): void {
    this.#donation?.giveHere()
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

  /** Looks up what is kept on this disk. */
  async look(): Promise<void> {
    this.disk = (await this.#sdk.stored()).weightBytes
  }

  /** @throws ManyhandsError busy while a tab of this browser gives */
  async removeWeights(): Promise<void> {
    await this.#sdk.removeStored()
    await this.look()
  }

  #changed(state: DonationState): void {
    const before = this.state
    this.state = state
    // What there is to look up changes with a stage that has been loaded.
    if (state.servingSince !== before?.servingSince) void this.look().catch(() => undefined)
    if (state.peer !== before?.peer) this.#ask()
    if (state.phase === 'stopped') clearInterval(this.#asking)
  }

  /** What was credited so far; what can't be learnt now is asked again. */
  #ask(): void {
    const { peer = '' } = this.state ?? {}
    if (peer !== '')
      void creditedWork(peer)
        .then((rows) => (this.work = rows))
        .catch(() => undefined)
  }

  #keep(): void {
    const { memory, power, pauses } = this
    keepChoices({ memory, power, pauses })
  }
}

function projectOf(search: string): ProjectId | undefined {
  const project = new URLSearchParams(search).get('project')
  return isProjectId(project) ? project : undefined
}
