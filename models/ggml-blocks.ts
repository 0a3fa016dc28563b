/**
 * Takes GGUF's weight blocks (32 elements and their scale, interleaved) apart into the separate arrays that ONNX's quantised
 * operators read. Bits move, no value changes: the weights stay exact. All sizes are in elements unless named otherwise.
 */
import type { Bytes } from '../protocol/bytes.ts'

export const blockSize = 32
const nibbleBytes = blockSize / 2
const halfBytes = 2

/** Of each block: f16 scale d, f16 minimum m, 16 bytes of nibbles; w = d q + m. */
export function splitQ41(blocks: Uint8Array): { quant: Bytes; scale: Bytes; min: Bytes } {
  const stride = 2 * halfBytes + nibbleBytes
  const count = blocks.length / stride
  const quant = new Uint8Array(count * nibbleBytes)
  const scale = new Uint8Array(count * halfBytes)
  const min = new Uint8Array(count * halfBytes)
  for (let b = 0; b < count; b++) {
    const from = b * stride
    copyHalf(blocks, from, scale, b)
    copyHalf(blocks, from + halfBytes, min, b)
    pairNibbles(blocks, from + 2 * halfBytes, quant, b * nibbleBytes)
  }
  return { quant, scale, min }
}

/** Of each block: f16 scale d, 16 bytes of nibbles; w = d (q - 8). */
export function splitQ40(blocks: Uint8Array): { quant: Bytes; scale: Bytes } {
  const stride = halfBytes + nibbleBytes
  const count = blocks.length / stride
  const quant = new Uint8Array(count * nibbleBytes)
  const scale = new Uint8Array(count * halfBytes)
  for (let b = 0; b < count; b++) {
    copyHalf(blocks, b * stride, scale, b)
    pairNibbles(blocks, b * stride + halfBytes, quant, b * nibbleBytes)
  }
  return { quant, scale }
}

/** Of each block: f16 scale d, 32 signed bytes; w = d q. ONNX wants them unsigned around 128: the sign bit flipped. */
export function splitQ80(blocks: Uint8Array): { quant: Bytes; scale: Bytes } {
  const stride = halfBytes + blockSize
  const count = blocks.length / stride
  const quant = new Uint8Array(count * blockSize)
  const scale = new Uint8Array(count * halfBytes)
  for (let b = 0; b < count; b++) {
    const from = b * stride + halfBytes
    const to = b * blockSize
    copyHalf(blocks, b * stride, scale, b)
    for (let i = 0; i < blockSize; i++) quant[to + i] = (blocks[from + i] as number) ^ 0x80
  }
  return { quant, scale }
}

function copyHalf(from: Uint8Array, at: number, to: Uint8Array, index: number): void {
  to[2 * index] = from[at] as number
  to[2 * index + 1] = from[at + 1] as number
}

/** GGUF's byte j holds elements j and j + 16; MatMulNBits' byte j holds 2j and 2j + 1. The low nibble is the first. */
function pairNibbles(from: Uint8Array, at: number, to: Uint8Array, start: number): void {
  for (let j = 0; j < nibbleBytes / 2; j++) {
    const even = from[at + 2 * j] as number
    const odd = from[at + 2 * j + 1] as number
    to[start + j] = (even & 15) | ((odd & 15) << 4)
    to[start + nibbleBytes / 2 + j] = (even >> 4) | (odd & 0xf0)
  }
}

/**
 * The rows of a query or key matrix back in the order of the original: GGUF pairs the two halves that rotate together
 * (row 2i + j of a head), the graph's rotation wants half after half (row j * headDim / 2 + i).
 */
export function unpairHalves(matrix: Uint8Array, rowBytes: number, headDim: number): Bytes {
  const out = new Uint8Array(matrix.length)
  const rows = matrix.length / rowBytes
  const half = headDim / 2
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim
    const from = row - inHead + 2 * (inHead % half) + Math.floor(inHead / half)
    out.set(matrix.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes)
  }
  return out
}

/** [rows, columns] of `size`-byte elements as [columns, rows]. */
export function transpose(matrix: Uint8Array, rows: number, columns: number, size: 2 | 4): Bytes {
  const from = size === 4 ? new Uint32Array(aligned(matrix, 4)) : new Uint16Array(aligned(matrix, 2))
  const to = size === 4 ? new Uint32Array(from.length) : new Uint16Array(from.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c] as number
  return new Uint8Array(to.buffer)
}

const aligned = (bytes: Uint8Array, size: number): ArrayBuffer => {
  const whole = bytes.byteOffset % size === 0 && bytes.byteOffset === 0 && bytes.buffer.byteLength === bytes.length
  return (whole ? bytes.buffer : bytes.slice().buffer) as ArrayBuffer
}
