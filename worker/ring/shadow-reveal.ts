/**
 * After a shadow's commitment, where hashes can't be compared: the rows that the audited stage sent are fetched from one of
 * their holders, held against what the stage signed, and sketched beside the shadow's own. docs/protocol.md [SH].
 */
import { deferred, type Deferred } from '../../link/deferred.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import { toBase64 } from '../../protocol/base64.ts'
import { concatBytes, equalBytes, fromHex, toHex } from '../../protocol/bytes.ts'
import { asError, fromWire, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import type { PeerId } from '../../protocol/ids.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import type { ServerMessage } from '../../protocol/server-messages.ts'
import type { ShadowTicket } from '../../protocol/shadow.ts'
import { sketchTensors, sketchWidth } from '../../protocol/sketch.ts'
import { elementCount, tensorBytes, unpackTensors, type TensorSpec } from '../../protocol/tensors.ts'
import type { StageEngine } from '../engine/engine.ts'
import type { Rows } from './shadow-cuts.ts'
import type { ShadowKept } from './shadow-kept.ts'
import { fetchMs } from './shadow-limits.ts'
import { logitsLinkOf, logitsPayload, outLink, tensorsOf, tokenPayload } from './shadow-outputs.ts'
import { float32View } from './step-tensors.ts'

export type Reveal = Extract<ServerMessage, { t: 'reveal' }>
type Chunk = Reveal['chunks'][number]

export interface RevealPorts {
  link(peer: PeerId): Promise<PeerLink>
  /** Base64 of f32s, four a row, of all chunks in order. */
  sketched(own: string, theirs: string): void
  /** @param peer whose doing it is, where it is somebody's */
  failed(error: ManyhandsError, peer?: PeerId): void
}

/** Rows that are on their way from the holder. */
interface Fetch {
  readonly chunk: Chunk
  readonly steps: Rows[]
  readonly done: Deferred<readonly Rows[]>
}

export class ShadowReveal {
  readonly #ticket: ShadowTicket
  readonly #reveal: Reveal
  readonly #kept: ShadowKept
  readonly #engine: StageEngine
  readonly #ports: RevealPorts
  #fetch: Fetch | undefined
  #stopped = false

  constructor(ticket: ShadowTicket, reveal: Reveal, kept: ShadowKept, engine: StageEngine, ports: RevealPorts) {
    this.#ticket = ticket
    this.#reveal = reveal
    this.#kept = kept
    this.#engine = engine
    this.#ports = ports
    void this.#compare()
  }

  receive(step: Step, from: PeerId): void {
    const fetch = this.#fetch
    if (!fetch || from !== this.#reveal.holder) return
    const { position, rows, link } = fetch.chunk
    const last = fetch.steps.at(-1)
    const due = last ? last.position + last.rows : position
    if (step.link !== link || step.position !== due || step.position + step.rows > position + rows)
      return fetch.done.reject(new ManyhandsError('bad-message', 'A holder of rows sent others than were asked for.'))
    fetch.steps.push(step)
    if (step.position + step.rows === position + rows) fetch.done.resolve(fetch.steps)
  }

  message(message: LinkMessage, from: PeerId): void {
    if (message.t === 'fault' && from === this.#reveal.holder) this.#fetch?.done.reject(fromWire(message.error))
  }

  peerLost(peer: PeerId, reason: ManyhandsError): void {
    if (peer === this.#reveal.holder) this.#fetch?.done.reject(reason)
  }

  stop(): void {
    this.#stopped = true
    this.#fetch?.done.reject(new ManyhandsError('closed', 'The audit is over.'))
  }

  async #compare(): Promise<void> {
    const { holder, chunks } = this.#reveal
    const own: Float32Array[] = []
    const theirs: Float32Array[] = []
    /** The chunk of logits before one of tokens. */
    let logits: readonly Rows[] = []
    let blame: PeerId | undefined
    try {
      const link = await this.#ports.link(holder).catch((thrown: unknown) => {
        blame = holder
        throw thrown
      })
      for (const chunk of chunks) {
        blame = undefined
        if (this.#hasLogits && chunk.link === outLink(this.#ticket)) {
          if (!(await this.#chosenFrom(logits, chunk))) theirs.at(-1)?.fill(0)
          continue
        }
        const mine = this.#sketch(this.#ownRows(chunk), chunk)
        blame = holder
        logits = await this.#fetched(link, chunk)
        own.push(mine)
        theirs.push(this.#sketchOfTheirs(logits, chunk))
      }
      if (!this.#stopped) this.#ports.sketched(base64(own), base64(theirs))
    } catch (thrown) {
      if (!this.#stopped) this.#ports.failed(asError(thrown), blame)
    }
  }

  /** Whether the stage sends tokens, which are held against the logits that they were chosen from. */
  get #hasLogits(): boolean {
    return this.#ticket.last && this.#engine.manifest.decoder !== undefined
  }

  /** @throws ManyhandsError not-found */
  #ownRows({ link, position, rows }: Chunk): Rows[] {
    const found: Rows[] = []
    if (this.#hasLogits && link === logitsLinkOf(this.#ticket)) {
      for (let at = position; at < position + rows; at++) {
        const logits = this.#kept.logits(at)
        if (logits) found.push({ position: at, rows: 1, payload: logitsPayload(logits) })
      }
    } else if (link === outLink(this.#ticket)) {
      for (const step of this.#kept.outputs.from(position)) {
        if (step.position >= position + rows) break
        found.push(step)
      }
    }
    const [first] = found
    const last = found.at(-1)
    if (!first || !last || first.position > position || last.position + last.rows < position + rows)
      throw new ManyhandsError('not-found', 'The rows to compare are not kept here.')
    return found
  }

  /** @throws ManyhandsError what the holder says, bad-message, hash-mismatch, timeout */
  async #fetched(link: PeerLink, chunk: Chunk): Promise<readonly Rows[]> {
    const done = deferred<readonly Rows[]>()
    this.#fetch = { chunk, steps: [], done }
    const timer = setTimeout(() => done.reject(new ManyhandsError('timeout', 'A holder of rows did not hand them over.')), fetchMs)
    link.sendMessage({ t: 'fetch', ticket: this.#ticket, link: chunk.link, position: chunk.position, rows: chunk.rows })
    try {
      const steps = await done.promise
      const hash = await sha256Bytes(concatBytes(await Promise.all(steps.map((step) => this.#custodyBytes(step, chunk)))))
      if (toHex(hash) !== chunk.hash) throw new ManyhandsError('hash-mismatch', 'A holder handed over other rows than were signed.')
      return steps
    } finally {
      clearTimeout(timer)
      this.#fetch = undefined
    }
  }

  /** What custody hashes of fetched rows: tensors as they are, of logits each row's hash. @throws ManyhandsError bad-message */
  async #custodyBytes(step: Rows, chunk: Chunk): Promise<Uint8Array> {
    if (!this.#hasLogits) return tensorBytes(step.payload, tensorsOf(this.#ticket, this.#engine))
    unpackTensors(step.payload, this.#specs(chunk))
    return sha256Bytes(tensorBytes(step.payload, 1))
  }

  #specs({ link }: Chunk): readonly TensorSpec[] {
    const { decoder } = this.#engine.manifest
    if (!decoder || link !== logitsLinkOf(this.#ticket) || !this.#ticket.last) return this.#engine.outputSpecs
    return [{ name: 'logits', dtype: 'float32', shape: [1, decoder.vocab] }]
  }

  /** Four numbers for each row of the chunk. @throws ManyhandsError unsupported, bad-message, not-finite */
  #sketch(steps: readonly Rows[], chunk: Chunk): Float32Array {
    const seed = fromHex(this.#reveal.seed)
    const out = new Float32Array(chunk.rows * sketchWidth)
    for (const step of steps) {
      const tensors = unpackTensors(step.payload, this.#specs(chunk)).map(({ dtype, dims, bytes }) => {
        if (dtype !== 'float32') throw new ManyhandsError('unsupported', `Rows of ${dtype} have no sketch.`)
        return { rows: float32View(bytes), width: elementCount(dims) / step.rows }
      })
      const sketch = sketchTensors(tensors, seed, step.position)
      // A run may begin before the chunk, or end after it.
      const skip = Math.max(0, chunk.position - step.position)
      const take = Math.min(step.position + step.rows, chunk.position + chunk.rows) - step.position
      out.set(sketch.subarray(skip * sketchWidth, take * sketchWidth), (step.position + skip - chunk.position) * sketchWidth)
    }
    return out
  }

  /** Signed for, and no numbers: as far from any result as can be. */
  #sketchOfTheirs(steps: readonly Rows[], chunk: Chunk): Float32Array {
    try {
      return this.#sketch(steps, chunk)
    } catch (thrown) {
      if (asError(thrown).code !== 'not-finite') throw thrown
      return new Float32Array(chunk.rows * sketchWidth)
    }
  }

  /** Whether the tokens that the stage signed follow from the logits that it signed. */
  async #chosenFrom(logits: readonly Rows[], chunk: Chunk): Promise<boolean> {
    const tokens = logits.map(({ position, payload }) =>
      tensorBytes(tokenPayload({ position, logits: tensorBytes(payload, 1) }, this.#ticket.sampling), 1),
    )
    return equalBytes(await sha256Bytes(concatBytes(tokens)), fromHex(chunk.hash))
  }
}

const base64 = (sketches: readonly Float32Array[]): string =>
  toBase64(concatBytes(sketches.map((s) => new Uint8Array(s.buffer, s.byteOffset, s.byteLength))))
