/**
 * What a stage's outputs become on its links, for whoever computes them again: activations as they are; of a last stage the
 * tokens it chooses and the hashes of the logits that they were chosen from.
 */
import type { Sampling } from '../../protocol/sampling.ts'
import type { ShadowTicket } from '../../protocol/shadow.ts'
import { packTensors, type TensorValue } from '../../protocol/tensors.ts'
import type { StageEngine } from '../engine/engine.ts'
import { chooseToken, packLogitsHash } from './last-logits.ts'
import type { Rows } from './shadow-cuts.ts'
import { packTokens } from './step-tensors.ts'

/** A stage's links by its place in the pipeline; the last one's are the answer and the logits. docs/protocol.md [LN1]. */
export const outLink = ({ stage }: ShadowTicket): number => stage + 1
export const logitsLinkOf = ({ stage }: ShadowTicket): number => stage + 3

export interface LinkRows extends Rows {
  readonly link: number
}

/** Logits of one row, and the position of the token chosen from it. */
export interface LogitsRow {
  readonly position: number
  readonly logits: Uint8Array
}

export interface ShadowOutputs {
  readonly rows: readonly LinkRows[]
  /** Of a decoder's last stage. */
  readonly logits: readonly LogitsRow[]
}

/** First row of a run whose logits are wanted: the prompt's last and everything after it. */
export const logitsFrom = ({ last, promptLength }: ShadowTicket, { position, rows }: Omit<Rows, 'payload'>): number =>
  last ? Math.min(rows, Math.max(0, promptLength - 1 - position)) : rows

/** Tensors of a link, as custody counts them: one for tokens and for hashes of logits. */
export const tensorsOf = (ticket: ShadowTicket, engine: StageEngine): number =>
  ticket.last && engine.manifest.decoder ? 1 : engine.outputSpecs.length

/** @param outputs of the engine, for the run of `step`'s rows */
export async function shadowOutputs(
  ticket: ShadowTicket,
  engine: StageEngine,
  step: Omit<Rows, 'payload'>,
  outputs: readonly TensorValue[],
): Promise<ShadowOutputs> {
  const { decoder } = engine.manifest
  const { position, rows } = step
  if (!ticket.last || !decoder) return { rows: [{ link: outLink(ticket), position, rows, payload: packTensors(outputs) }], logits: [] }
  const [all] = outputs
  const from = logitsFrom(ticket, step)
  if (!all || from === rows) return { rows: [], logits: [] }
  const width = all.bytes.length / (rows - from)
  const logits = Array.from({ length: rows - from }, (_, i) => ({
    position: position + from + i + 1,
    logits: all.bytes.subarray(i * width, (i + 1) * width),
  }))
  const chosen = await Promise.all(
    logits.map(async (row): Promise<LinkRows[]> => [
      { link: outLink(ticket), position: row.position, rows: 1, payload: tokenPayload(row, ticket.sampling) },
      { link: logitsLinkOf(ticket), position: row.position, rows: 1, payload: await packLogitsHash(row.logits) },
    ]),
  )
  return { rows: chosen.flat(), logits }
}

/** The token chosen from a row of logits, as the answer's link carries it. */
export const tokenPayload = ({ position, logits }: LogitsRow, sampling: Sampling | null): Uint8Array =>
  packTokens([chooseToken(logits, position, sampling)])

/** A row of logits itself, as it is handed over for a comparison. */
export const logitsPayload = (logits: Uint8Array): Uint8Array =>
  packTensors([{ dtype: 'float32', dims: [1, logits.length / 4], bytes: logits }])
