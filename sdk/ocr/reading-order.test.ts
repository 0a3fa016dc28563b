import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readingOrder } from './reading-order.ts'
import type { Point, Quad } from './rectangle.ts'

interface Piece {
  readonly text: string
  readonly box: Quad
}

/** A piece of 20 rows at x, y. */
const piece = (text: string, x: number, y: number, width: number): Piece => ({
  text,
  box: [
    { x, y },
    { x: x + width, y },
    { x: x + width, y: y + 20 },
    { x, y: y + 20 },
  ],
})
const read = (pieces: readonly Piece[]) => readingOrder(pieces, ({ box }) => box).map((row) => row.map(({ text }) => text).join(' '))
const turned = (pieces: readonly Piece[], degrees: number) => {
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)]
  const turn = ({ x, y }: Point): Point => ({ x: x * cos - y * sin, y: x * sin + y * cos })
  return pieces.map(({ text, box: [a, b, c, d] }): Piece => ({ text, box: [turn(a), turn(b), turn(c), turn(d)] }))
}

const page = [
  piece('A heading over both columns', 100, 40, 700),
  piece('left one', 100, 100, 300),
  piece('left two', 100, 130, 310),
  piece('left three', 100, 160, 250),
  piece('right one', 480, 102, 300),
  piece('right two', 480, 133, 320),
  piece('A line below them', 100, 220, 200),
]
const wanted = ['A heading over both columns', 'left one', 'left two', 'left three', 'right one', 'right two', 'A line below them']

describe('reading order', () => {
  it('goes down, and in a row from the left', () => {
    const lines = [piece('world', 200, 12, 90), piece('second', 10, 60, 100), piece('hello', 10, 10, 120)]
    expect(read(lines)).toEqual(['hello world', 'second'])
  })

  it('goes down one column and then the next, between what spans them', () => {
    expect(read(page)).toEqual(wanted)
  })

  it('reads a table across: prices are no column of text', () => {
    const rows = ['Bread', 'Butter', 'Cheese'].flatMap((text, i) => [piece(text, 10, 30 * i, 200), piece(`${i}.50`, 500, 30 * i, 60)])
    expect(read(rows)).toEqual(['Bread 0.50', 'Butter 1.50', 'Cheese 2.50'])
  })

  it.each([8, -15, 90, 180, 270])('is the same on a page that is turned by %i degrees', (degrees) => {
    expect(read(turned(page, degrees))).toEqual(wanted)
  })

  it('has every piece once, wherever they lie', () => {
    const any = fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 300 }))
    fc.assert(
      fc.property(fc.array(any, { maxLength: 40 }), (places) => {
        const pieces = places.map(([x, y, width], i) => piece(String(i), x, y, width))
        const order = readingOrder(pieces, ({ box }) => box).flat()
        expect(new Set(order)).toEqual(new Set(pieces))
        expect(order).toHaveLength(pieces.length)
      }),
    )
  })
})
