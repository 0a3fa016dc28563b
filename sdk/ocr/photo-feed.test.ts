import { describe, expect, it } from 'vitest'
import { photoFeed } from './photo-feed.ts'
import type { Pixels } from './resample.ts'

const plain = (width: number, height: number, colour: readonly [number, number, number, number] = [255, 255, 255, 255]): Pixels => ({
  width,
  height,
  data: Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => colour[i % 4] as number),
})

describe('the feed of a photo', () => {
  it.each([
    [640, 480, [480, 640]],
    [4000, 3000, [736, 960]],
    [3000, 4000, [960, 736]],
    [100, 20, [32, 96]],
    [7, 5000, [960, 32]],
  ])('of %i x %i has sides of whole steps of 32, the longest 960: %j', (width, height, sides) => {
    expect(photoFeed(plain(width, height), 960).dims).toEqual([1, 3, ...sides])
  })

  it('has planes of blue, green and red, each about its mean', () => {
    const { data } = photoFeed(plain(32, 32, [255, 0, 0, 255]), 960)
    const at = (channel: number) => data[channel * 32 * 32] as number
    expect([at(0), at(1), at(2)]).toEqual([
      expect.closeTo(-0.485 / 0.229, 5),
      expect.closeTo(-0.456 / 0.224, 5),
      expect.closeTo((1 - 0.406) / 0.225, 5),
    ])
  })

  it('refuses what is empty, huge, or has other bytes than its size says', () => {
    const refused = expect.objectContaining({ code: 'bad-input' })
    const tries: Pixels[] = [plain(0, 10), { width: 100_000, height: 1000, data: [] }, { width: 2, height: 2, data: [1, 2, 3] }]
    for (const photo of tries) expect(() => photoFeed(photo, 960)).toThrow(refused)
  })
})
