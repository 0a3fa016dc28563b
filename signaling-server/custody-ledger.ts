/**
 * A session's custody over all of its generations: every chunk proven by its two ends, entered under the ticket that was good
 * when it was cut. In whatever order proofs come, and however often. What they add up to is custody-check.ts. docs/protocol.md [CU].
 */
import { equalBytes, type Bytes } from '../protocol/bytes.ts'
import { checkReceiver, checkSender, chunkBytes, decodeChunk, encodeChunk, proofBytes, type Chunk } from '../protocol/custody.ts'
import { asError } from '../protocol/errors.ts'
import type { PeerId } from '../protocol/ids.ts'
import { maxLinkChunks } from '../protocol/limits.ts'
import { linkEnds, sessionLinks, type Ticket } from '../protocol/ticket.ts'
import { checkCustody, coveredRows, covers, type ExpectedRows, type Named } from './custody-check.ts'

export interface CustodyResult {
  /** Link-chunks that hold. */
  readonly checked: number
  readonly failed: number
  /** For the operator's log; the first few. */
  readonly reasons: readonly string[]
  readonly named: readonly Named[]
}

interface Proven {
  readonly chunk: Chunk
  readonly proof: Bytes
}

const maxReasons = 10
/** Chunks of one session over all links and generations: twice the longest one's, so that nobody fills the memory by replays. */
const maxChunks = 12 * maxLinkChunks

export class CustodyLedger {
  /** By generation, ascending. */
  readonly #tickets: Ticket[]
  /** By generation and link, then by seq. */
  readonly #links = new Map<string, Map<number, Proven>>()
  readonly #reasons: string[] = []
  readonly #named: Named[] = []
  #failed = 0
  #chunks = 0
  /** Proofs are judged in the order in which they came. */
  #judging: Promise<void> = Promise.resolve()

  constructor(ticket: Ticket) {
    this.#tickets = [ticket]
  }

  /** The latest generation's. */
  get ticket(): Ticket {
    return this.#tickets.at(-1) as Ticket
  }

  /** Of every generation, in their order. */
  get tickets(): readonly Ticket[] {
    return this.#tickets
  }

  /** Another generation's, the next one as a rule: after a server's restart also one from before. */
  turn(ticket: Ticket): void {
    if (this.#tickets.some((t) => t.generation === ticket.generation)) return
    this.#tickets.push(ticket)
    this.#tickets.sort((a, b) => a.generation - b.generation)
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

  /** What both ends of a link signed in one generation, in the order of seq, up to the first that is missing. */
  readonly chunks = (generation: number, link: number): Chunk[] => {
    const proven = this.#links.get(`${generation}/${link}`)
    const inOrder: Chunk[] = []
    for (let next = proven?.get(0); next; next = proven?.get(inOrder.length)) inOrder.push(next.chunk)
    return inOrder
  }

  /** Rows proven at the place of the latest generation's link, in whichever generation. */
  rows(link: number): number {
    return coveredRows(this, link)
  }

  complete(expected: ExpectedRows): boolean {
    return covers(this, expected)
  }

  /** The verdict, once no more proofs are waited for. @param expected undefined when the answer was broken off: links may then differ by what was under way */
  result(expected: ExpectedRows | undefined): CustodyResult {
    const { reasons, named } = checkCustody(this, expected)
    for (const reason of reasons) this.#fail(reason)
    this.#named.push(...named)
    return { checked: this.#chunks, failed: this.#failed, reasons: this.#reasons, named: this.#named }
  }

  /** In the order of (generation, link, seq): the leaves of the receipt's Merkle root. */
  proofs(): Bytes[] {
    return this.#tickets.flatMap((ticket) =>
      sessionLinks(ticket).flatMap((link) => {
        const proven = this.#links.get(`${ticket.generation}/${link}`) ?? new Map<number, Proven>()
        return [...proven].sort(([a], [b]) => a - b).map(([, { proof }]) => proof)
      }),
    )
  }

  /** What is wrong with it, or undefined when it has been entered. */
  async #judge(proof: Bytes, from: PeerId): Promise<string | undefined> {
    if (proof.length !== proofBytes) return 'a proof of the wrong length'
    const chunk = decodeChunk(proof.subarray(0, chunkBytes))
    const where = `link ${chunk.link} chunk ${chunk.seq}`
    const ticket = this.#tickets.find((t) => t.generation === chunk.generation)
    if (!ticket || chunk.session !== ticket.session) return `${where}: of another session or generation`
    const ends = linkEnds(ticket, chunk.link)
    if (ends?.to !== from) return `${where}: reported by a peer that is not its receiver`
    const name = `${chunk.generation}/${chunk.link}`
    const known = this.#links.get(name)?.get(chunk.seq)
    // After a reconnection everything comes again.
    if (known && equalBytes(encodeChunk(known.chunk), proof.subarray(0, chunkBytes))) return undefined
    const key = (peer: PeerId) => [ticket.requester, ...ticket.stages].find((p) => p.peer === peer)?.key ?? ''
    if (!(await checkReceiver(proof, key(ends.to)))) return `${where}: not signed by its receiver`
    if (!(await checkSender(proof, key(ends.from)))) {
      this.#named.push({ peer: ends.to, why: `${where}: countersigned what its sender did not sign` })
      return `${where}: not signed by its sender`
    }
    if (known) {
      this.#named.push({ peer: ends.from, why: `${where}: signed two different chunks as one` })
      return `${where}: signed twice, differently`
    }
    if (chunk.seq >= maxLinkChunks || this.#chunks >= maxChunks) return `${where}: too many chunks`
    const proven = this.#links.get(name) ?? new Map<number, Proven>()
    this.#links.set(name, proven.set(chunk.seq, { chunk, proof }))
    this.#chunks += 1
    return undefined
  }

  #fail(reason: string): void {
    this.#failed += 1
    if (this.#reasons.length < maxReasons) this.#reasons.push(reason)
  }
}
