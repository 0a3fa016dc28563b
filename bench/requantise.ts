/** A GGUF's matrices at 8 bits instead of 4, everything else as it was: llama.cpp in wasm is at its best with those. */
import { fileSource } from '../models/byte-source.ts'
import type { Bytes } from '../protocol/bytes.ts'
import { readGguf, type GgufValue } from '../models/gguf.ts'
import { writeGguf, type GgufEntry, type GgufTensorToWrite } from '../testing/gguf-writer.ts'

const q80 = 8
const f32 = 0
/** Elements of a block, in both formats. */
const block = 32
const q41Bytes = 20
const q80Bytes = 34

/** @returns the new file */
export async function requantised(path: string): Promise<Bytes> {
  const source = await fileSource(path)
  try {
    const { metadata, tensors } = await readGguf(source)
    const entries = [...metadata].map(([key, value]) => entry(key, value))
    const written: GgufTensorToWrite[] = []
    for (const { name, type, dims, offset, bytes } of tensors.values()) {
      const given = await source.read(offset, bytes)
      if (type.name === 'Q4_1') written.push({ name, dims, type: q80, bytes: toQ80(given) })
      else if (type.name === 'Q8_0' || type.name === 'F32')
        written.push({ name, dims, type: type.name === 'F32' ? f32 : q80, bytes: given })
      else throw new Error(`${name} is ${type.name}: only Q4_1, Q8_0 and F32 are known here.`)
    }
    return writeGguf(entries, written)
  } finally {
    await source.close()
  }
}

function entry(key: string, value: GgufValue): GgufEntry {
  if (typeof value === 'string') return { key, type: 'text', value }
  if (typeof value === 'boolean') return { key, type: 'bool', value }
  if (typeof value === 'number') return { key, type: Number.isInteger(value) && !key.includes('rope.freq_base') ? 'u32' : 'f32', value }
  if (value.every((v) => typeof v === 'string')) return { key, type: 'texts', value }
  return { key, type: 'i32s', value: value.map(Number) }
}

/** Q4_1: f16 d, f16 m, 16 bytes of nibbles (j and j + 16), w = d q + m. Q8_0: f16 d, 32 bytes, w = d q. */
function toQ80(blocks: Uint8Array): Bytes {
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.byteLength)
  const made = new Uint8Array((blocks.length / q41Bytes) * q80Bytes)
  const out = new DataView(made.buffer)
  const weights = new Float32Array(block)
  for (let at = 0, to = 0; at < blocks.length; at += q41Bytes, to += q80Bytes) {
    const d = half(view.getUint16(at, true))
    const m = half(view.getUint16(at + 2, true))
    let most = 0
    for (let j = 0; j < block; j++) {
      const byte = blocks[at + 4 + (j % 16)] as number
      const weight = d * (j < 16 ? byte & 15 : byte >> 4) + m
      weights[j] = weight
      most = Math.max(most, Math.abs(weight))
    }
    const scaleBits = toHalf(most / 127)
    const scale = half(scaleBits)
    out.setUint16(to, scaleBits, true)
    for (let j = 0; j < block; j++)
      out.setInt8(to + 2 + j, scale === 0 ? 0 : Math.max(-127, Math.min(127, Math.round((weights[j] as number) / scale))))
  }
  return made
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

/** Of a number not below 0 and well within f16's range; the nearest. */
function toHalf(x: number): number {
  if (x === 0) return 0
  const exponent = Math.max(-14, Math.floor(Math.log2(x)))
  const steps = Math.round((x / 2 ** exponent) * 1024)
  // A rounding up to the next power carries into the exponent by itself.
  return exponent === -14 && steps < 1024 ? steps : ((exponent + 15) << 10) + (steps - 1024)
}
