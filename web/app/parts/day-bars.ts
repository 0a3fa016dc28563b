/**
 * The geometry of a chart by days: which days there are, how high the axis goes, where each bar's parts lie. Pure.
 */
const dayMs = 86_400_000

export interface DayValues {
  /** `2026-11-26` */
  readonly day: string
  /** One for each series, from the bottom up. */
  readonly values: readonly number[]
}

export interface Bar extends DayValues {
  /** Shares of the plot, 0 to 1, from the left and from the bottom. */
  readonly x: number
  readonly width: number
  readonly parts: readonly { readonly y: number; readonly height: number }[]
}

export interface Bars {
  readonly bars: readonly Bar[]
  /** The value at the upper edge. */
  readonly top: number
}

/** Between two bars, as a share of a day. */
const gap = 0.2

/** Every day from the first to the last, those without anything too. */
export function everyDay(days: readonly DayValues[], first: string, last: string): DayValues[] {
  const series = days[0]?.values.length ?? 1
  const known = new Map(days.map((d) => [d.day, d]))
  const all: DayValues[] = []
  for (let at = Date.parse(first); at <= Date.parse(last); at += dayMs) {
    const day = new Date(at).toISOString().slice(0, 10)
    all.push(known.get(day) ?? { day, values: Array.from({ length: series }, () => 0) })
  }
  return all
}

export function barsOf(days: readonly DayValues[]): Bars {
  const top = niceTop(Math.max(0, ...days.map(sumOf)))
  const width = 1 / Math.max(1, days.length)
  const bars = days.map(({ day, values }, i): Bar => {
    let y = 0
    const parts = values.map((value) => {
      const part = { y, height: value / top }
      y += part.height
      return part
    })
    return { day, values, x: (i + gap / 2) * width, width: (1 - gap) * width, parts }
  })
  return { bars, top }
}

/** The next of 1, 2, 5, 10, 20 … that is no less: what an axis can be read by. */
export function niceTop(most: number): number {
  if (most <= 1) return 1
  const power = 10 ** Math.floor(Math.log10(most))
  return ([1, 2, 5, 10].find((step) => step * power >= most) ?? 10) * power
}

export const sumOf = ({ values }: DayValues): number => values.reduce((sum, value) => sum + value, 0)

export const bestOf = (days: readonly DayValues[]): DayValues | undefined =>
  days.reduce<DayValues | undefined>((best, day) => (best && sumOf(best) >= sumOf(day) ? best : day), undefined)

/** The day today is everywhere, in UTC, and so many days before. */
export const dayBefore = (now: number, days: number): string => new Date(now - days * dayMs).toISOString().slice(0, 10)
