import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chunkRows } from '../protocol/limits.ts'
import { LinkHistory, type HistoryStep } from './history.ts'

const step = (position: number, rows: number, fill = position): HistoryStep => ({
  position,
  rows,
  emitFrom: position,
  computeMicros: 0,
  payload: new Uint8Array(rows).fill(fill),
})

function of(...rows: number[]): LinkHistory {
  const history = new LinkHistory()
  for (const n of rows) history.add(step(history.end, n))
  return history
}

const positions = (history: LinkHistory, from: number) => [...history.from(from)].map((s) => s.position)

describe('a history', () => {
  it('gives its steps from a position on, the one that holds it first', () => {
    const history = of(16, 14, 1, 1, 1)
    expect(positions(history, 0)).toEqual([0, 16, 30, 31, 32])
    expect(positions(history, 17)).toEqual([16, 30, 31, 32])
    expect(positions(history, 32)).toEqual([32])
    expect(positions(history, 33)).toEqual([])
    expect([history.first, history.end, history.rows, history.bytes]).toEqual([0, 33, 33, 33])
    expect(history.at(29)?.position).toBe(16)
    expect(history.at(33)).toBeUndefined()
  })

  it('may begin anywhere, and takes no step that does not follow', () => {
    const history = new LinkHistory()
    history.add(step(45, 1))
    expect([history.first, history.end, history.at(3)]).toEqual([45, 46, undefined])
    expect(() => history.add(step(47, 1))).toThrow(/does not follow/)
    expect(() => history.add(step(45, 1))).toThrow(/does not follow/)
  })

  it('knows a step by its rows and bytes', () => {
    const history = of(16, 1)
    expect(history.equal(step(16, 1))).toBe(true)
    expect(history.equal(step(16, 1, 9))).toBe(false)
    expect(history.equal(step(0, 8))).toBe(false)
    expect(history.equal(step(17, 1))).toBe(false)
  })

  it('is cut into chunks at 32 rows, where a step does not fit, and where it is told', () => {
    const history = of(20, 12, 1, 31)
    expect([0, 19, 31, 32, 63].map((p) => history.chunkStart(p))).toEqual([0, 0, 0, 32, 32])
    const prompt = of(16, 14)
    expect(prompt.whole).toBe(false)
    prompt.cut()
    expect(prompt.whole).toBe(true)
    for (let i = 0; i < 40; i++) prompt.add(step(prompt.end, 1))
    expect([29, 30, 61, 62].map((p) => prompt.chunkStart(p))).toEqual([0, 30, 30, 62])
  })

  it('[CU1] is cut alike after any truncation and the same steps again', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: chunkRows }), { minLength: 1, maxLength: 60 }), fc.nat(400), (rows, at) => {
        const whole = of(...rows)
        const again = of(...rows)
        const steps = [...whole.from(0)]
        again.truncate(at)
        for (const s of steps) if (s.position >= again.end) again.add(s)
        expect(steps.map((s) => again.chunkStart(s.position))).toEqual(steps.map((s) => whole.chunkStart(s.position)))
        expect(again.bytes).toBe(whole.bytes)
      }),
    )
  })

  it('drops whole steps, and what was signed of them', () => {
    const history = of(16, 16, 1, 1)
    history.sign(32)
    history.truncate(33)
    expect([history.end, history.signed]).toEqual([33, 32])
    history.truncate(20)
    expect([history.end, history.signed, history.bytes]).toEqual([16, 16, 16])
    history.truncate(0)
    expect([history.end, history.rows, history.signed]).toEqual([0, 0, 0])
  })

  it('tells its watchers of every change until they leave', () => {
    const history = of(1)
    let told = 0
    const leave = history.watch(() => (told += 1))
    history.add(step(1, 1))
    history.sign(1)
    history.sign(1)
    history.truncate(1)
    leave()
    history.add(step(1, 1))
    expect(told).toBe(3)
  })
})
