/** How scripts read what they are told: what makes no sense is a misuse, which says why. */
import { parseArgs, type ParseArgsConfig } from 'node:util'

/** What was asked makes no sense; the message says why. */
export class Misuse extends Error {}

/** @throws Misuse */
export function readArguments<const T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config)
  } catch (thrown) {
    throw new Misuse(thrown instanceof Error ? thrown.message : String(thrown))
  }
}

export interface Bounds {
  readonly least: number
  readonly most: number
  readonly whole: boolean
}

/** The number that an option was given. @throws Misuse */
export function readNumber(name: string, text: string, { least, most, whole }: Bounds): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
    throw new Misuse(`--${name} takes a ${whole ? 'whole ' : ''}number from ${least} to ${most}, not '${text}'.`)
  }
  return value
}
