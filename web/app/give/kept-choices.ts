/**
 * What a person chose for giving, kept in this browser from the first time that they gave with a choice of their own: who looks
 * around leaves no trace. What is found there is taken as far as it makes sense.
 */
import { usualPauses, type PauseChoices } from '../../../sdk/volunteer/pause-policy.ts'

export interface GivingChoices {
  /** Bytes, one of `memoryChoices`. */
  readonly memory: number
  /** Share of time, 0.1 to 1. */
  readonly power: number
  readonly pauses: PauseChoices
}

const mebibyte = 2 ** 20
export const memoryChoices: readonly number[] = [256, 512, 1024, 2048, 4096].map((mebibytes) => mebibytes * mebibyte)
export const usualChoices: GivingChoices = { memory: 1024 * mebibyte, power: 1, pauses: usualPauses }

const storageKey = 'manyhands-giving'

export function keptChoices(): GivingChoices {
  try {
    return asChoices(JSON.parse(localStorage.getItem(storageKey) ?? '{}'))
  } catch {
    return usualChoices
  }
}

export function keepChoices(choices: GivingChoices): void {
  const text = JSON.stringify(choices)
  try {
    if (localStorage.getItem(storageKey) !== null || text !== JSON.stringify(usualChoices)) localStorage.setItem(storageKey, text)
  } catch {
    // Without storage they last as long as the page.
  }
}

export function asChoices(value: unknown): GivingChoices {
  const { memory, power, pauses } = fields(value)
  const pause = fields(pauses)
  const chosen = (name: keyof PauseChoices): boolean => (typeof pause[name] === 'boolean' ? pause[name] : usualPauses[name])
  return {
    memory: typeof memory === 'number' && memoryChoices.includes(memory) ? memory : usualChoices.memory,
    power: typeof power === 'number' && power >= 0.1 && power <= 1 ? power : usualChoices.power,
    pauses: {
      onBattery: chosen('onBattery'),
      onSaveData: chosen('onSaveData'),
      onPressure: chosen('onPressure'),
      whileHidden: chosen('whileHidden'),
    },
  }
}

const fields = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
