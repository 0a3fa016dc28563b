/**
 * Protobuf's wire format, read: tags, varints, lengths, nested messages. Every length is checked against the message it
 * stands in, nesting and the number of items are bounded, so hostile bytes cost no more than their size and then throw.
 */
import { badModel } from './bad-model.ts'

/** As protobuf's own parsers; a sub-graph in a sub-graph takes three levels. */
const maxNesting = 100
/** Messages and strings in one file: a decoder of 300 layers has 0.2 million; two bytes of file can ask for one of 150. */
const maxItems = 2 ** 20

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
/** Below this a loop is faster than TextDecoder. */
const shortText = 48

export class WireReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0
  #end: number
  #depth = 0
  #items = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#end = bytes.length
  }

  /** The next field's tag (number * 8 + wire type), or 0 at the end of the message. */
  tag(): number {
    if (this.#at === this.#end) return 0
    const tag = this.#uint32()
    if (tag < 8) throw badModel('a field has no number')
    return tag
  }

  /** Reads a nested message; `read` must take fields until `tag()` gives 0. */
  message<T>(tag: number, read: (reader: WireReader) => T): T {
    const length = this.#length(tag)
    this.#spend()
    if (++this.#depth > maxNesting) throw badModel(`messages are nested deeper than ${maxNesting}`)
    const outerEnd = this.#end
    this.#end = this.#at + length
    const value = read(this)
    this.#end = outerEnd
    this.#depth--
    return value
  }

  /** Where the reader stands, for `since`. */
  get position(): number {
    return this.#at
  }

  /** A view of what was read since: a whole message to be kept as it is. */
  since(position: number): Uint8Array {
    return this.#bytes.subarray(position, this.#at)
  }

  /** A view of the field's bytes. */
  bytes(tag: number): Uint8Array {
    const length = this.#length(tag)
    this.#spend()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  string(tag: number): string {
    const length = this.#length(tag)
    this.#spend()
    const start = this.#at
    this.#at += length
    if (length <= shortText) {
      let out = ''
      let i = start
      for (; i < this.#at; i++) {
        const b = this.#bytes[i] as number
        if (b > 127) break
        out += String.fromCharCode(b)
      }
      if (i === this.#at) return out
    }
    try {
      return text.decode(this.#bytes.subarray(start, this.#at))
    } catch (cause) {
      throw badModel('a name is not UTF-8', cause)
    }
  }

  int64(tag: number): bigint {
    if ((tag & 7) !== 0) throw this.#wrongType(tag)
    return this.#varint()
  }

  /** An int64 that must be exact as a number. */
  int(tag: number): number {
    const value = Number(this.int64(tag))
    if (!Number.isSafeInteger(value)) throw badModel(`field ${tag >>> 3} holds a number beyond 2^53`)
    return value
  }

  float(tag: number): number {
    if ((tag & 7) !== 5) throw this.#wrongType(tag)
    return this.#view.getFloat32(this.#take(4), true)
  }

  /** A repeated int64, packed or one at a time. */
  int64s(tag: number, into: Int64List): void {
    if ((tag & 7) === 0) return into.push(this.#varint())
    const end = this.#length(tag) + this.#at
    const outerEnd = this.#end
    this.#end = end
    while (this.#at < end) into.push(this.#varint())
    this.#end = outerEnd
  }

  /** A repeated fixed-width number (float, double), packed or one at a time: its bytes, little-endian as in the file. */
  fixed(tag: number, width: 4 | 8): Uint8Array {
    if ((tag & 7) === (width === 4 ? 5 : 1)) {
      const at = this.#take(width)
      return this.#bytes.subarray(at, at + width)
    }
    const length = this.#length(tag)
    if (length % width !== 0) throw badModel(`packed numbers of ${width} bytes take ${length} bytes`)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** Steps over a field that nobody needs. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint()
        return
      case 1:
        this.#take(8)
        return
      case 2:
        this.#take(this.#length(tag))
        return
      case 5:
        this.#take(4)
        return
      default:
        throw this.#wrongType(tag)
    }
  }

  #spend(): void {
    if (++this.#items > maxItems) throw badModel(`it has more than ${maxItems} parts`)
  }

  #take(length: number): number {
    const at = this.#at
    if (length > this.#end - at) throw badModel('the file ends in the middle of a field; fetch it again')
    this.#at = at + length
    return at
  }

  /** Of a length-delimited field: how many bytes follow, which are there. */
  #length(tag: number): number {
    if ((tag & 7) !== 2) throw this.#wrongType(tag)
    const length = this.#uint32()
    if (length > this.#end - this.#at) throw badModel('a length points past the end; the file is cut short or not ONNX')
    return length
  }

  /** A tag or a length: under 2^32. */
  #uint32(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 5; i++) {
      const b = this.#bytes[this.#take(1)] as number
      value += (b & 127) * scale
      if (b < 128) {
        if (value >= 2 ** 32) break
        return value
      }
      scale *= 128
    }
    throw badModel('a tag or length is too large')
  }

  #varint(): bigint {
    let low = 0
    let scale = 1
    // 7 groups stay exact in a double; almost every number ends here.
    for (let i = 0; i < 7; i++) {
      const b = this.#bytes[this.#take(1)] as number
      low += (b & 127) * scale
      if (b < 128) return BigInt(low)
      scale *= 128
    }
    let value = BigInt(low)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const b = this.#bytes[this.#take(1)] as number
      value |= BigInt(b & 127) << shift
      if (b < 128) return BigInt.asIntN(64, value)
    }
    throw badModel('a number is longer than ten bytes')
  }

  #wrongType(tag: number) {
    return badModel(`field ${tag >>> 3} has wire type ${tag & 7}; the file is damaged or not ONNX`)
  }
}

/** A growing list of int64: one byte of file may ask for one. Most attributes and tensors have none. */
export class Int64List {
  #values = noInts
  length = 0

  push(value: bigint): void {
    if (this.length === this.#values.length) {
      const grown = new BigInt64Array(Math.max(4, 2 * this.length))
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[this.length++] = value
  }

  values(): BigInt64Array {
    return this.#values.subarray(0, this.length)
  }
}

const noInts = new BigInt64Array()
