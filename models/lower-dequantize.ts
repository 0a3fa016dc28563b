/**
 * Quantised weights to f32, in plain loops: w = scale * q + offset, computed in f64 and rounded once, so that the result is
 * the nearest f32 to the exact value whatever the format.
 */
import { badModel } from './onnx/bad-model.ts'

/** Rows of blocks, as MatMulNBits and GatherBlockQuantized keep them: a block's elements lie together, the low bits first. */
export interface BlockLayout {
  readonly bits: 4 | 8
  readonly blockSize: number
  readonly rows: number
  readonly columns: number
}

/**
 * @param offsets one for each block; f64, as -scale * zeroPoint of an f32 scale needs more than 24 bits
 * @returns f32 [rows, columns]
 */
export function dequantizeBlocks(
  values: Uint8Array,
  layout: BlockLayout,
  scales: Float32Array,
  offsets: Float64Array,
): Float32Array<ArrayBuffer> {
  const { bits, blockSize, rows, columns } = layout
  const out = new Float32Array(rows * columns)
  const blocks = Math.ceil(columns / blockSize)
  const blockBytes = (blockSize * bits) / 8
  let block = 0
  for (let row = 0; row < rows; row++) {
    let to = row * columns
    const rowEnd = to + columns
    for (let b = 0; b < blocks; b++, block++) {
      const scale = scales[block] as number
      const offset = offsets[block] as number
      const end = Math.min(to + blockSize, rowEnd)
      let from = block * blockBytes
      if (bits === 8) {
        while (to < end) out[to++] = scale * (values[from++] as number) + offset
      } else {
        for (; to + 1 < end; to += 2) {
          const pair = values[from++] as number
          out[to] = scale * (pair & 15) + offset
          out[to + 1] = scale * (pair >> 4) + offset
        }
        if (to < end) out[to++] = scale * ((values[from] as number) & 15) + offset
      }
    }
  }
  return out
}

/** Which scale belongs to which element: `DequantizeLinear`'s per tensor, per axis and blocked forms in one. */
export interface AxisLayout {
  readonly outer: number
  readonly axis: number
  readonly inner: number
  /** Elements along the axis that share a scale. */
  readonly blockSize: number
  /** Steps through the scales for one step of outer, of blocks along the axis, of inner. */
  readonly strides: readonly [number, number, number]
}

export type IntegerType = 'int8' | 'uint8' | 'int4' | 'uint4'

/** `DequantizeLinear` of a constant: (q - zeroPoint) * scale. */
export function dequantizeAxis(
  values: Uint8Array,
  type: IntegerType,
  layout: AxisLayout,
  scales: Float32Array,
  zeroPoints: Uint8Array | undefined,
): Float32Array<ArrayBuffer> {
  const { outer, axis, inner, blockSize, strides } = layout
  const element = reader(type)
  const out = new Float32Array(outer * axis * inner)
  let at = 0
  for (let o = 0; o < outer; o++) {
    for (let a = 0; a < axis; a++) {
      const start = o * strides[0] + Math.floor(a / blockSize) * strides[1]
      for (let i = 0; i < inner; i++, at++) {
        const s = start + i * strides[2]
        const zero = zeroPoints ? element(zeroPoints, s) : 0
        out[at] = (element(values, at) - zero) * (scales[s] as number)
      }
    }
  }
  return out
}

function reader(type: IntegerType): (bytes: Uint8Array, index: number) => number {
  const nibble = (bytes: Uint8Array, index: number) => ((bytes[index >> 1] as number) >> (4 * (index & 1))) & 15
  switch (type) {
    case 'uint8':
      return (bytes, index) => bytes[index] as number
    case 'int8':
      return (bytes, index) => ((bytes[index] as number) << 24) >> 24
    case 'uint4':
      return nibble
    case 'int4':
      return (bytes, index) => (nibble(bytes, index) << 28) >> 28
  }
}

/** Raw f32, f16 or bf16 as f32. */
export function toFloats(bytes: Uint8Array, type: 'float32' | 'float16' | 'bfloat16'): Float32Array<ArrayBuffer> {
  const copy = bytes.slice().buffer
  if (type === 'float32') return new Float32Array(copy)
  const halves = new Uint16Array(copy)
  const out = new Float32Array(halves.length)
  if (type === 'bfloat16') {
    const bits = new Uint32Array(out.buffer)
    for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16
    return out
  }
  const table = halfTable()
  for (let i = 0; i < halves.length; i++) out[i] = table[halves[i] as number] as number
  return out
}

let halves: Float32Array | undefined

/** All 65,536 half floats; a look-up is several times faster than the arithmetic. */
function halfTable(): Float32Array {
  if (halves) return halves
  halves = new Float32Array(65_536)
  for (let bits = 0; bits < 65_536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    if (exponent === 31) halves[bits] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
    else if (exponent === 0) halves[bits] = sign * fraction * 2 ** -24
    else halves[bits] = sign * (1024 + fraction) * 2 ** (exponent - 25)
  }
  return halves
}

/** @throws ManyhandsError bad-model when a weight has not the bytes or numbers that its node asks for */
export function expectLength(what: string, have: number, want: number): void {
  if (have !== want) throw badModel(`the weights ${what} hold ${have} values where ${want} are needed`)
}
