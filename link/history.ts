/**
 * Every step that went over one link of a session, by position: what replay, audits and standbys read. Both ends keep one.
 * It also says where the link's chunks are cut, so that whoever sends these steps again cuts them alike. docs/protocol.md [CU].
 */
import { equalBytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { StepHeader } from '../protocol/frames.ts'
import { chunkRows } from '../protocol/limits.ts'

/** A step without what a generation adds to it. */
export interface HistoryStep extends Pick<StepHeader, 'position' | 'rows' | 'emitFrom' | 'computeMicros'> {
  /** `packTensors` of the link's tensors. */
  readonly payload: Uint8Array
}

interface Kept {
  readonly step: HistoryStep
  /** Position of the first row of its chunk. */
  readonly chunk: number
}

export class LinkHistory {
  /** Rows before this position stand in closed chunks. */
  #signed = 0
  readonly #kept: Kept[] = []
  #bytes = 0
  /** The next step opens a chunk. */
  #cut = true
  readonly #watchers = new Set<() => void>()

  /** Position of the first row; 0 while it is empty. */
  get first(): number {
    return this.#kept[0]?.step.position ?? 0
  }

  /** Position after the last row; 0 while it is empty. */
  get end(): number {
    const last = this.#kept.at(-1)?.step
    return last ? last.position + last.rows : 0
  }

  get rows(): number {
    return this.end - this.first
  }

  /** Of all payloads. */
  get bytes(): number {
    return this.#bytes
  }

  /** Rows before this position stand in chunks that their sender has closed and signed. */
  get signed(): number {
    return this.#signed
  }

  /** The next step; the first may have any position. @throws ManyhandsError internal when it does not follow the last */
  add(step: HistoryStep): void {
    const last = this.#kept.at(-1)
    if (last && step.position !== this.end)
      throw new ManyhandsError('internal', `A step at ${step.position} does not follow a history that ends at ${this.end}.`)
    const fits = last !== undefined && !this.#cut && step.position + step.rows - last.chunk <= chunkRows
    this.#kept.push({ step, chunk: fits ? last.chunk : step.position })
    this.#cut = false
    this.#bytes += step.payload.length
    this.#tell()
  }

  /** Ends the chunk here: the next step opens another. */
  cut(): void {
    this.#cut = true
  }

  /** Whether the last chunk is whole: full, or ended by `cut`. */
  get whole(): boolean {
    const last = this.#kept.at(-1)
    return last === undefined || this.#cut || this.end - last.chunk >= chunkRows
  }

  /** The chunks before `position` are signed. */
  sign(position: number): void {
    if (position <= this.#signed) return
    this.#signed = Math.min(position, this.end)
    this.#tell()
  }

  /** Drops every step that reaches past `position`. */
  truncate(position: number): void {
    const from = this.#indexOf(position)
    const dropped = this.#kept.splice(from === -1 ? this.#kept.length : from)
    if (dropped.length === 0) return
    for (const { step } of dropped) this.#bytes -= step.payload.length
    this.#cut = (this.#kept.at(-1)?.chunk ?? -1) !== dropped[0]?.chunk
    this.#signed = Math.min(this.#signed, this.end)
    this.#tell()
  }

  /** Steps in order, from the one that holds `position` on. */
  *from(position: number): Generator<HistoryStep> {
    const first = this.#indexOf(position)
    if (first === -1) return
    for (let i = first; i < this.#kept.length; i++) yield (this.#kept[i] as Kept).step
  }

  /** The step that holds a position. */
  at(position: number): HistoryStep | undefined {
    return position < this.first ? undefined : this.#kept[this.#indexOf(position)]?.step
  }

  /** Where the chunk begins that holds `position`. */
  chunkStart(position: number): number {
    return this.#kept[this.#indexOf(position)]?.chunk ?? position
  }

  /** Whether the very same step is here: same rows, same bytes. */
  equal(step: HistoryStep): boolean {
    const held = this.at(step.position)
    return held !== undefined && held.position === step.position && held.rows === step.rows && equalBytes(held.payload, step.payload)
  }

  /** Calls `changed` after every change, until the function that it returns is called. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
  }

  #tell(): void {
    for (const changed of this.#watchers) changed()
  }

  /** Index of the step that holds `position`, or of the first one past it; -1 past the end. */
  #indexOf(position: number): number {
    let low = 0
    let high = this.#kept.length
    while (low < high) {
      const middle = (low + high) >> 1
      const { step } = this.#kept[middle] as Kept
      if (step.position + step.rows > position) high = middle
      else low = middle + 1
    }
    return low < this.#kept.length ? low : -1
  }
}
