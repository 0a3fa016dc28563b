/**
 * The answer, computed again from the published model: every stage over the rows that it was given, each chunk's hash against
 * ours, each token against the one that our logits give. Stage after stage, since the tokens are known.
 */
import { asError } from '../../protocol/errors.ts'
import type { BlockRange, Manifest } from '../../protocol/manifest.ts'
import type { ReceiptFile } from '../../protocol/receipt-file.ts'
import { unpackTensors } from '../../protocol/tensors.ts'
import { logitsLink, type Ticket } from '../../protocol/ticket.ts'
import type { StageEngine } from '../../worker/engine/engine.ts'
import { feedSpecs, writeTokens } from '../../worker/ring/step-tensors.ts'
import { counted, judged, open, type Check } from './checks.ts'
import { carriedOtherwise, contentRows } from './contents.ts'
import { planReplay, type RangePlan, type StagePart } from './pipeline-plan.ts'
import type { Proven } from './proofs.ts'
import { compareChunks, whose, type Ours } from './replay-chunks.ts'
import { answerLogits, compareResults, compareTokens, type AnswerLogits } from './replay-answer.ts'
import { piecesBytes, StageReplay, worse, type Piece, type Standing } from './stage-replay.ts'
import { runsOf, type RowRun } from './steps.ts'

export interface ReplayPorts {
  readonly manifest: Manifest
  /** An engine on wasm. @throws ManyhandsError when the files are not there or are not what their hashes say */
  load(range: BlockRange): Promise<StageEngine>
  /** A line for people: what is being done. */
  progress(line: string): void
}

/** @param proven the chunks that both their ends signed, in the receipt's order */
export async function replay(file: ReceiptFile, proven: readonly Proven[], ports: ReplayPorts): Promise<Check[]> {
  const { tickets } = file.evidence
  const blocks = ports.manifest.blocks.length
  const short = tickets.find(({ stages }) => stages.at(-1)?.blocks[1] !== blocks)
  if (short) return [judged('replay', [`the stages of generation ${short.generation} are not the whole model of ${blocks} blocks`], '')]
  if ((ports.manifest.decoder !== undefined) !== 'ids' in file.prompt || contentRows(file.prompt) === 0)
    return [judged('replay', ['what was asked is not what the model takes'], '')]
  return new Replay(file, proven, ports).run()
}

class Replay {
  readonly #file: ReceiptFile
  readonly #proven: readonly Proven[]
  readonly #ports: ReplayPorts
  readonly #promptRows: number
  readonly #runs: readonly RowRun[]
  /** What each part gives, for the part behind it. */
  readonly #given = new Map<StagePart, readonly Piece[]>()
  /** What each part took in, for the next generation's. */
  readonly #taken = new Map<StagePart, readonly Piece[]>()
  readonly #checks: Check[] = []
  /** By generation, the first position from which its ring carried other tokens than the answer has now. */
  readonly #givenUp = new Map<number, number>()

