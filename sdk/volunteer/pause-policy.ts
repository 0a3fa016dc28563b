/**
 * Whether a volunteer pauses now and why: what its person chose, weighed against what the browser tells of the device. Pure; who
 * listens to the browser is device-conditions.ts.
 */

/** What pauses by itself. */
export interface PauseChoices {
  /** While the device runs on its battery. */
  readonly onBattery: boolean
  /** While the browser is set to save data. */
  readonly onSaveData: boolean
  /** While the processor is busy. What is computed here counts too, so it is for those who compute on a GPU or at low power. */
  readonly onPressure: boolean
  /** While another tab or window is in front. */
  readonly whileHidden: boolean
}

export const usualPauses: PauseChoices = { onBattery: true, onSaveData: true, onPressure: false, whileHidden: false }

/** What is known of the device; absent where the browser does not tell. */
export interface DeviceConditions {
  readonly hidden: boolean
  readonly onBattery?: boolean
  readonly saveData?: boolean
  readonly pressure?: { readonly high: boolean; /** ms since 1970 */ readonly since: number }
}

/** The person's own pause; `until` (ms since 1970) where it ends by itself. */
export interface OwnPause {
  readonly until?: number
}

export interface PauseCause {
  readonly by: 'person' | 'battery' | 'save-data' | 'pressure' | 'hidden'
  /** When it goes on by itself, ms since 1970; absent where that depends on the device or the person. */
  readonly until?: number
}

/** Pressure that has eased stays so for as long before it goes on: pausing is what eases it, and it is not to go on and off. */
export const calmMs = 60_000

/** What is the matter first, as a person would say it: their own word, then what costs them, then what disturbs them. */
export function pauseCause(
  choices: PauseChoices,
  device: DeviceConditions,
  own: OwnPause | undefined,
  now: number,
): PauseCause | undefined {
  if (own && (own.until === undefined || now < own.until)) return { by: 'person', ...(own.until === undefined ? {} : { until: own.until }) }
  if (choices.onBattery && device.onBattery) return { by: 'battery' }
  if (choices.onSaveData && device.saveData) return { by: 'save-data' }
  if (choices.onPressure && device.pressure) {
    const { high, since } = device.pressure
    // A hidden page hears of pressure no more: what it heard last holds for a while, not for ever.
    if (high && !device.hidden) return { by: 'pressure' }
    if (now < since + calmMs) return { by: 'pressure', until: since + calmMs }
  }
  if (choices.whileHidden && device.hidden) return { by: 'hidden' }
  return undefined
}

/** Why, and when it goes on. A page that speaks another language than English has words of its own for each cause. */
export const pauseReasons: Readonly<Record<PauseCause['by'], string>> = {
  person: 'You paused it.',
  battery: 'This device runs on its battery. It goes on when it is plugged in.',
  'save-data': 'This browser is set to save data. It goes on when that is off.',
  pressure: 'This device is busy. It goes on when it has been calm for a minute.',
  hidden: 'Another tab or window is in front. It goes on when this one is.',
}
