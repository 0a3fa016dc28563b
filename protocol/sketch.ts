/**
 * A sketch of a stage's output: four numbers a row from which the relative distance of two computations is estimated without
 * either being sent. Its seed is drawn after both have been committed to, so nobody can aim for it. docs/protocol.md [SK].
 */
import { ManyhandsError } from './errors.ts'
import { exactLog } from './sampling.ts'

/** Numbers a row: 512 B for a chunk of 32 rows; one row alone at 5 x the limit is missed 3 times in 1,000, a chunk of them never. */
export const sketchWidth = 4
export const sketchSeedBytes = 32
/** A row of zeros has no direction and this norm, so that it is far from every row that has one. */
const leastNorm = 2 ** -126

/** Which signs a row is given: rows and tensors differ in theirs, so an error that one row's signs miss is seen by the next's. */
export interface SketchPlace {
  /** Position of the first row in its session. */
  readonly position?: number
  /** Index of the tensor at its cut. */
  readonly tensor?: number
}

/**
 * @param rows f32 [n, width], as on the wire
 * @param seed 32 bytes
 * @returns f32 [n, 4]
 * @throws ManyhandsError bad-input (no whole rows, seed of another length), not-finite
 */
export function sketchRows(
  rows: Float32Array,
  width: number,
  seed: Uint8Array,
  { position = 0, tensor = 0 }: SketchPlace = {},
): Float32Array<ArrayBuffer> {
  if (!Number.isSafeInteger(width) || width < 1 || rows.length === 0 || rows.length % width !== 0)
    throw new ManyhandsError('bad-input', `${rows.length} values are no whole rows of ${width}.`)
  if (seed.length !== sketchSeedBytes)
    throw new ManyhandsError('bad-input', `A sketch's seed has ${sketchSeedBytes} bytes, not ${seed.length}.`)
  const n = rows.length / width
  const out = new Float32Array(n * sketchWidth)
  const key = seedWords(seed)
  const buckets = new Float64Array(16)
  for (let i = 0; i < n; i++) sketchRow(rows.subarray(i * width, (i + 1) * width), key, tensor, position + i, buckets, out.subarray(4 * i))
  return out
}

/** The sketch of a cut that several tensors cross: their sketches' sum, so each counts by its own norm. All have the same rows. */
export function sketchTensors(
  tensors: readonly { readonly rows: Float32Array; readonly width: number }[],
  seed: Uint8Array,
  position = 0,
): Float32Array<ArrayBuffer> {
  const [first, ...others] = tensors.map(({ rows, width }, tensor) => sketchRows(rows, width, seed, { position, tensor }))
  if (!first) throw new ManyhandsError('bad-input', 'There is nothing to sketch.')
  for (const other of others) {
    if (other.length !== first.length) throw new ManyhandsError('bad-input', 'The tensors of a cut have different numbers of rows.')
    for (let i = 0; i < first.length; i++) first[i] = (first[i] as number) + (other[i] as number)
  }
  return first
}

export interface SketchDistance {
  /** Estimated relative L2 distance of the row that differs most. */
  readonly worst: number
  /** The same over all rows: root of the mean square. */
  readonly rms: number
}

/** @throws ManyhandsError bad-message when they are not two sketches of as many rows, not-finite */
export function sketchDistance(a: Float32Array, b: Float32Array): SketchDistance {
  if (a.length !== b.length || a.length === 0 || a.length % sketchWidth !== 0)
    throw new ManyhandsError('bad-message', `Sketches of ${a.length} and ${b.length} numbers can't be compared.`)
  let worst = 0
  let total = 0
  for (let row = 0; row < a.length; row += sketchWidth) {
    let square = 0
    for (let k = row; k < row + sketchWidth; k++) square += ((a[k] as number) - (b[k] as number)) ** 2
    if (!Number.isFinite(square)) throw new ManyhandsError('not-finite', 'A sketch holds a number that is not finite.')
    total += square
    worst = Math.max(worst, square)
  }
  return { worst: Math.sqrt(worst / sketchWidth), rms: Math.sqrt(total / a.length) }
}

/** Every column's value goes into one of 16 sums, by its four sign bits; the four projections are signed sums of those. */
function sketchRow(row: Float32Array, key: Uint32Array, tensor: number, position: number, buckets: Float64Array, out: Float32Array): void {
  const state = chachaState(key, tensor, position)
  const words = new Uint32Array(16)
  buckets.fill(0)
  let square = 0
  let word = 0
  for (let j = 0; j < row.length; j++) {
    if ((j & 7) === 0) word = keyWord(state, words, j >>> 3)
    const x = row[j] as number
    square += x * x
    const bucket = word & 15
    buckets[bucket] = (buckets[bucket] as number) + x
    word >>>= 4
  }
  // Infinity, NaN and what overflows to them all end up here; finite f32 rows can't overflow a double.
  if (!Number.isFinite(square)) throw new ManyhandsError('not-finite', `Row ${position} holds a number that is not finite.`)
  if ((row.length & 7) === 0) word = keyWord(state, words, row.length >>> 3)
  const norm = Math.sqrt(square)
  const size = exactLog(Math.max(norm, leastNorm))
  for (let k = 0; k < sketchWidth; k++) {
    let sum = 0
    for (let bucket = 0; bucket < 16; bucket++)
      sum += ((bucket >>> k) & 1) === 1 ? (buckets[bucket] as number) : -(buckets[bucket] as number)
    const direction = norm === 0 ? 0 : sum / norm
    out[k] = direction + (((word >>> k) & 1) === 1 ? size : -size)
  }
}

// ---- ChaCha20's key stream (RFC 8439), of which the sign bits are cut ------------------------------------------------

function seedWords(seed: Uint8Array): Uint32Array {
  const view = new DataView(seed.buffer, seed.byteOffset, seed.byteLength)
  return Uint32Array.from({ length: 8 }, (_, i) => view.getUint32(4 * i, true))
}

/** Constants, key, block counter, nonce (tensor, position, 0). */
const chachaState = (key: Uint32Array, tensor: number, position: number): Uint32Array =>
  Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, ...key, 0, tensor, position, 0)

/** Word `at` of the stream; `words` holds the block that was made last. */
function keyWord(state: Uint32Array, words: Uint32Array, at: number): number {
  if ((at & 15) === 0) {
    state[12] = at >>> 4
    chachaBlock(state, words)
  }
  return words[at & 15] as number
}

function chachaBlock(state: Uint32Array, words: Uint32Array): void {
  words.set(state)
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(words, i, 4 + i, 8 + i, 12 + i)
    for (let i = 0; i < 4; i++) quarter(words, i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3))
  }
  for (let i = 0; i < 16; i++) words[i] = (words[i] as number) + (state[i] as number)
}

function quarter(words: Uint32Array, ia: number, ib: number, ic: number, id: number): void {
  let a = words[ia] as number
  let b = words[ib] as number
  let c = words[ic] as number
  let d = words[id] as number
  a = (a + b) | 0
  d = rotate(d ^ a, 16)
  c = (c + d) | 0
  b = rotate(b ^ c, 12)
  a = (a + b) | 0
  d = rotate(d ^ a, 8)
  c = (c + d) | 0
  b = rotate(b ^ c, 7)
  words[ia] = a
  words[ib] = b
  words[ic] = c
  words[id] = d
}

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by))
