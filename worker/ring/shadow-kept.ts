/**
 * What a shadow keeps of its rows: a standby what a stage must have to go on; an audit what it may be asked for sketches of,
 * which hashes that can be compared bit for bit make needless.
 */
import { LinkHistory } from '../../link/history.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { ShadowTicket } from '../../protocol/shadow.ts'
import type { StageEngine } from '../engine/engine.ts'
import { LastLogits } from './last-logits.ts'
import type { Rows } from './shadow-cuts.ts'
import { maxShadowBytes } from './shadow-limits.ts'
import { logitsLinkOf, outLink, type ShadowOutputs } from './shadow-outputs.ts'

export class ShadowKept {
  readonly inputs = new LinkHistory()
  readonly outputs = new LinkHistory()
  /** Hashes of logits, as a last stage has them on its link to itself. */
  readonly logitsHashes = new LinkHistory()
  readonly #ticket: ShadowTicket
  readonly #standby: boolean
  readonly #comparesHashes: boolean
  readonly #logits = new LastLogits()

  constructor(ticket: ShadowTicket, engine: StageEngine) {
    this.#ticket = ticket
    this.#standby = ticket.role === 'standby'
    this.#comparesHashes = ticket.backend === 'wasm' && engine.report.backend === 'wasm'
  }

  /** @throws ManyhandsError out-of-memory */
  add({ position, rows, payload }: Rows, made: ShadowOutputs): void {
    if (this.#standby) this.inputs.add({ position, rows, emitFrom: position, computeMicros: 0, payload })
    else if (this.#comparesHashes) return
    for (const { link, ...rows } of made.rows) {
      const step = { ...rows, emitFrom: rows.position, computeMicros: 0 }
      if (link === outLink(this.#ticket)) this.outputs.add(step)
      else if (this.#standby && link === logitsLinkOf(this.#ticket)) this.logitsHashes.add(step)
    }
    if (!this.#comparesHashes) for (const { position, logits } of made.logits) this.#logits.add(position, logits)
    if (this.inputs.bytes + this.outputs.bytes > maxShadowBytes)
      throw new ManyhandsError('out-of-memory', 'There is no room here for what so many rows give.')
  }

  /** Drops what came of rows from `position` on; a token stands one place after the row that it was chosen from. */
  truncate(position: number): void {
    const ahead = this.#ticket.last ? 1 : 0
    this.inputs.truncate(position)
    this.outputs.truncate(position + ahead)
    this.logitsHashes.truncate(position + ahead)
  }

  /** The logits that the token at `position` was chosen from, while they are kept. */
  logits(position: number): Uint8Array | undefined {
    return this.#logits.at(position)
  }
}
