import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { regions } from './regions.ts'

const of = (...rows: string[]) => {
  const width = rows[0]?.length ?? 0
  return regions(width, rows.length, (at) => rows.join('')[at] === '#')
}

describe('regions', () => {
  it('hold together over sides and corners, and not over gaps', () => {
    expect(of('#..#', '.#..', '...#')).toHaveLength(3)
    expect(of('#..#', '.##.', '....')).toHaveLength(1)
    expect(of('....', '....')).toEqual([])
  })

  it('are one where arms meet further down', () => {
    expect(of('#.#.#', '#.#.#', '#####')).toHaveLength(1)
    expect(of('#...#', '##.##', '.#.#.', '..#..')).toHaveLength(1)
  })

  it('have the middles of their outermost pixels', () => {
    const [region] = of('....', '.##.', '....')
    expect(region).toEqual([
      { x: 1.5, y: 1.5 },
      { x: 2.5, y: 1.5 },
    ])
  })

  it('are those that filling from pixel to pixel finds', () => {
    const width = 9
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: width, maxLength: width * 7 }), (cells) => {
        const height = Math.floor(cells.length / width)
        const seen = new Set<number>()
        let filled = 0
        for (let start = 0; start < width * height; start++) {
          if (!cells[start] || seen.has(start)) continue
          filled += 1
          const open = [start]
          for (let cell = open.pop(); cell !== undefined; cell = open.pop()) {
            if (seen.has(cell)) continue
            seen.add(cell)
            const [x, y] = [cell % width, Math.floor(cell / width)]
            for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++)
              for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++)
                if (cells[ny * width + nx]) open.push(ny * width + nx)
          }
        }
        expect(regions(width, height, (at) => cells[at] === true)).toHaveLength(filled)
      }),
    )
  })
})
