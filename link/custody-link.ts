/**
 * The two ends of one session's link in one generation: the sender numbers and signs what it sends, chunk by chunk; the
 * receiver checks order, hashes the same bytes and countersigns. Signing never holds up a step. docs/protocol.md [CU].
 */
import { concatBytes, equalBytes, type Bytes } from '../protocol/bytes.ts'
import {
  checkSender,
  chunkBytes,
  countersign,
  decodeChunk,
  encodeChunk,
  signChunk,
  signedChunkBytes,
  type Chunk,
} from '../protocol/custody.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { Step } from '../protocol/frames.ts'
import { sha256Bytes } from '../protocol/hash.ts'
import type { SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { chunkRows, maxUnsignedRows } from '../protocol/limits.ts'
import { tensorBytes } from '../protocol/tensors.ts'
import { deferred, type Deferred } from './deferred.ts'
import type { HistoryStep } from './history.ts'

export interface LinkKey {
  readonly session: SessionId
  readonly generation: number
  readonly link: number
  /** Tensors a step carries on this link. */
  readonly tensors: number
}

/** Where a sender's messages go: a peer link. */
export interface CustodyOutlet {
  sendStep(step: Step): void
  sendCustody(signedChunk: Uint8Array): void
}

export class CustodySender {
  readonly #key: LinkKey
  readonly #identity: Identity
  readonly #outlet: CustodyOutlet
  readonly #onSigned: (end: number) => void
  #seq = 0
  #chunkSeq = 0
  #open: Step[] = []
  #openRows = 0
  #unsignedRows = 0
  /** Chunks leave in order, each once its signature is made. */
  #signing: Promise<void> = Promise.resolve()

  /** @param onSigned hears of every chunk that has left: the position after its last row */
  constructor(key: LinkKey, identity: Identity, outlet: CustodyOutlet, onSigned: (end: number) => void = () => undefined) {
    this.#key = key
    this.#identity = identity
    this.#outlet = outlet
    this.#onSigned = onSigned
  }

  /** Rows sent whose signature has not left yet. */
  get unsignedRows(): number {
    return this.#unsignedRows
  }

  send(out: HistoryStep): void {
    if (out.rows > chunkRows) throw new ManyhandsError('internal', `A step of ${out.rows} rows does not fit a chunk of ${chunkRows}.`)
    const { session, generation, link } = this.#key
    const step: Step = { ...out, session, generation, link, seq: this.#seq++ }
    if (this.#openRows + out.rows > chunkRows) this.#closeChunk()
    this.#outlet.sendStep(step)
    this.#open.push(step)
    this.#openRows += out.rows
    this.#unsignedRows += out.rows
    if (this.#openRows === chunkRows) this.#closeChunk()
  }

  /** Closes the open chunk, if there is one. */
  cut(): void {
    if (this.#openRows > 0) this.#closeChunk()
  }

  /** Resolves when every chunk closed so far has left. */
  signed(): Promise<void> {
    return this.#signing
  }

  /** Closes the open chunk early (an end, a stop, a reroute); resolves when every chunk has left. */
  flush(): Promise<void> {
    this.cut()
    return this.#signing
  }

  #closeChunk(): void {
    const steps = this.#open
    const chunk = { ...this.#key, ...describe(steps), seq: this.#chunkSeq++ }
    this.#open = []
    this.#openRows = 0
    this.#signing = this.#signing.then(async () => {
      const payloadHash = await hashSteps(steps, this.#key.tensors)
      this.#outlet.sendCustody(await signChunk({ ...chunk, payloadHash }, this.#identity.privateKey))
      this.#unsignedRows -= chunk.rows
      this.#onSigned(chunk.firstPosition + chunk.rows)
    })
  }
}

/** What a receiver found: a proof for the server, or whose fault it is that there is none. */
export type Verdict =
  | { readonly ok: true; readonly proof: Bytes; /** Position after the chunk's last row. */ readonly end: number }
  | { readonly ok: false; readonly error: ManyhandsError }

export class CustodyReceiver {
  readonly #key: LinkKey
  readonly #identity: Identity
  readonly #senderKey: string
  readonly #onVerdict: (verdict: Verdict) => void
  #seq = 0
  #chunkSeq = 0
  readonly #unsigned: Step[] = []
  #unsignedRows = 0
  #checking: Promise<void> = Promise.resolve()
  /** Resolved when nothing unsigned is left. */
  #allSigned: Deferred<void> | undefined

  constructor(key: LinkKey, identity: Identity, senderKey: string, onVerdict: (verdict: Verdict) => void) {
    this.#key = key
    this.#identity = identity
    this.#senderKey = senderKey
    this.#onVerdict = onVerdict
  }

  /**
   * Whether the step is new and in order. An older generation or a seen seq is dropped (false).
   * @throws ManyhandsError bad-message for a newer generation than the ticket's, a skipped seq, or too much unsigned
   */
  accept(step: Step): boolean {
    if (step.generation < this.#key.generation || step.seq < this.#seq) return false
    if (step.generation > this.#key.generation)
      throw new ManyhandsError('bad-message', 'A step belongs to a generation that has not begun.')
    if (step.seq > this.#seq) throw new ManyhandsError('bad-message', `Step ${step.seq} came where ${this.#seq} was due.`)
    if (step.rows > chunkRows)
      throw new ManyhandsError('bad-message', `A step carries ${step.rows} rows; at most ${chunkRows} fit a chunk.`)
    if (this.#unsignedRows + step.rows > maxUnsignedRows) throw new ManyhandsError('bad-message', 'A peer sends without signing for it.')
    this.#seq += 1
    this.#unsigned.push(step)
    this.#unsignedRows += step.rows
    return true
  }

  /** A chunk as signed by the sender: compared with what came, then countersigned. Verdicts come in order. */
  custody(signedChunk: Uint8Array): void {
    if (signedChunk.length !== signedChunkBytes)
      throw new ManyhandsError('bad-message', `A signed chunk takes ${signedChunkBytes} bytes, not ${signedChunk.length}.`)
    const claimed = decodeChunk(signedChunk.subarray(0, chunkBytes))
    const steps = this.#take(claimed.rows)
    if (this.#unsigned.length === 0) this.#allSigned?.resolve()
    const seq = this.#chunkSeq++
    this.#checking = this.#checking.then(async () => {
      try {
        const seen: Chunk = { ...this.#key, ...describe(steps), seq, payloadHash: await hashSteps(steps, this.#key.tensors) }
        if (!equalBytes(encodeChunk(seen), signedChunk.subarray(0, chunkBytes))) {
          throw new ManyhandsError('hash-mismatch', 'A peer signed for other bytes than it sent.')
        }
        if (!(await checkSender(signedChunk, this.#senderKey)))
          throw new ManyhandsError('bad-signature', 'A chunk is not signed by the peer that sent it.')
        const proof = await countersign(signedChunk, this.#identity.privateKey)
        this.#onVerdict({ ok: true, proof, end: seen.firstPosition + seen.rows })
      } catch (thrown) {
        if (!(thrown instanceof ManyhandsError)) throw thrown
        this.#onVerdict({ ok: false, error: thrown })
      }
    })
  }

  /** As {@link settled}, once the sender has signed for all that came; without its word after `mostMs`. */
  async signed(mostMs: number): Promise<void> {
    if (this.#unsigned.length > 0) {
      this.#allSigned ??= deferred<void>()
      const timer = setTimeout(this.#allSigned.resolve, mostMs)
      await this.#allSigned.promise
      clearTimeout(timer)
    }
    await this.settled()
  }

  /** No more signatures are waited for. */
  release(): void {
    this.#allSigned?.resolve()
  }

  /** Resolves when every chunk that came has its verdict. */
  settled(): Promise<void> {
    return this.#checking
  }

  get unsignedRows(): number {
    return this.#unsignedRows
  }

  /** A step has come. */
  get begun(): boolean {
    return this.#seq > 0
  }

  #take(rows: number): Step[] {
    const steps: Step[] = []
    let taken = 0
    while (taken < rows && this.#unsigned.length > 0) {
      const step = this.#unsigned.shift() as Step
      steps.push(step)
      taken += step.rows
    }
    this.#unsignedRows -= taken
    if (taken !== rows) throw new ManyhandsError('bad-message', 'A chunk was signed that does not match the steps sent.')
    return steps
  }
}

function describe(steps: readonly Step[]): { firstPosition: number; rows: number; alone: number } {
  let rows = 0
  let alone = 0
  for (const step of steps) {
    if (step.rows === 1) alone = (alone | (1 << rows)) >>> 0
    rows += step.rows
  }
  return { firstPosition: steps[0]?.position ?? 0, rows, alone }
}

const hashSteps = (steps: readonly Step[], tensors: number): Promise<Bytes> =>
  sha256Bytes(concatBytes(steps.map((step) => tensorBytes(step.payload, tensors))))
