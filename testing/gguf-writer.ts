/**
 * Writes GGUF files for tests: metadata and tensors as given, aligned to 32 bytes.
 */
import { concatBytes, utf8, type Bytes } from '../protocol/bytes.ts'

export type GgufEntry =
  | { readonly key: string; readonly type: 'u32' | 'f32'; readonly value: number }
  | { readonly key: string; readonly type: 'bool'; readonly value: boolean }
  | { readonly key: string; readonly type: 'text'; readonly value: string }
  | { readonly key: string; readonly type: 'texts'; readonly value: readonly string[] }
  | { readonly key: string; readonly type: 'i32s'; readonly value: readonly number[] }

export interface GgufTensorToWrite {
  readonly name: string
  /** ggml's type number. */
  readonly type: number
  /** [out, in]: written reversed, as the format has it. */
  readonly dims: readonly number[]
  readonly bytes: Uint8Array
}

const typeNumbers = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, array: 9 } as const
const alignment = 32

export function writeGguf(entries: readonly GgufEntry[], tensors: readonly GgufTensorToWrite[]): Bytes {
  const header: Uint8Array[] = [utf8('GGUF'), u32(3), u64(tensors.length), u64(entries.length)]
  for (const entry of entries) header.push(text(entry.key), value(entry))
  const data: Uint8Array[] = []
  let offset = 0
  for (const tensor of tensors) {
    header.push(text(tensor.name), u32(tensor.dims.length), ...tensor.dims.toReversed().map(u64), u32(tensor.type), u64(offset))
    const fill = padding(tensor.bytes.length)
    data.push(tensor.bytes, fill)
    offset += tensor.bytes.length + fill.length
  }
  const head = concatBytes(header)
  return concatBytes([head, padding(head.length), ...data])
}

function value(entry: GgufEntry): Uint8Array {
  switch (entry.type) {
    case 'u32':
      return concatBytes([u32(typeNumbers.u32), u32(entry.value)])
    case 'f32':
      return concatBytes([u32(typeNumbers.f32), new Uint8Array(Float32Array.of(entry.value).buffer)])
    case 'bool':
      return concatBytes([u32(typeNumbers.bool), Uint8Array.of(entry.value ? 1 : 0)])
    case 'text':
      return concatBytes([u32(typeNumbers.text), text(entry.value)])
    case 'texts':
      return concatBytes([u32(typeNumbers.array), u32(typeNumbers.text), u64(entry.value.length), ...entry.value.map(text)])
    case 'i32s':
      return concatBytes([
        u32(typeNumbers.array),
        u32(typeNumbers.i32),
        u64(entry.value.length),
        new Uint8Array(Int32Array.from(entry.value).buffer),
      ])
  }
}

const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer)
const u64 = (n: number) => new Uint8Array(BigUint64Array.of(BigInt(n)).buffer)
const text = (s: string) => concatBytes([u64(utf8(s).length), utf8(s)])
const padding = (length: number) => new Uint8Array((alignment - (length % alignment)) % alignment)
