/**
 * Writes safetensors files for tests: tensors as given, one after the other, the header filled up to 8 bytes as the format's own writer does.
 */
import { concatBytes, utf8, type Bytes } from '../protocol/bytes.ts'

export interface SafeTensorToWrite {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

export function writeSafetensors(tensors: readonly SafeTensorToWrite[], metadata: Readonly<Record<string, string>> = {}): Bytes {
  let at = 0
  const entries = tensors.map(
    ({ name, dtype, shape, bytes }) => [name, { dtype, shape, data_offsets: [at, (at += bytes.length)] }] as const,
  )
  return withHeader({ __metadata__: metadata, ...Object.fromEntries(entries) }, concatBytes(tensors.map(({ bytes }) => bytes)))
}

/** Any header before any data. */
export function withHeader(header: unknown, data: Uint8Array = new Uint8Array()): Bytes {
  const text = utf8(typeof header === 'string' ? header : JSON.stringify(header))
  const filled = concatBytes([text, new Uint8Array((8 - (text.length % 8)) % 8).fill(0x20)])
  return concatBytes([new Uint8Array(BigUint64Array.of(BigInt(filled.length)).buffer), filled, data])
}
