import { describe, expect, it } from 'vitest'
import type { InputSpec } from '../protocol/manifest.ts'
import { goldenFeeds, goldenFills } from './golden-feeds.ts'

const picture: InputSpec = { name: 'x', dtype: 'float32', shape: ['n', 3, 'h', 'w'], role: 'feed' }
const sizes = new Map([
  ['n', 1],
  ['h', 80],
  ['w', 160],
])
const values = (fill: (typeof goldenFills)[number]) => {
  const { dims, bytes } = goldenFeeds([picture], sizes, fill).get('x') ?? expect.unreachable()
  return { dims, values: new Float32Array(bytes.buffer) }
}

describe('golden feeds', () => {
  it.each(goldenFills)('of %s are the same every time, and within -1 to 1', (fill) => {
    const first = values(fill)
    expect(first.dims).toEqual([1, 3, 80, 160])
    expect(first.values.every((value) => value >= -1 && value <= 1)).toBe(true)
    expect(values(fill)).toEqual(first)
  })

  it('of print are ink and paper, the same in every channel, in rows with paper between', () => {
    const { values: all } = values('print')
    expect(new Set(all)).toEqual(new Set([-1, 1]))
    const plane = 80 * 160
    expect(all.subarray(plane, 2 * plane)).toEqual(all.subarray(0, plane))
    const inked = (y: number) => all.subarray(y * 160, (y + 1) * 160).some((value) => value < 0)
    expect([inked(5), inked(20), inked(35), inked(60)]).toEqual([false, true, false, true])
  })

  it('of print are for pictures alone', () => {
    expect(() => goldenFeeds([{ ...picture, shape: [1, 7] }], sizes, 'print')).toThrow(expect.objectContaining({ code: 'unsupported' }))
  })
})
