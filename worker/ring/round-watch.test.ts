import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RoundWatch } from './round-watch.ts'

let told: { position: number; waitedMs: number }[]
let watch: RoundWatch

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  told = []
  watch = new RoundWatch({ now: () => performance.now(), stalled: (position, waitedMs) => told.push({ position, waitedMs }) })
})

afterEach(() => {
  watch.stop()
  vi.useRealTimers()
})

/** Rows of one token each, a round's time apart. */
function rounds(n: number, ms: number, from = 0): void {
  for (let i = from; i < from + n; i++) {
    watch.sent(i)
    vi.advanceTimersByTime(ms)
    watch.cameRound(i)
  }
}

describe("[HO6] the host's watch over the ring", () => {
  it('says nothing while rows come round', () => {
    rounds(100, 40)
    rounds(20, 60, 100)
    expect(told).toEqual([])
  })

  it('says which row is late past 1.5 s, and says it again only when it has waited twice as long', () => {
    rounds(40, 40)
    watch.sent(40)
    vi.advanceTimersByTime(1_400)
    expect(told).toEqual([])
    vi.advanceTimersByTime(800)
    expect(told).toMatchObject([{ position: 40 }])
    vi.advanceTimersByTime(1_000)
    expect(told).toHaveLength(1)
    vi.advanceTimersByTime(2_000)
    expect(told).toHaveLength(2)
  })

  it('allows six times the usual where that is longer', () => {
    rounds(40, 600)
    watch.sent(40)
    vi.advanceTimersByTime(3_500)
    expect(told).toEqual([])
    vi.advanceTimersByTime(700)
    expect(told).toHaveLength(1)
  })

  it('tells a ring that crawls, though every row comes round', () => {
    rounds(40, 50)
    rounds(12, 400, 40)
    expect(told).toHaveLength(1)
  })

  it('has more patience before the first round, and after a reroute, when somebody runs all rows again', () => {
    watch.sent(15)
    vi.advanceTimersByTime(9_900)
    expect(told).toEqual([])
    vi.advanceTimersByTime(700)
    expect(told).toHaveLength(1)
    watch.reroute(15)
    vi.advanceTimersByTime(19_000)
    expect(told).toHaveLength(1)
    watch.cameRound(15)
    vi.advanceTimersByTime(60_000)
    expect(told).toHaveLength(1)
  })

  it('stops with the session', () => {
    watch.sent(0)
    watch.stop()
    vi.advanceTimersByTime(60_000)
    expect(told).toEqual([])
  })
})
