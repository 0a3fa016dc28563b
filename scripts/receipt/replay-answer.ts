/**
 * The end of a replay: each token against the one that our logits give, by the ticket's way of choosing; or a model's results
 * against ours. docs/protocol.md [SM].
 */
import { equalBytes, type Bytes } from '../../protocol/bytes.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { Content } from '../../protocol/receipt-file.ts'
import { gumbel, sampleToken, type Sampling } from '../../protocol/sampling.ts'
import { unpackTensors, type TensorSpec } from '../../protocol/tensors.ts'
import { float32View } from '../../worker/ring/step-tensors.ts'
import { counted, judged, ok, type Check } from './checks.ts'
import type { StagePart } from './pipeline-plan.ts'
import { piecesBytes, type Piece, type Standing } from './stage-replay.ts'
import type { RowRun } from './steps.ts'

export interface LogitsRow {
  readonly logits: Float32Array
  readonly hash: Bytes
  readonly standing: Standing
}
/** By the position of the token that they choose. */
export type AnswerLogits = ReadonlyMap<number, LogitsRow>

/**
 * Where a stage ran on a GPU, a token whose score is this close to the best, in logits, is one of a tie: across backends
 * logits were measured to differ by 5.5e-6 of their size, which is some dozens.
 */
const tieMargin = 1e-3
/** The same for results: relative L2, with room over the 3e-6 measured on a whole model. */
const resultTolerance = 1e-4

export async function answerLogits(pieces: readonly Piece[], runs: readonly RowRun[], vocab: number): Promise<AnswerLogits> {
  const rows = new Map<number, LogitsRow>()
  for (const [i, { tensors, standing }] of pieces.entries()) {
    const { position, rows: length } = runs[i] as RowRun
    const [made] = tensors
    if (!made) continue
    const width = 4 * vocab
    const count = made.bytes.length / width
    for (let row = 0; row < count; row++) {
      const bytes = made.bytes.slice(row * width, (row + 1) * width)
      rows.set(position + length - count + row + 1, { logits: float32View(bytes), hash: await sha256Bytes(bytes), standing })
    }
  }
  return rows
}

/** @param host whose doing a difference is, where nobody before it can have caused it */
export function compareTokens(
  part: StagePart,
  ids: readonly number[],
  promptRows: number,
  logits: AnswerLogits,
  host: string | undefined,
): Check {
  const wrong: string[] = []
  const { sampling } = part.ticket
  let ties = 0
  for (const [i, id] of ids.entries()) {
    const position = promptRows + i
    const row = logits.get(position)
    if (!row || !sampling) {
      wrong.push(`token ${i + 1}: nothing was computed that it could have been chosen from`)
      continue
    }
    const best = sampleToken(row.logits, position, sampling)
    if (best === id) continue
    const behind = score(row.logits, position, sampling, best) - score(row.logits, position, sampling, id)
    if (row.standing === 'rounded' && behind >= 0 && behind <= tieMargin) ties += 1
    else wrong.push(`token ${i + 1} (position ${position}): the model gives ${best}, the answer has ${id}${by(host)}`)
  }
  const tied = ties > 0 ? `; ${ties} within a tie of the best` : ''
  return judged('replay, tokens', wrong, `${counted(ids.length, 'token')}, each what the model gives${tied}`)
}

/** What is largest for the token chosen; NaN for an id that there is not. */
function score(logits: Float32Array, position: number, { temperature, seed }: Sampling, id: number): number {
  const logit = logits[id] ?? Number.NaN
  return temperature === 0 ? logit : logit + temperature * gumbel(seed, position, id)
}

const by = (host: string | undefined): string => (host === undefined ? '' : `, by ${host}`)

/** @param host as in {@link compareTokens} */
export function compareResults(answer: Content, mine: Piece, { outputs }: Manifest, host: string | undefined): Check {
  const name = 'replay, results'
  if ('ids' in answer) return judged(name, ['the answer holds tokens'], '')
  const specs: TensorSpec[] = outputs.filter(({ role }) => role === 'result')
  const theirs = unpackTensors(answer.packed, specs)
  if (equalBytes(piecesBytes([mine]), piecesBytes([{ tensors: theirs }])))
    return ok(name, `${counted(theirs.length, 'tensor')} equal bit for bit`)
  const wrong: string[] = []
  for (const [i, spec] of specs.entries()) {
    const [a, b] = [mine.tensors[i], theirs[i]]
    if (!a || !b || a.bytes.length !== b.bytes.length) wrong.push(`${spec.name}: of another size`)
    else if (mine.standing !== 'rounded' || spec.dtype !== 'float32') {
      if (!equalBytes(a.bytes, b.bytes)) wrong.push(`${spec.name}: not what the model gives${by(host)}`)
    } else {
      const distance = relativeDistance(float32View(a.bytes), float32View(b.bytes))
      if (!(distance <= resultTolerance)) wrong.push(`${spec.name}: ${distance.toExponential(1)} away from what the model gives`)
    }
  }
  return judged(name, wrong, `${counted(specs.length, 'tensor')} within ${resultTolerance} of what the model gives: a GPU rounds otherwise`)
}

function relativeDistance(ours: Float32Array, theirs: Float32Array): number {
  let difference = 0
  let size = 0
  for (let i = 0; i < ours.length; i++) {
    difference += ((ours[i] as number) - (theirs[i] as number)) ** 2
    size += (ours[i] as number) ** 2
  }
  return Math.sqrt(difference / Math.max(size, Number.MIN_VALUE))
}
