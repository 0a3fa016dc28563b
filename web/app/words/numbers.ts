/**
 * Numbers as people read them: bytes, durations, rates, short ids.
 */
const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const threeDigits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

export const count = (n: number): string => plain.format(n)

/** `1 answer`, `2 answers`. */
export const counted = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`

/** Powers of 1000, three digits: `53.1 MB`. */
export function bytes(n: number): string {
  let value = Math.max(0, n)
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${threeDigits.format(value)} ${units[unit]}`
}

/** Powers of 1024 under their everyday names, for memory: `512 MB`, `1 GB`. */
export function memory(n: number): string {
  const mebibytes = n / 2 ** 20
  return mebibytes < 1024 ? `${threeDigits.format(mebibytes)} MB` : `${threeDigits.format(mebibytes / 1024)} GB`
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
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  return ms < 59_500 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000)
}

/** `0`, `7.4`, `128`. */
export const rate = (perSecond: number): string => (perSecond === 0 ? '0' : perSecond < 99.5 ? perSecond.toFixed(1) : count(perSecond))

export const percent = (share: number): string => `${Math.round(share * 100)} %`

/** Enough of a hash or peer id to tell it from its neighbours. */
export const short = (hex: string): string => hex.slice(0, 8)

/** A range [first, endExclusive] as people count: `block 1`, `blocks 11–20`. */
export function blocks([first, end]: readonly [number, number]): string {
  return end - first === 1 ? `block ${end}` : `blocks ${first + 1}–${end}`
}

export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]
  return sorted.length === 0 ? undefined : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
