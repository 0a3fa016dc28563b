/**
 * The runs that an answer was computed in, as far as its chunks tell: which rows ran alone they say, where a run begins among
 * the others only at a chunk's ends. On wasm any runs of two rows or more give the same bits, so what they leave open is free.
 */
import { evenRuns } from '../../sdk/requester/token-pipeline.ts'
import type { Proven } from './proofs.ts'

/** Rows that run together. */
export interface RowRun {
  readonly position: number
  readonly rows: number
}

/** As the SDK cuts a prompt, so that tensors of one step lie together in the payloads as they did. */
const promptRunRows = 16

/** @param rows that were run in all */
export function runsOf(proven: readonly Proven[], promptRows: number, rows: number, maxRows: number): RowRun[] {
  const inner = proven.filter(({ place }) => place !== 'answer' && place !== 'logits')
  const ends = new Set(inner.flatMap(({ chunk }) => [chunk.firstPosition, chunk.firstPosition + chunk.rows]))
  const alone = new Set<number>()
  for (const { chunk } of inner) for (let i = 0; i < chunk.rows; i++) if ((chunk.alone >>> i) & 1) alone.add(chunk.firstPosition + i)
  const prompt = promptRuns(promptRows, maxRows, ends, alone)
  return [...prompt, ...Array.from({ length: Math.max(0, rows - promptRows) }, (_, i) => ({ position: promptRows + i, rows: 1 }))]
}

function promptRuns(rows: number, maxRows: number, ends: ReadonlySet<number>, alone: ReadonlySet<number>): RowRun[] {
  const most = Math.min(promptRunRows, maxRows)
  const usual = evenRuns(rows, most).map(({ from, to }) => ({ position: from, rows: to - from }))
  const starts = new Set([...usual.map(({ position }) => position), rows])
  const fits = [...ends].every((end) => end > rows || starts.has(end)) && usual.every((run) => startsAlone(run, alone))
  if (fits) return usual
  const runs: RowRun[] = []
  for (let from = 0; from < rows;) {
    let to = from + 1
    if (!alone.has(from)) while (to < rows && !alone.has(to) && !ends.has(to)) to += 1
    for (const part of evenRuns(to - from, Math.max(2, most))) runs.push({ position: from + part.from, rows: part.to - part.from })
    from = to
  }
  return runs
}

/** Every row of a run of one ran alone, no row of a longer one did. */
const startsAlone = ({ position, rows }: RowRun, alone: ReadonlySet<number>): boolean =>
  Array.from({ length: rows }, (_, i) => alone.has(position + i)).every((is) => is === (rows === 1))
