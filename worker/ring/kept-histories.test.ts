import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LinkHistory } from '../../link/history.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { historyBytes, historyMs } from '../../protocol/limits.ts'
import { KeptHistories, type Histories } from './kept-histories.ts'

const id = (n: number) => n.toString(16).padStart(32, '0') as SessionId

function session(n: number, bytes: number): Histories {
  const history = new LinkHistory()
  history.add({ position: 0, rows: 1, emitFrom: 0, computeMicros: 0, payload: new Uint8Array(bytes) })
  return { id: id(n), history: (link) => (link === 1 ? history : undefined), histories: () => [history], logitsRow: () => undefined }
}

describe('[RR9] what ended sessions sent and received', () => {
  let kept: KeptHistories
  beforeEach(() => {
    vi.useFakeTimers()
    kept = new KeptHistories()
  })
  afterEach(() => vi.useRealTimers())

  it('is there for some minutes, and then not', () => {
    kept.keep(session(1, 100))
    vi.advanceTimersByTime(historyMs - 1)
    expect(kept.get(id(1))?.history(1)?.rows).toBe(1)
    expect(kept.get(id(1))?.history(2)).toBeUndefined()
    vi.advanceTimersByTime(1)
    expect(kept.get(id(1))).toBeUndefined()
  })

  it('takes bounded room: the oldest goes first, and one too large is not kept', () => {
    const third = Math.floor(historyBytes / 3)
    for (let n = 1; n <= 4; n++) kept.keep(session(n, third))
    expect([1, 2, 3, 4].map((n) => kept.get(id(n)) !== undefined)).toEqual([false, true, true, true])
    kept.keep(session(5, historyBytes + 1))
    expect(kept.get(id(5))).toBeUndefined()
    expect(kept.get(id(4))).toBeDefined()
  })

  it('goes when the session lives again, and all with the node', () => {
    kept.keep(session(1, 10))
    kept.keep(session(2, 10))
    kept.drop(id(1))
    expect(kept.get(id(1))).toBeUndefined()
    kept.clear()
    expect(kept.get(id(2))).toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
  })
})
