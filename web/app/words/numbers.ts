/**
 * Numbers as people read them, in their language: bytes, durations, rates, short ids.
 */
import { m } from '../../paraglide/messages.js'
import { getLocale } from '../../paraglide/runtime.js'

const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Making one takes longer than using it a hundred times: one for each language and way. */
const formats = new Map<string, Intl.NumberFormat>()

function format(n: number, options: Intl.NumberFormatOptions): string {
  const key = `${getLocale()} ${JSON.stringify(options)}`
  const made = formats.get(key) ?? new Intl.NumberFormat(getLocale(), options)
  formats.set(key, made)
  return made.format(n)
}

const threeDigits = (n: number) => format(n, { maximumSignificantDigits: 3 })
const tenths = (n: number) => format(n, { minimumFractionDigits: 1, maximumFractionDigits: 1 })

export const count = (n: number): string => format(n, { maximumFractionDigits: 0 })

/** Powers of 1000, three digits: `53.1 MB`. */
export function bytes(n: number): string {
  let value = Math.max(0, n)
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${threeDigits(value)} ${units[unit]}`
}

/** Powers of 1024 under their everyday names, for memory: `512 MB`, `1 GB`. */
export function memory(n: number): string {
  const mebibytes = n / 2 ** 20
  return mebibytes < 1024 ? `${threeDigits(mebibytes)} MB` : `${threeDigits(mebibytes / 1024)} GB`
}

/** The two largest units: `8 s`, `2 min 5 s`, `3 h 10 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor((whole % 3600) / 60)
  if (hours > 0) return minutes > 0 ? `${count(hours)} h ${minutes} min` : `${count(hours)} h`
  if (minutes > 0) return whole % 60 > 0 ? `${minutes} min ${whole % 60} s` : `${minutes} min`
  return `${whole} s`
}

/** `640 ms`, `1.4 s`, `2 min 5 s`. */
export function moment(ms: number): string {
  if (ms < 10) return `${tenths(ms)} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  return ms < 59_500 ? `${tenths(ms / 1000)} s` : duration(ms / 1000)
}

/** `0`, `7.4`, `128`. */
export const rate = (perSecond: number): string => (perSecond === 0 ? '0' : perSecond < 99.5 ? tenths(perSecond) : count(perSecond))

export const percent = (share: number): string => `${Math.round(share * 100)} %`

/** Enough of a hash or peer id to tell it from its neighbours. */
export const short = (hex: string): string => hex.slice(0, 8)

/** A range [first, endExclusive] as people count: `block 1`, `blocks 11–20`. */
export function blocks([first, end]: readonly [number, number]): string {
  return end - first === 1 ? m.words_block({ first: end }) : m.words_blocks({ first: first + 1, end })
}

export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]
  return sorted.length === 0 ? undefined : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