  constructor(file: ReceiptFile, proven: readonly Proven[], ports: ReplayPorts) {
    this.#file = file
    this.#proven = proven
    this.#ports = ports
    this.#promptRows = contentRows(file.prompt)
    const known = 'ids' in file.answer ? this.#promptRows + contentRows(file.answer) : 1
    const fed = proven.filter(({ place }) => place !== 'answer' && place !== 'logits' && place !== 'prompt')
    const rows = Math.max(this.#promptRows, ...fed.map(({ chunk }) => chunk.firstPosition + chunk.rows))
    this.#runs = runsOf(proven, this.#promptRows, Math.min(rows, known), (file.evidence.tickets[0] as Ticket).maxRows)
  }

  async run(): Promise<Check[]> {
    for (const { chunk, place } of await carriedOtherwise(this.#file, this.#proven)) {
      if (place === 'ring' && !this.#givenUp.has(chunk.generation)) this.#givenUp.set(chunk.generation, chunk.firstPosition)
    }
    try {
      for (const plan of planReplay(this.#file.evidence.tickets, this.#proven)) await this.#range(plan)
    } catch (thrown) {
      // What was found before stands.
      this.#checks.push(open('replay', asError(thrown).message))
    }
    return this.#checks
  }

  /** Every part of these blocks, on one engine. */
  async #range({ range, parts }: RangePlan): Promise<void> {
    const { session, maxPositions } = this.#file.evidence.tickets[0] as Ticket
    const what = `blocks ${range.first + 1} to ${range.end}`
    this.#ports.progress(`${what}: loading`)
    const engine = await this.#ports.load(range)
    const stage = new StageReplay(engine, session, this.#runs, this.#promptRows, maxPositions)
    try {
      for (const part of parts) await this.#part(part, stage, what)
    } finally {
      await stage.close()
    }
  }

  async #part(part: StagePart, stage: StageReplay, what: string): Promise<void> {
    const inputs = this.#inputs(part)
    this.#taken.set(part, inputs)
    let rows = 0
    const outputs = await stage.over(inputs, (n) => this.#ports.progress(`${what}: ${counted((rows += n), 'row')} computed`))
    let standing: Standing = part.backend === 'wasm' ? 'exact' : 'rounded'
    const pieces = outputs.map((tensors, i) => ({ tensors, standing: (standing = worse(standing, (inputs[i] as Piece).standing)) }))
    if (!part.isLast) {
      const { check, from } = await compareChunks(part, part.index + 1, this.#proven, this.#rowsOf(pieces))
      this.#checks.push(check)
      this.#given.set(
        part,
        pieces.map((piece, i) => (endOf(this.#runs[i] as RowRun) > from ? { ...piece, standing: 'after a difference' as const } : piece)),
      )
    } else await this.#answer(part, pieces)
  }

  /** The last stage's tokens and what they were chosen from, or its results. */
  async #answer(part: StagePart, pieces: readonly Piece[]): Promise<void> {
    const { manifest } = this.#ports
    const { evidence, answer } = this.#file
    const isNewest = part.ticket === evidence.tickets.at(-1)
    const host = () => (this.#checks.some(({ verdict }) => verdict !== 'ok') ? undefined : whose(part))
    if (!manifest.decoder) {
      if (isNewest) this.#checks.push(compareResults(answer, pieces[0] as Piece, manifest, host()))
      return
    }
    const logits = await answerLogits(pieces, this.#runs, manifest.decoder.vocab)
    this.#checks.push((await compareChunks(part, logitsLink(part.ticket), this.#proven, ofLogits(logits))).check)
    if (isNewest && 'ids' in answer) this.#checks.push(compareTokens(part, answer.ids, this.#promptRows, logits, host()))
  }

  /** What a part was given: the rows that it had, then what came from upstream in its own generation. */
  #inputs(part: StagePart): readonly Piece[] {
    const upstream = part.upstream ? (this.#given.get(part.upstream) ?? []) : this.#asked(part.ticket)
    const kept = part.kept && this.#taken.get(part.kept)
    return kept ? upstream.map((piece, i) => ((this.#runs[i] as RowRun).position < part.from ? (kept[i] ?? piece) : piece)) : upstream
  }

  /** Token ids or feeds, as they go round a generation's ring. */
  #asked({ generation }: Ticket): Piece[] {
    const { prompt, answer } = this.#file
    if ('packed' in prompt) return [{ tensors: unpackTensors(prompt.packed, feedSpecs(this.#ports.manifest)), standing: 'exact' }]
    const ids = 'ids' in answer ? [...prompt.ids, ...answer.ids] : prompt.ids
    const from = this.#givenUp.get(generation) ?? Number.POSITIVE_INFINITY
    return this.#runs.map((run) => ({
      tensors: [writeTokens(ids.slice(run.position, endOf(run)))],
      standing: endOf(run) > from ? ('given up' as const) : ('exact' as const),
    }))
  }

  /** Of whole runs. */
  #rowsOf(pieces: readonly Piece[]): Ours {
    return (position, end) => {
      const first = this.#runs.findIndex((run) => run.position === position)
      const last = this.#runs.findIndex((run) => endOf(run) === end)
      const piece = first < 0 ? undefined : pieces[last]
      return piece && { bytes: piecesBytes(pieces.slice(first, last + 1)), standing: piece.standing }
    }
  }
}

const endOf = ({ position, rows }: RowRun): number => position + rows

/** The hashes of the logits that the tokens at these positions were chosen from. */
const ofLogits =
  (logits: AnswerLogits): Ours =>
  (position, end) => {
    const rows = Array.from({ length: end - position }, (_, i) => logits.get(position + i))
    const last = rows.at(-1)
    return last && rows.every((row) => row !== undefined)
      ? { bytes: new Uint8Array(Buffer.concat(rows.map(({ hash }) => hash))), standing: last.standing }
      : undefined
  }
