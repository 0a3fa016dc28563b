/**
 * The simulation's clock: what is to happen, in ticks of three seconds. Within a tick the order is that of planning, so a
 * seed's run repeats.
 */
export const minutesPerTick = 0.05
/** Ticks that the wheel spans, four and a half days: nothing is planned further ahead. */
const span = 1 << 17

export interface Wheel {
  /** In minutes. */
  readonly now: number
  /** Plans for at least the next tick, at most the end of the wheel's span. */
  after(minutes: number, happens: () => void): void
  /** Goes on by one tick. */
  turn(): void
}

export function createWheel(): Wheel {
  const ticks = Array.from({ length: span }, (): (() => void)[] => [])
  let tick = 0
  return {
    get now() {
      return tick * minutesPerTick
    },
    after(minutes, happens) {
      const ahead = Math.min(span - 1, Math.max(1, Math.round(minutes / minutesPerTick)))
      ;(ticks[(tick + ahead) % span] as (() => void)[]).push(happens)
    },
    turn() {
      tick++
      const due = ticks[tick % span] as (() => void)[]
      ticks[tick % span] = []
      for (const happens of due) happens()
    },
  }
}
