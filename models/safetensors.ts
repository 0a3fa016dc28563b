/**
 * Reads a safetensors file's header: where each tensor lies (https://github.com/huggingface/safetensors#format). Only the importer runs
 * this. The file is a stranger's: every length, shape and place is checked against the bytes that are there.
 */
import * as v from 'valibot'
import { ManyhandsError } from '../protocol/errors.ts'
import type { ByteSource } from './byte-source.ts'

/** Bytes of an element, by the format's names; all are named, so that a refusal of one that we don't compute with can name it. */
const elementBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const
export type SafeType = keyof typeof elementBytes

export interface SafeTensor {
  readonly name: string
  readonly type: SafeType
  /** Row-major, outermost first; none for a single number. */
  readonly dims: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly bytes: number
}

export interface Safetensors {
  readonly metadata: ReadonlyMap<string, string>
  readonly tensors: ReadonlyMap<string, SafeTensor>
}

/** A tensor's entry takes about 150 bytes, and known files have a few thousand of them. */
export const maxHeaderBytes = 16 * 1024 * 1024
/** The header's length, u64. */
const lengthBytes = 8
const maxNameChars = 512

const place = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))
const entrySchema = v.strictObject({
  dtype: v.picklist(Object.keys(elementBytes) as SafeType[]),
  shape: v.pipe(v.array(place), v.maxLength(8)),
  data_offsets: v.strictTuple([place, place]),
})
const metadataSchema = v.record(v.string(), v.string())

/** Whether a file begins as this format does: a length that fits it, then a JSON object. */
export async function isSafetensors(source: ByteSource): Promise<boolean> {
  if (source.size < lengthBytes + 2) return false
  const start = await source.read(0, lengthBytes + 1)
  const length = new DataView(start.buffer).getBigUint64(0, true)
  return length <= BigInt(source.size - lengthBytes) && start[lengthBytes] === '{'.charCodeAt(0)
}

/**
 * Reads the header from the start of `source`, and no more.
 * @throws ManyhandsError bad-model, saying what is wrong with the file
 */
export async function readSafetensors(source: ByteSource): Promise<Safetensors> {
  const headerBytes = headerLength(await source.read(0, Math.min(lengthBytes, source.size)), source.size)
  return parseHeader(await source.read(lengthBytes, headerBytes), source.size)
}

/** @throws ManyhandsError bad-model */
export function parseSafetensors(file: Uint8Array): Safetensors {
  const headerBytes = headerLength(file.subarray(0, lengthBytes), file.length)
  return parseHeader(file.subarray(lengthBytes, lengthBytes + headerBytes), file.length)
}

function headerLength(start: Uint8Array, fileBytes: number): number {
  if (start.length < lengthBytes) throw bad('it ends inside its header')
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true)
  if (length > BigInt(maxHeaderBytes)) throw bad(`its header would have ${length} bytes; at most ${maxHeaderBytes} are read`)
  if (length > BigInt(fileBytes - lengthBytes)) throw bad('it ends inside its header')
  return Number(length)
}

function parseHeader(header: Uint8Array, fileBytes: number): Safetensors {
  const { __metadata__: said = {}, ...entries } = headerObject(header)
  const metadata = v.safeParse(metadataSchema, said)
  if (!metadata.success) throw bad('its metadata is not text by name')
  const dataStart = lengthBytes + header.length
  const tensors = Object.entries(entries).map(([name, entry]) => readEntry(name, entry, dataStart))
  // The format leaves no byte between tensors, nor after the last: whatever is hidden there is no part of a model.
  let end = dataStart
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (tensor.offset < end) throw bad(`tensor ${tensor.name} overlaps another`)
    if (tensor.offset > end) throw bad(`tensor ${tensor.name} begins after a gap`)
    end += tensor.bytes
  }
  if (end > fileBytes) throw bad(`its tensors end at byte ${end} of ${fileBytes}: the file is cut off`)
  if (end < fileBytes) throw bad(`${fileBytes - end} bytes follow its last tensor`)
  return { metadata: new Map(Object.entries(metadata.output)), tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) }
}

function headerObject(header: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header))
  } catch {
    throw bad('its header is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('its header is no JSON object')
  return value as Record<string, unknown>
}

function readEntry(name: string, entry: unknown, dataStart: number): SafeTensor {
  if (name.length === 0 || name.length > maxNameChars) throw bad(`a tensor's name has ${name.length} characters`)
  const parsed = v.safeParse(entrySchema, entry)
  if (!parsed.success) throw bad(`tensor ${name}: ${v.getDotPath(parsed.issues[0]) ?? 'its entry'}: ${parsed.issues[0].message}`)
  const { dtype, shape, data_offsets: offsets } = parsed.output
  const [begin, end] = offsets
  const bytes = shape.reduce((product, dim) => product * dim, elementBytes[dtype])
  if (!Number.isSafeInteger(bytes) || bytes !== end - begin)
    throw bad(`tensor ${name} of shape [${shape.join(', ')}] takes ${bytes} bytes, but has ${end - begin}`)
  return { name, type: dtype, dims: shape, offset: dataStart + begin, bytes }
}

const bad = (what: string) => new ManyhandsError('bad-model', `Safetensors file refused: ${what}.`)
