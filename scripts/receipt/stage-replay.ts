/**
 * One stage's blocks, run again over an answer's rows. Asked once more with other inputs (a later generation's), it keeps what
 * came before the first that differs, as a stage that was rerouted did.
 */
import { equalBytes, type Bytes } from '../../protocol/bytes.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import type { StageEngine } from '../../worker/engine/engine.ts'
import type { RowRun } from './steps.ts'

/** Why a value of ours may differ from what was sent, though nobody lied about it. */
export type Standing =
  /** On wasm all the way: bit for bit. */
  | 'exact'
  /** It, or a stage before it, ran on a GPU, which rounds otherwise. */
  | 'rounded'
  /** A stage before it sent something else than its blocks give. */
  | 'after a difference'
  /** It was computed from tokens that were given up after a reroute, and which nobody has. */
  | 'given up'

/** What one run took in, or gave. */
export interface Piece {
  readonly tensors: readonly TensorValue[]
  readonly standing: Standing
}

/** What custody hashes of them. */
export const piecesBytes = (pieces: readonly Pick<Piece, 'tensors'>[]): Bytes =>
  new Uint8Array(Buffer.concat(pieces.flatMap(({ tensors }) => tensors.map(({ bytes }) => bytes))))

const order: readonly Standing[] = ['exact', 'rounded', 'after a difference', 'given up']
export const worse = (a: Standing, b: Standing): Standing => (order.indexOf(a) > order.indexOf(b) ? a : b)

export class StageReplay {
  readonly #engine: StageEngine
  readonly #runs: readonly RowRun[]
  readonly #session: SessionId
  readonly #logitsFrom: (run: RowRun) => number
  /** Of the runs that the cache holds. */
  #inputs: (readonly TensorValue[])[] = []
  #outputs: (readonly TensorValue[])[] = []

  /** @param promptRows logits are wanted of the prompt's last row and of those after */
  constructor(engine: StageEngine, session: SessionId, runs: readonly RowRun[], promptRows: number, maxPositions: number) {
    this.#engine = engine
    this.#session = session
    this.#runs = runs
    this.#logitsFrom = ({ position, rows }) => Math.min(rows, Math.max(0, promptRows - 1 - position))
    engine.open(session, maxPositions)
  }

  /** Each run's outputs. @param ran is told the rows of each run computed */
  async over(inputs: readonly Piece[], ran: (rows: number) => void): Promise<(readonly TensorValue[])[]> {
    const different = inputs.findIndex(({ tensors }, i) => !sameTensors(tensors, this.#inputs[i]))
    const kept = different < 0 ? inputs.length : different
    this.#inputs = this.#inputs.slice(0, kept)
    this.#outputs = this.#outputs.slice(0, kept)
    const { manifest } = this.#engine
    if (kept < inputs.length) this.#engine.rollback(this.#session, (this.#runs[kept] as RowRun).position)
    for (let i = kept; i < inputs.length; i++) {
      const run = this.#runs[i] as RowRun
      const { tensors } = inputs[i] as Piece
      const logitsFrom = manifest.decoder ? this.#logitsFrom(run) : run.rows
      const { outputs } = await this.#engine.run({ session: this.#session, ...run, inputs: tensors, logitsFrom })
      this.#inputs.push(tensors)
      this.#outputs.push(outputs)
      ran(run.rows)
    }
    return [...this.#outputs]
  }

  async close(): Promise<void> {
    this.#engine.close(this.#session)
    await this.#engine.dispose()
  }
}

function sameTensors(a: readonly TensorValue[], b: readonly TensorValue[] | undefined): boolean {
  return a === b || (b !== undefined && a.length === b.length && a.every(({ bytes }, i) => equalBytes(bytes, (b[i] as TensorValue).bytes)))
}
