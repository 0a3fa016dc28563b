/**
 * Reads a GGUF file's header: metadata, and where each tensor lies (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
 * Only the importer runs this. The file is a stranger's: every count and length is checked against the bytes that are there.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import type { ByteSource } from './byte-source.ts'
import { ggmlTypes, type GgmlType } from './gguf-types.ts'

export type GgufScalar = number | boolean | string
export type GgufValue = GgufScalar | readonly GgufScalar[]

export interface GgufTensor {
  readonly name: string
  readonly type: GgmlType
  /** Row-major, outermost first: [out, in] for a matrix (the reverse of the file's `ne`). */
  readonly dims: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly bytes: number
}

export interface Gguf {
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

/** The largest vocabularies (256k tokens, their merges) take about 20 MB. */
export const maxHeaderBytes = 128 * 1024 * 1024
/** First read; SmolLM2's header has 1.8 MB. */
const firstReadBytes = 4 * 1024 * 1024
/** Known files have under 100 entries and, for a mixture of experts, a few thousand tensors. */
const maxEntries = 65_536
/** Elements of all metadata arrays together: tokens, types, scores and merges of the largest vocabularies are a million. */
const maxArrayElements = 8 * 1024 * 1024
const maxNameBytes = 512
const maxAlignment = 65_536

/**
 * Reads the header from the start of `source`, as much of it as it takes.
 * @throws ManyhandsError bad-model, saying what is wrong with the file
 */
export async function readGguf(source: ByteSource): Promise<Gguf> {
  for (let length = firstReadBytes; ; length *= 4) {
    const all = length >= source.size
    const header = await source.read(0, all ? source.size : Math.min(length, maxHeaderBytes))
    try {
      return parseGguf(header, source.size)
    } catch (thrown) {
      if (!(thrown instanceof HeaderCut) || all) throw thrown
      if (length >= maxHeaderBytes) throw bad(`its header is longer than ${maxHeaderBytes} bytes`)
    }
  }
}

/**
 * @param header the first bytes of the file, or all of it
 * @param fileBytes the whole file's size
 * @throws ManyhandsError bad-model
 */
export function parseGguf(header: Uint8Array, fileBytes: number = header.length): Gguf {
  const reader = new HeaderReader(header)
  if (reader.text(4) !== 'GGUF') throw bad('it does not begin with GGUF')
  const version = reader.u32()
  if (version !== 2 && version !== 3) throw bad(`version ${version}; 2 and 3 are known`)
  const tensorCount = reader.count(maxEntries, 'tensors')
  const entryCount = reader.count(maxEntries, 'metadata entries')

  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < entryCount; i++) {
    const key = reader.name()
    if (metadata.has(key)) throw bad(`metadata ${key} appears twice`)
    metadata.set(key, reader.value(reader.u32()))
  }
  const placed = Array.from({ length: tensorCount }, () => readTensor(reader))
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment < 1 || alignment > maxAlignment || alignment % 1 !== 0)
    throw bad(`alignment ${String(alignment)}`)
  const dataStart = Math.ceil(reader.at / alignment) * alignment
  return { metadata, tensors: placeTensors(placed, dataStart, alignment, fileBytes) }
}

function readTensor(reader: HeaderReader): GgufTensor {
  const name = reader.name()
  const rank = reader.u32()
  if (rank < 1 || rank > 4) throw bad(`tensor ${name} has ${rank} dimensions`)
  const dims: number[] = []
  let elements = 1
  for (let i = 0; i < rank; i++) {
    const d = reader.u64()
    elements *= d
    if (d < 1 || elements > Number.MAX_SAFE_INTEGER / 8) throw bad(`tensor ${name} has a dimension of ${d}`)
    dims.unshift(d)
  }
  const typeId = reader.u32()
  const type = ggmlTypes.get(typeId)
  if (!type) throw bad(`tensor ${name} is of the unknown type ${typeId}`)
  const rowLength = dims[rank - 1] as number
  if (rowLength % type.blockElements !== 0) throw bad(`tensor ${name} has rows of ${rowLength}, not a multiple of ${type.blockElements}`)
  return { name, type, dims, offset: reader.u64(), bytes: (elements / type.blockElements) * type.blockBytes }
}

