/**
 * What a shadow commits to: the hashes of rows as they come, cut where the audited stage's chunks were cut. Custody hashes the
 * same bytes (link/custody-link.ts), so equal work gives equal hashes.
 */
import { concatBytes } from '../../protocol/bytes.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import type { InputCut } from '../../protocol/shadow.ts'
import { tensorBytes } from '../../protocol/tensors.ts'

/** Rows of one run on one link. */
export interface Rows {
  readonly position: number
  readonly rows: number
  /** `packTensors` of the link's tensors. */
  readonly payload: Uint8Array
}

export class CutHashes {
  readonly #tensors: number
  readonly #cuts: readonly number[]
  /** Position of the next row to hash. */
  #at: number
  readonly #hashes: Promise<InputCut>[] = []
  #parts: Uint8Array[] = []
  #rows = 0
  #alone = 0

  /** @param cuts rows of each cut, from `position` on; rows before and after them are passed over */
  constructor(position: number, cuts: readonly number[], tensors: number) {
    this.#at = position
    this.#cuts = cuts
    this.#tensors = tensors
  }

  get complete(): boolean {
    return this.#hashes.length === this.#cuts.length
  }

  /**
   * The next rows of the link. A run may lie across cuts where it is one tensor, whose rows follow one another.
   * @throws ManyhandsError bad-message when it lies across cuts and is more than one, bad-input when rows were left out
   */
  add(step: Rows): void {
    const bytes = tensorBytes(step.payload, this.#tensors)
    const end = step.position + step.rows
    while (!this.complete && this.#at < end) {
      if (step.position > this.#at) throw new ManyhandsError('bad-input', `Rows from ${step.position} came where ${this.#at} was due.`)
      const cut = this.#cuts[this.#hashes.length] as number
      const rows = Math.min(end - this.#at, cut - this.#rows)
      this.#parts.push(this.#slice(step, bytes, rows))
      if (step.rows === 1) this.#alone = (this.#alone | (1 << this.#rows)) >>> 0
      this.#rows += rows
      this.#at += rows
      if (this.#rows === cut) this.#close()
    }
  }

  /** Of every cut that is complete, in order. */
  cuts(): Promise<InputCut[]> {
    return Promise.all(this.#hashes)
  }

  #slice(step: Rows, bytes: Uint8Array, rows: number): Uint8Array {
    if (rows === step.rows) return bytes
    if (this.#tensors !== 1 || bytes.length % step.rows !== 0)
      throw new ManyhandsError('bad-message', 'A run lies across two chunks, which hold whole runs.')
    const rowBytes = bytes.length / step.rows
    const from = (this.#at - step.position) * rowBytes
    return bytes.subarray(from, from + rows * rowBytes)
  }

  #close(): void {
    const alone = this.#alone
    this.#hashes.push(sha256Bytes(concatBytes(this.#parts)).then((payloadHash) => ({ alone, payloadHash })))
    this.#parts = []
    this.#rows = 0
    this.#alone = 0
  }
}
