import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom } from '../testing/simulation/random.ts'
import { exactLog } from './sampling.ts'
import { sketchDistance, sketchRows, sketchTensors } from './sketch.ts'

const width = 576
const random = createRandom(11)
const seedOf = () => Uint8Array.from({ length: 32 }, () => Math.floor(random.uniform() * 256))
const rowsOf = (n: number, w = width) => Float32Array.from({ length: n * w }, () => random.normal())

/** Each row moved by `relative` of its length, in a direction of its own. */
function moved(rows: Float32Array, w: number, relative: number, onlyRow?: number): Float32Array {
  const out = rows.slice()
  for (let i = 0; i < rows.length / w; i++) {
    if (onlyRow !== undefined && i !== onlyRow) continue
    const row = rows.subarray(i * w, (i + 1) * w)
    const direction = Float64Array.from(row, () => random.normal())
    const scale = (relative * Math.hypot(...row)) / Math.hypot(...direction)
    for (let j = 0; j < w; j++) out[i * w + j] = (row[j] as number) + scale * (direction[j] as number)
  }
  return out
}

const distance = (a: Float32Array, b: Float32Array, w = width, seed = seedOf()) =>
  sketchDistance(sketchRows(a, w, seed), sketchRows(b, w, seed))

describe('[SK1] the signs', () => {
  it('are the nibbles of ChaCha20 with the seed as key and (tensor, position) as nonce', () => {
    const seed = seedOf()
    const nonce = new DataView(new ArrayBuffer(16))
    nonce.setUint32(4, 3, true)
    nonce.setUint32(8, 70, true)
    const stream = createCipheriv('chacha20', seed, new Uint8Array(nonce.buffer)).update(new Uint8Array(100))
    const nibble = (j: number) => ((stream[j >> 1] as number) >> (4 * (j & 1))) & 15
    const row = rowsOf(1, 150)
    const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0))
    const expected = [0, 1, 2, 3].map((k) => {
      const sign = (j: number) => ((nibble(j) >> k) & 1 ? 1 : -1)
      return row.reduce((sum, x, j) => sum + sign(j) * x, 0) / norm + sign(150) * exactLog(norm)
    })
    sketchRows(row, 150, seed, { tensor: 3, position: 70 }).forEach((x, k) => expect(x).toBeCloseTo(expected[k] as number, 5))
  })

  it('differ by seed, row and tensor', () => {
    const seed = seedOf()
    const row = rowsOf(1)
    const of = (s: Uint8Array, place = {}) => sketchRows(row, width, s, place)
    for (const other of [of(seedOf()), of(seed, { position: 1 }), of(seed, { tensor: 1 })]) expect(other).not.toEqual(of(seed))
    expect(sketchRows(Float32Array.of(...row, ...row), width, seed, { position: 4 }).subarray(4)).toEqual(of(seed, { position: 5 }))
  })
})

describe('[SK2] the estimate', () => {
  it('is the relative distance, of rows of any size beside each other', () => {
    for (const relative of [1e-5, 1e-3, 0.1]) {
      const rows = rowsOf(64).map((x, i) => (i < width ? 1000 * x : x))
      const { rms, worst } = distance(rows, moved(rows, width, relative))
      expect(rms / relative).toBeGreaterThan(0.85)
      expect(rms / relative).toBeLessThan(1.15)
      expect(worst).toBeLessThan(4 * relative)
    }
  })

  it('sees a row that only grew, whatever its factor', () => {
    for (const factor of [1 + 5e-4, 2, -1]) {
      const rows = rowsOf(32)
      expect(
        distance(
          rows,
          rows.map((x) => factor * x),
        ).rms,
      ).toBeGreaterThan(4e-4)
    }
  })

  it('of honest noise is below the limit in 20,000 rows, and of 5 x the limit in one row of 32 above it 99.5 times in 100', () => {
    const rows = rowsOf(32, 128)
    let missed = 0
    for (let i = 0; i < 625; i++) {
      expect(distance(rows, moved(rows, 128, 1e-6), 128).worst).toBeLessThan(1e-5)
      for (let k = 0; k < 4; k++) if (distance(rows, moved(rows, 128, 5e-5, i % 32), 128).worst <= 1e-5) missed++
    }
    expect(missed / 2500).toBeLessThan(0.005)
  })

  it('of a chunk whose rows are all wrong by 5 x the limit is never below it', () => {
    const rows = rowsOf(32, 128)
    for (let i = 0; i < 1000; i++) expect(distance(rows, moved(rows, 128, 5e-5), 128).worst).toBeGreaterThan(1e-5)
  })

  it('of zeros, and of another row, is large', () => {
    const rows = rowsOf(32)
    expect(distance(rows, new Float32Array(rows.length)).worst).toBeGreaterThan(0.5)
    expect(distance(rows, rowsOf(32)).rms).toBeGreaterThan(0.5)
    expect(distance(new Float32Array(width), new Float32Array(width)).worst).toBe(0)
  })
})

describe('[SK3] a cut with several tensors', () => {
  it('shows an error in a small tensor beside a large one', () => {
    const [large, small] = [rowsOf(8).map((x) => 1e6 * x), rowsOf(8, 16)]
    const seed = seedOf()
    const of = (rows: Float32Array) =>
      sketchTensors(
        [
          { rows: large, width },
          { rows, width: 16 },
        ],
        seed,
        3,
      )
    expect(sketchDistance(of(small), of(moved(small, 16, 1e-3))).rms).toBeGreaterThan(5e-4)
    expect(() =>
      sketchTensors(
        [
          { rows: large, width },
          { rows: small, width: 8 },
        ],
        seed,
      ),
    ).toThrow(/different numbers/)
  })
})

describe('[SK4] what is no sketch', () => {
  it('is refused', () => {
    const seed = seedOf()
    for (const bad of [NaN, Infinity, -Infinity]) expect(() => sketchRows(Float32Array.of(1, bad), 2, seed)).toThrow(/not finite/)
    for (const [length, w] of [
      [0, 4],
      [5, 4],
      [4, 0],
      [4, 1.5],
    ] as const)
      expect(() => sketchRows(new Float32Array(length), w, seed)).toThrow(/no whole rows/)
    expect(() => sketchRows(new Float32Array(4), 4, seed.subarray(1))).toThrow(/32 bytes/)
    for (const [a, b] of [
      [0, 0],
      [4, 8],
      [3, 3],
    ] as const)
      expect(() => sketchDistance(new Float32Array(a), new Float32Array(b))).toThrow(/can't be compared/)
    expect(() => sketchDistance(new Float32Array(4), Float32Array.of(1, 2, NaN, 4))).toThrow(/not finite/)
  })

  it('of any finite row is finite', () => {
    fc.assert(
      fc.property(fc.float32Array({ minLength: 1, maxLength: 40, noNaN: true, noDefaultInfinity: true }), (row) => {
        expect(sketchRows(row, row.length, seedOf()).every(Number.isFinite)).toBe(true)
      }),
    )
  })
})
