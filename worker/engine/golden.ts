/**
 * Before a stage serves, it computes what the manifest's publisher computed: the golden rows at its own cuts. A backend that
 * comes close with as many rows as a run may have is used; one that does so with fewer (SwiftShader: 16) is held to those.
 */
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Golden } from '../../protocol/manifest.ts'
import { elementCount, type TensorValue } from '../../protocol/tensors.ts'
import type { StepOutput } from './engine.ts'
import type { StageStep } from './stage.ts'

export interface GoldenTrial {
  readonly golden: Golden
  /** The stage's inputs and expected outputs, all runs' rows joined along axis 1. */
  readonly inputs: readonly TensorValue[]
  readonly expected: readonly TensorValue[]
  /** Rows to expect logits of, when that is what the stage gives; `expected` then has these alone, [n, vocab]. */
  readonly logitRows?: readonly number[]
  /** Without rows the stage runs once. */
  readonly isDecoder: boolean
  /** Largest relative L2 error of a row. */
  readonly tolerance: number
  readonly run: (step: StageStep) => Promise<StepOutput>
  /** Empties the trial's cache. */
  readonly restart: () => void
}

export interface GoldenResult {
  /** Most rows a run may have; the golden prefill's when all of them came out right. */
  readonly rowLimit: number
  /** Largest relative L2 error over the rows, runs within the limit. */
  readonly error: number
  readonly msPerRow: number
}

/** Tried after the whole prefill, largest first. */
const rowLimits = [16, 8, 4, 2, 1]
/**
 * Browsers compile what runs often while it runs: cold, a prompt takes five times as long and the first tokens three times.
 * So the goldens run again, so often or so long, before anybody waits for an answer.
 */
const warmUpTurns = 16
const warmUpMs = 1_500
/** Rows of a prompt's runs. */
const promptRows = 16

/** @throws ManyhandsError engine-failed when no number of rows comes out right; what a run throws */
export async function checkGoldens(trial: GoldenTrial): Promise<GoldenResult> {
  if (!trial.isDecoder) return checkOnce(trial)
  const prefill = Math.max(...trial.golden.runs)
  const errors: string[] = []
  for (const rowLimit of [prefill, ...rowLimits.filter((n) => n < prefill)]) {
    trial.restart()
    const { error, singleMs } = await runAll(trial, rowLimit).catch((thrown: unknown) => {
      // Numbers that are none are as wrong as others; everything else is not a matter of rows.
      if (asError(thrown).code !== 'not-finite') throw thrown
      return { error: Number.NaN, singleMs: [] }
    })
    if (error <= trial.tolerance) {
      const warm = await warmUp(async () => {
        trial.restart()
        return (await runAll(trial, Math.min(rowLimit, promptRows))).singleMs
      })
      return { rowLimit, error, msPerRow: median(warm.at(-1) ?? singleMs) }
    }
    errors.push(`${error.toExponential(1)} with ${rowLimit} rows a run`)
  }
  throw new ManyhandsError(
    'engine-failed',
    `The model computes wrongly here: relative errors of ${errors.join(', ')}; ${trial.tolerance} is allowed.`,
  )
}

async function checkOnce(trial: GoldenTrial): Promise<GoldenResult> {
  const step = { position: 0, rows: 1, inputs: trial.inputs, logitsFrom: 0 }
  const first = await trial.run(step)
  const error = Math.max(...first.outputs.map((value, i) => worstRow(value, trial.expected[i] as TensorValue, 1)))
  if (!(error <= trial.tolerance)) {
    throw new ManyhandsError(
      'engine-failed',
      `The model computes wrongly here: a relative error of ${error.toExponential(1)}; ${trial.tolerance} is allowed.`,
    )
  }
  const warm = await warmUp(async () => (await trial.run(step)).runMs)
  return { rowLimit: 1, error, msPerRow: warm.at(-1) ?? first.runMs }
}

async function warmUp<T>(turn: () => Promise<T>): Promise<T[]> {
  const until = performance.now() + warmUpMs
  const turns = [await turn()]
  while (turns.length < warmUpTurns && performance.now() < until) turns.push(await turn())
  return turns
}

async function runAll(trial: GoldenTrial, rowLimit: number): Promise<{ error: number; singleMs: number[] }> {
  const singleMs: number[] = []
  let error = 0
  let position = 0
  for (const run of trial.golden.runs) {
    for (let rest = run; rest > 0;) {
      const rows = Math.min(rest, rowLimit)
      const { outputs, runMs } = await trial.run({
        position,
        rows,
        inputs: trial.inputs.map((value) => rowsOf(value, position, rows)),
        logitsFrom: logitsFrom(trial, position, rows),
      })
      if (rows === 1) singleMs.push(runMs)
      for (const [got, wanted] of pairs(trial, outputs, position, rows))
        error = worse(error, worstRow(got, wanted, got.dims[trial.logitRows ? 0 : 1] ?? 1))
      position += rows
      rest -= rows
    }
  }
  return { error, singleMs }
}

/** All of a run's rows when one of them is expected, so that the last layers are checked with as many rows as the rest. */
function logitsFrom({ logitRows }: GoldenTrial, position: number, rows: number): number {
  return logitRows?.some((row) => row >= position && row < position + rows) ? 0 : rows
}

/** What came out, with what should have. */
function pairs(trial: GoldenTrial, outputs: readonly TensorValue[], position: number, rows: number): [TensorValue, TensorValue][] {
  if (!trial.logitRows) return outputs.map((value, i) => [value, rowsOf(trial.expected[i] as TensorValue, position, rows)])
  const [logits] = outputs
  const [expected] = trial.expected
  if (!logits || !expected) return []
  return trial.logitRows.flatMap((row, i): [TensorValue, TensorValue][] =>
    row >= position && row < position + rows ? [[rowsOf(logits, row - position, 1, 0), rowsOf(expected, i, 1, 0)]] : [],
  )
}

/** Rows of a tensor along an axis before which all sizes are 1. */
function rowsOf(value: TensorValue, from: number, rows: number, axis = 1): TensorValue {
  const rowBytes = value.bytes.length / (value.dims[axis] ?? 1)
  return {
    dtype: value.dtype,
    dims: value.dims.map((dim, i) => (i === axis ? rows : dim)),
    bytes: value.bytes.subarray(from * rowBytes, (from + rows) * rowBytes),
  }
}

/** The largest relative L2 error of a row; of values that are not f32: 0 when they are the same, else infinite. */
export function worstRow(got: TensorValue, wanted: TensorValue, rows: number): number {
  if (got.dtype !== wanted.dtype || got.dims.join() !== wanted.dims.join()) return Number.POSITIVE_INFINITY
  if (got.dtype !== 'float32') return got.bytes.every((byte, i) => byte === wanted.bytes[i]) ? 0 : Number.POSITIVE_INFINITY
  const a = floats(got)
  const b = floats(wanted)
  const size = elementCount(got.dims) / rows
  let worst = 0
  for (let row = 0; row < rows; row++) {
    let difference = 0
    let norm = 0
    for (let i = row * size; i < (row + 1) * size; i++) {
      difference += ((a[i] as number) - (b[i] as number)) ** 2
      norm += (b[i] as number) ** 2
    }
    worst = worse(worst, difference === 0 ? 0 : Math.sqrt(difference / norm))
  }
  return worst
}

/** The larger; NaN is larger than all. */
const worse = (a: number, b: number): number => (a >= b ? a : b)

function floats({ bytes }: TensorValue): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4)
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
