/**
 * The network as generation.ts and run.ts see it, with sessions that say what the test tells them, and a server that says of
 * them what the test tells it. Ids are letters: token 1 is `a`; 0 ends an answer.
 */
import { deferred } from '../link/deferred.ts'
import type { ChatTokenizer } from '../models/chat.ts'
import { utf8, type Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { SessionId } from '../protocol/ids.ts'
import type { Finish } from '../protocol/link-messages.ts'
import type { TokenOdds } from '../protocol/logprobs.ts'
import type { Manifest } from '../protocol/manifest.ts'
import type { ReceiptFileJson } from '../protocol/receipt-file.ts'
import type { Receipt } from '../protocol/receipt.ts'
import { packTensors } from '../protocol/tensors.ts'
import type { Backend, Ticket } from '../protocol/ticket.ts'
import { NewsDesk } from '../sdk/requester/session-news.ts'
import type { OnStep, OpenSession, SessionSource, SessionTerms, Told } from '../sdk/requester/session-source.ts'
import type { CallOptions } from '../sdk/types.ts'
import { writeTokens } from '../worker/ring/step-tensors.ts'
import { sampleReceipt, sampleSession } from './sample-receipts.ts'
import { peerOf, revisionOf } from './swarms.ts'

export class ToldSession implements OpenSession {
  readonly ticket: Ticket
  readonly ended: OpenSession['ended']
  readonly terms: SessionTerms
  readonly sent: Uint8Array[] = []
  begun = false
  stopped = false
  /** Why it was failed from this side. */
  failed: ManyhandsError | undefined
  /** The last stage's signature is of something else. */
  forged = false
  /** What the server was told of it. */
  readonly faults: ManyhandsError[] = []
  readonly #done = deferred<{ finish: Finish; signature: Bytes | undefined }>()
  readonly #onStep: OnStep
  #position = 0

  readonly #begun: () => void

  constructor(terms: SessionTerms, onStep: OnStep, session: SessionId, backend: Backend, begun: () => void) {
    this.terms = terms
    this.#begun = begun
    this.#onStep = onStep
    this.ended = this.#done.promise
    this.ended.catch(() => undefined)
    const stages = [{ peer: peerOf(1), key: '', blocks: [0, 4], backend }]
    this.ticket = { session, revision: terms.revision, maxRows: 16, stages } as unknown as Ticket
  }

  start(): void {
    this.begun = true
    this.#begun()
  }

  send(_position: number, _rows: number, payload: Uint8Array): void {
    this.sent.push(payload)
  }

  async flush(): Promise<void> {}

  stop(): void {
    this.stopped = true
  }

  fail(error: ManyhandsError): void {
    this.failed ??= error
    this.#done.reject(error)
  }

  async checkAnswer(): Promise<void> {
    if (!this.forged) return
    const error = new ManyhandsError('bad-signature', 'The last stage did not sign for the answer that arrived.')
    this.faults.push(error)
    throw error
  }

  // ---- Said by the test --------------------------------------------------------------------------------------------

  /** Letters, a token each; `.` ends the answer. */
  say(letters: string, odds?: TokenOdds): void {
    for (const letter of letters) this.give(packTensors([writeTokens([letter === '.' ? 0 : letter.charCodeAt(0) - 96])]), odds)
  }

  give(payload: Bytes, odds?: TokenOdds): void {
    const header = { session: this.ticket.session, link: 1, generation: 0, seq: this.#position, emitFrom: 0, computeMicros: 0 }
    this.#onStep({ ...header, position: this.#position++, rows: 1, payload }, odds)
  }

  end(finish: Finish = 'stop'): void {
    this.#done.resolve({ finish, signature: new Uint8Array(64) })
  }

  breakOff(error = new ManyhandsError('peer-lost', 'A volunteer left.')): void {
    this.#done.reject(error)
  }
}

export class ToldSessions implements SessionSource {
  readonly sessions: ToldSession[] = []
  readonly disputes: (readonly SessionId[])[] = []
  readonly desk = new NewsDesk()
  /** Pipelines that there are volunteers for. */
  available = Infinity
  /** What the stages of the next session compute on. */
  backend: Backend = 'wasm'
  readonly #waiting: (() => void)[] = []

  async open(terms: SessionTerms, onStep: OnStep, { signal }: CallOptions) {
    signal?.throwIfAborted()
    if (this.sessions.length >= this.available) throw new ManyhandsError('no-volunteers', 'Nobody else holds blocks 3 to 9.')
    const asking = new ToldSession(terms, onStep, sampleSession(this.sessions.length + 1), this.backend, () => {
      for (const wake of this.#waiting.splice(0)) wake()
    })
    signal?.addEventListener('abort', () => asking.fail(new ManyhandsError('aborted', 'Stopped.')))
    this.sessions.push(asking)
    return { asking, news: this.desk.follow(asking.ticket.session, asking.ended) }
  }

  dispute(sessions: readonly SessionId[]): void {
    this.disputes.push(sessions)
  }

  get faults() {
    return this.sessions.flatMap(({ ticket, faults }) => faults.map((error) => ({ session: ticket.session, error })))
  }

  async record(receipt: Receipt, told: Told): Promise<ReceiptFileJson> {
    return { receipts: [receipt], ...told } as unknown as ReceiptFileJson
  }

  /** The nth session asked for, from 1 on, as soon as it has begun. */
  async session(n: number): Promise<ToldSession> {
    while (!this.sessions[n - 1]?.begun) {
      const next = deferred<void>()
      this.#waiting.push(() => next.resolve())
      await next.promise
    }
    return this.sessions[n - 1] as ToldSession
  }

  wrong({ ticket }: ToldSession, reason = 'An audit found another result.'): void {
    this.desk.wrong(ticket.session, reason)
  }

  receipt({ ticket }: ToldSession, status: Receipt['status'], change: Partial<Receipt> = {}): void {
    const signature = `${ticket.session}${status}`
    this.desk.receipt(sampleReceipt(1, { session: ticket.session, status, signature, ...change }))
  }
}

export const lettersManifest = {
  name: 'letters',
  decoder: { vocab: 27, eos: [0], context: 64 },
  inputs: [{ name: 'ids', dtype: 'int64', shape: [1, 'rows'], role: 'tokens' }],
  outputs: [],
} as unknown as Manifest

const letters = (ids: readonly number[]) => ids.map((id) => String.fromCharCode(96 + id)).join('')

export const lettersTokenizer: ChatTokenizer = {
  encode: (text) => Array.from(text, (letter) => letter.charCodeAt(0) - 96),
  encodeChat: () => [],
  decode: letters,
  bytes: (id) => utf8(letters([id])),
  stream: () => ({ push: (id) => letters([id]), end: () => '' }),
}

export const lettersRevision = revisionOf(1)
