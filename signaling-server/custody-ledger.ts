/**
 * A session's custody, hop against hop: every chunk proven by its two ends, no row missing, the same runs at every stage, and
 * the prompt passed on as it came. docs/protocol.md [CU6].
 */
import { checkReceiver, checkSender, chunkBytes, decodeChunk, proofBytes, type Chunk } from '../protocol/custody.ts'
import { equalBytes, type Bytes } from '../protocol/bytes.ts'
import { asError } from '../protocol/errors.ts'
import type { PeerId } from '../protocol/ids.ts'
import { linkEnds, promptLink, ringLink, sessionLinks, type Ticket } from '../protocol/ticket.ts'

export interface CustodyResult {
  /** Link-chunks that hold. */
  readonly checked: number
  readonly failed: number
  /** For the operator's log; the first few. */
  readonly reasons: readonly string[]
}

/** Rows that each link must have carried. */
export type ExpectedRows = ReadonlyMap<number, number>

interface Proven {
  readonly chunk: Chunk
  readonly proof: Bytes
}

/** Chunks of the longest session on one link, and half as many again. */
const maxChunks = 6_144
const maxReasons = 10

export class CustodyLedger {
  readonly ticket: Ticket
  readonly #links: Map<number, Proven[]>
  readonly #reasons: string[] = []
  #failed = 0
  /** Proofs are judged in the order in which they came. */
  #judging: Promise<void> = Promise.resolve()

  constructor(ticket: Ticket) {
    this.ticket = ticket
    this.#links = new Map(sessionLinks(ticket).map((link) => [link, []]))
  }

  /** A proof as its receiver sent it. Resolves when it has been judged. */
  add(proof: Bytes, from: PeerId): Promise<void> {
    this.#judging = this.#judging.then(async () => {
      const wrong = await this.#judge(proof, from).catch((thrown: unknown) => asError(thrown).message)
      if (wrong !== undefined) this.#fail(wrong)
    })
    return this.#judging
  }

  /** Resolves when all that came so far has been judged. */
  judged(): Promise<void> {
    return this.#judging
  }

  /** Rows proven on a link so far, without a gap. */
  rows(link: number): number {
    return (this.#links.get(link) ?? []).reduce((sum, p) => sum + p.chunk.rows, 0)
  }

  complete(expected: ExpectedRows): boolean {
    return [...expected].every(([link, rows]) => this.rows(link) >= rows)
  }

  /** The verdict, once no more proofs are waited for. @param expected undefined when the answer was broken off: links may then differ by what was under way */
  result(expected: ExpectedRows | undefined): CustodyResult {
    for (const [link, rows] of expected ?? []) {
      const proven = this.rows(link)
      if (proven !== rows) this.#fail(`link ${link}: ${proven} of ${rows} rows proven`)
    }
    if (expected) this.#compareRuns()
    this.#comparePrompt()
    const checked = [...this.#links.values()].reduce((sum, proven) => sum + proven.length, 0)
    return { checked, failed: this.#failed, reasons: this.#reasons }
  }

  /** In the order of (generation, link, seq): the leaves of the receipt's Merkle root. */
  proofs(): Bytes[] {
    return [...this.#links].sort(([a], [b]) => a - b).flatMap(([, proven]) => proven.map((p) => p.proof))
  }

  /** What is wrong with it, or undefined when it has been entered. */
  async #judge(proof: Bytes, from: PeerId): Promise<string | undefined> {
    if (proof.length !== proofBytes) return 'a proof of the wrong length'
    const chunk = decodeChunk(proof.subarray(0, chunkBytes))
    const { ticket } = this
    const where = `link ${chunk.link} chunk ${chunk.seq}`
    const ends = linkEnds(ticket, chunk.link)
    const proven = this.#links.get(chunk.link)
    if (!ends || !proven || ends.to !== from) return `${where}: reported by a peer that is not its receiver`
    if (chunk.session !== ticket.session || chunk.generation !== ticket.generation) return `${where}: of another session or generation`
    if (chunk.seq !== proven.length) return `${where}: chunk ${proven.length} was due`
    if (proven.length >= maxChunks) return `${where}: too many chunks`
    const last = proven.at(-1)?.chunk
    if (chunk.firstPosition !== (last ? last.firstPosition + last.rows : this.#firstPosition(chunk)))
      return `${where}: its rows do not follow the ones before`
    const key = (peer: PeerId) => [ticket.requester, ...ticket.stages].find((p) => p.peer === peer)?.key ?? ''
    if (!(await checkSender(proof, key(ends.from)))) return `${where}: not signed by its sender`
    if (!(await checkReceiver(proof, key(ends.to)))) return `${where}: not signed by its receiver`
    proven.push({ chunk, proof })
    return undefined
  }

  /** The answer's link begins at the prompt's end, which only the session knows: its first chunk says where. */
  #firstPosition(chunk: Chunk): number {
    return chunk.link === this.ticket.stages.length ? chunk.firstPosition : 0
  }

  /** Every stage must have run the same rows together. */
  #compareRuns(): void {
    const inner = [...this.#links].filter(([link]) => link < this.ticket.stages.length)
    const runs = inner.map(([, proven]) => proven.map(({ chunk }) => marks(chunk)).join(''))
    const different = runs.findIndex((r) => r !== runs[0])
    if (different > 0) this.#fail(`link ${inner[different]?.[0]}: other runs than on link ${inner[0]?.[0]}`)
  }

  /** What the last stage sent round the ring must be the prompt it was given, wherever the two are cut alike. */
  #comparePrompt(): void {
    const ring = new Map((this.#links.get(ringLink) ?? []).map((p) => [p.chunk.firstPosition, p.chunk]))
    for (const { chunk } of this.#links.get(promptLink(this.ticket)) ?? []) {
      const passedOn = ring.get(chunk.firstPosition)
      if (passedOn?.rows === chunk.rows && !equalBytes(passedOn.payloadHash, chunk.payloadHash))
        this.#fail(`prompt rows from ${chunk.firstPosition} were not passed on as they came`)
    }
  }

  #fail(reason: string): void {
    this.#failed += 1
    if (this.#reasons.length < maxReasons) this.#reasons.push(reason)
  }
}

const marks = ({ alone, rows }: Chunk) => Array.from({ length: rows }, (_, i) => ((alone >>> i) & 1 ? '1' : '0')).join('')