/** Offsets from the start of the file, inside it, and no two tensors over the same bytes. */
function placeTensors(tensors: readonly GgufTensor[], dataStart: number, alignment: number, fileBytes: number): Map<string, GgufTensor> {
  let end = dataStart
  const placed = tensors.map((t) => ({ ...t, offset: t.offset + dataStart }))
  for (const t of placed.toSorted((a, b) => a.offset - b.offset)) {
    if ((t.offset - dataStart) % alignment !== 0) throw bad(`tensor ${t.name} is not aligned to ${alignment} bytes`)
    if (t.offset < end) throw bad(`tensor ${t.name} overlaps another`)
    end = t.offset + t.bytes
    if (end > fileBytes) throw bad(`tensor ${t.name} ends at byte ${end} of ${fileBytes}: the file is cut off`)
  }
  const byName = new Map(placed.map((t) => [t.name, t]))
  if (byName.size !== placed.length) throw bad('two tensors have the same name')
  return byName
}

/** The header goes on after the bytes at hand. */
class HeaderCut extends ManyhandsError {
  constructor() {
    super('bad-model', 'GGUF refused: it ends inside its header. Download it again.')
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class HeaderReader {
  at = 0
  private elements = 0
  private readonly bytes: Uint8Array
  private readonly view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Moves past `n` bytes and says where they began. */
  private take(n: number): number {
    if (n > this.bytes.length - this.at) throw new HeaderCut()
    const from = this.at
    this.at += n
    return from
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true)
  }

  u64(): number {
    return safeNumber(this.view.getBigUint64(this.take(8), true))
  }

  count(most: number, what: string): number {
    const n = this.u64()
    if (n > most) throw bad(`${n} ${what}; at most ${most} are read`)
    return n
  }

  text(length: number): string {
    const from = this.take(length)
    try {
      return strict.decode(this.bytes.subarray(from, from + length))
    } catch {
      throw bad(`the text at byte ${from} is not UTF-8`)
    }
  }

  name(): string {
    return this.text(this.count(maxNameBytes, 'bytes of a name'))
  }

  value(type: number): GgufValue {
    if (type !== 9) return this.scalar(type)
    const elementType = this.u32()
    const length = this.u64()
    this.elements += length
    if (this.elements > maxArrayElements) throw bad(`more than ${maxArrayElements} array elements`)
    // Before anything is kept: as many elements as claimed must be able to fit in what is left.
    const smallest = elementType === 8 ? 8 : (scalarBytes[elementType] ?? 1)
    if (length * smallest > this.bytes.length - this.at) throw new HeaderCut()
    const values: GgufScalar[] = []
    for (let i = 0; i < length; i++) values.push(this.scalar(elementType))
    return values
  }

  private scalar(type: number): GgufScalar {
    if (type === 8) return this.text(this.count(maxHeaderBytes, 'bytes of text'))
    const size = scalarBytes[type]
    if (size === undefined) throw bad(`metadata of the unknown type ${type}`)
    const at = this.take(size)
    switch (type) {
      case 0:
        return this.view.getUint8(at)
      case 1:
        return this.view.getInt8(at)
      case 2:
        return this.view.getUint16(at, true)
      case 3:
        return this.view.getInt16(at, true)
      case 4:
        return this.view.getUint32(at, true)
      case 5:
        return this.view.getInt32(at, true)
      case 6:
        return this.view.getFloat32(at, true)
      case 7:
        return this.view.getUint8(at) !== 0
      case 10:
        return safeNumber(this.view.getBigUint64(at, true))
      case 11:
        return safeNumber(this.view.getBigInt64(at, true))
      default:
        return this.view.getFloat64(at, true)
    }
  }
}

/** Bytes of a metadata scalar by its type number; 8 is text, 9 an array (arrays of arrays are refused: nobody writes them). */
const scalarBytes: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 }

function safeNumber(n: bigint): number {
  if (n > Number.MAX_SAFE_INTEGER || n < Number.MIN_SAFE_INTEGER) throw bad(`the number ${n} is out of range`)
  return Number(n)
}

const bad = (what: string) => new ManyhandsError('bad-model', `GGUF refused: ${what}.`)
