import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DonePlaces, readCheckpoint } from './checkpoint.ts'

const revision = 'a'.repeat(64)

describe('places that are done', () => {
  it('are the places that were added, joined to the fewest ranges', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 })), (places) => {
        const done = new DonePlaces()
        for (const place of places) done.add(place)
        for (let place = 0; place <= 41; place++) expect(done.has(place)).toBe(places.includes(place))
        for (const [i, [first, end]] of done.ranges.entries()) {
          expect(end).toBeGreaterThan(first)
          if (i > 0) expect(first).toBeGreaterThan(done.ranges[i - 1]?.[1] as number)
        }
        expect(new DonePlaces(done.ranges).ranges).toEqual(done.ranges)
      }),
    )
  })

  it('are put in order where they come from elsewhere', () => {
    const done = new DonePlaces([
      [5, 9],
      [0, 2],
      [8, 12],
      [3, 3],
    ])
    expect(done.ranges).toEqual([
      [0, 2],
      [5, 12],
    ])
  })
})

describe('a checkpoint', () => {
  it('comes back as it was kept', () => {
    const kept = { v: 1, revision, done: [[0, 7]] }
    expect(readCheckpoint(JSON.parse(JSON.stringify(kept)), revision)).toEqual(kept)
  })

  it('is refused where it is none, or of another model', () => {
    const refused = expect.objectContaining({ code: 'bad-input' })
    const none = [
      undefined,
      null,
      7,
      {},
      { v: 1, revision, done: [[-1, 2]] },
      { v: 1, revision, done: [[0, 1.5]] },
      { v: 2, revision, done: [] },
    ]
    for (const value of none) expect(() => readCheckpoint(value, revision)).toThrow(refused)
    expect(() => readCheckpoint({ v: 1, revision: 'b'.repeat(64), done: [] }, revision)).toThrow(/another revision/)
  })
})
