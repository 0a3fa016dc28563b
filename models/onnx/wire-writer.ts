/**
 * Protobuf's wire format, written back to front: a message's length is known when its prefix is written, so weights are
 * copied once and nothing is measured beforehand. Callers give fields and list items in reverse; `each` does it for lists.
 */
export class WireWriter {
  #bytes: Uint8Array<ArrayBuffer>
  /** What is written lies in [at, end). */
  #at: number

  constructor(expectedBytes: number) {
    this.#bytes = new Uint8Array(expectedBytes)
    this.#at = expectedBytes
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(this.#at)
  }

  /** `items` from the last to the first. */
  each<T>(items: ArrayLike<T>, write: (item: T) => void): void {
    for (let i = items.length - 1; i >= 0; i--) write(items[i] as T)
  }

  message(field: number, write: () => void): void {
    const before = this.#bytes.length - this.#at
    write()
    this.#varint(this.#bytes.length - this.#at - before)
    this.#varint(field * 8 + 2)
  }

  bytes(field: number, value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
    this.#varint(value.length)
    this.#varint(field * 8 + 2)
  }

  /** A whole message that was kept as it was. */
  verbatim(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
  }

  string(field: number, value: string): void {
    this.bytes(field, encoder.encode(value))
  }

  /** Left out when empty, as protobuf's defaults are. */
  optionalString(field: number, value: string): void {
    if (value !== '') this.string(field, value)
  }

  int(field: number, value: number | bigint): void {
    this.#int64(value)
    this.#varint(field * 8)
  }

  /** Packed. */
  int64s(field: number, values: ArrayLike<number | bigint>): void {
    this.message(field, () => this.each(values, (value) => this.#int64(value)))
  }

  float(field: number, value: number): void {
    this.#float(value)
    this.#varint(field * 8 + 5)
  }

  /** Packed. */
  floats(field: number, values: Float32Array): void {
    this.message(field, () => this.each(values, (value) => this.#float(value)))
  }

  #float(value: number): void {
    this.#reserve(4)
    new DataView(this.#bytes.buffer).setFloat32(this.#at, value, true)
  }

  #int64(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) return this.#varint(value)
    let rest = BigInt.asUintN(64, BigInt(value))
    const groups: number[] = []
    for (; rest > 127n; rest >>= 7n) groups.push(Number(rest & 127n) | 128)
    groups.push(Number(rest))
    this.#reserve(groups.length)
    this.#bytes.set(groups, this.#at)
  }

  /** A non-negative safe integer. */
  #varint(value: number): void {
    let length = 1
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++
    this.#reserve(length)
    let rest = value
    for (let i = this.#at; i < this.#at + length - 1; i++) {
      this.#bytes[i] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#at + length - 1] = rest
  }

  /** Moves `at` back by `length`, into a larger buffer where this one is full. */
  #reserve(length: number): void {
    if (length > this.#at) {
      const used = this.#bytes.length - this.#at
      const grown = new Uint8Array(2 * this.#bytes.length + length)
      grown.set(this.#bytes.subarray(this.#at), grown.length - used)
      this.#at = grown.length - used
      this.#bytes = grown
    }
    this.#at -= length
  }
}

const encoder = new TextEncoder()
