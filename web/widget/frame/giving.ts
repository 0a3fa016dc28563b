/** What begins after the visitor's click, and is fetched only then: this tab as a volunteer for the project, in the widget's words. */
import type { DonationPhase, DonationState, PauseCause } from '../../../sdk/types.ts'
import { donate } from '../../../sdk/volunteer.ts'
import type { WidgetState } from '../wire.ts'

const states: Readonly<Record<DonationPhase, WidgetState>> = {
  connecting: 'starting',
  fetching: 'starting',
  preparing: 'starting',
  checking: 'starting',
  waiting: 'waiting',
  serving: 'giving',
  paused: 'paused',
  elsewhere: 'elsewhere',
  stopped: 'stopped',
  failed: 'failed',
}

/** Who may pause it, each for itself. */
export type Pauser = 'visitor' | 'site'

export interface Standing {
  readonly state: WidgetState
  readonly pausedBy?: Pauser | Exclude<PauseCause['by'], 'person'>
  /** The SDK's own sentence: for the visitor, not for the page. */
  readonly detail: string
  readonly progress?: DonationState['progress']
}

export class Giving {
  readonly #donation
  readonly #pausers = new Set<Pauser>()

  constructor(project: string, power: number, changed: (standing: Standing) => void) {
    this.#donation = donate({ server: location.origin, project, power })
    this.#donation.addEventListener('change', () => changed(this.standing))
    // A tab that closes says goodbye, so that the network need not find out.
    addEventListener('pagehide', () => void this.stop())
  }

  get standing(): Standing {
    const { phase, reason, progress, paused } = this.#donation.state
    const by = paused?.by === 'person' ? (this.#pausers.has('visitor') ? 'visitor' : 'site') : paused?.by
    return { state: states[phase], detail: reason, ...(progress ? { progress } : {}), ...(by ? { pausedBy: by } : {}) }
  }

  pauses(who: Pauser): boolean {
    return this.#pausers.has(who)
  }

  pause(who: Pauser): void {
    this.#pausers.add(who)
    this.#donation.pause()
  }

  /** Goes on once nobody pauses it any more. */
  resume(who: Pauser): void {
    if (this.#pausers.delete(who) && this.#pausers.size === 0) this.#donation.resume()
  }

  setPower(power: number): void {
    this.#donation.setPower(power)
  }

  stop(): Promise<void> {
    return this.#donation.stop('now')
  }
}
