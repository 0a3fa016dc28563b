/**
 * The end of an answer, at the last stage: its signature, the word to the requester and round the ring, and the server's when
 * both have come through. A newer generation hears it again. docs/protocol.md [HO4], [HO7].
 */
import { deferred } from '../../link/deferred.ts'
import { toHex, type Bytes } from '../../protocol/bytes.ts'
import { requesterGoneMs } from '../../protocol/limits.ts'
import type { Finish, LinkMessage } from '../../protocol/link-messages.ts'
import { answerHash, promptHash, signAnswer } from '../../protocol/receipt.ts'
import type { SessionPorts, StageSession } from './session.ts'

type End = Extract<LinkMessage, { t: 'end' }>

/** The answer as it is signed and told of. */
export interface WholeAnswer {
  readonly finish: Finish
  readonly answer: Bytes
  readonly answerPositions: number
  readonly prompt: Bytes
  readonly promptPositions: number
  /** Resolves when the links of the last stage alone, and the prompt's signatures, are through. */
  readonly signed: () => Promise<void>
}

export class AnswerEnd {
  readonly #session: StageSession
  readonly #ports: SessionPorts
  /** To the requester, behind the last token and its signature. */
  readonly #toRequester: (end: End) => void
  #end: Pick<End, 'finish' | 'signature'> | undefined
  /** The requester has heard it; it has come round the ring. */
  readonly #arrived = deferred<void>()
  readonly #cameRound = deferred<void>()
  #roundOver = false
  #told = false

  constructor(session: StageSession, ports: SessionPorts, toRequester: (end: End) => void) {
    this.#session = session
    this.#ports = ports
    this.#toRequester = toRequester
  }

  /** It is signed. */
  get made(): boolean {
    return this.#end !== undefined
  }

  get roundOver(): boolean {
    return this.#roundOver
  }

  /** The server has heard of it: nobody else is needed. */
  get told(): boolean {
    return this.#told
  }

  async make({ finish, answer, answerPositions, prompt, promptPositions, signed }: WholeAnswer): Promise<void> {
    const { id: session } = this.#session
    const signature = await signAnswer(session, answer, this.#ports.identity.privateKey)
    await signed()
    this.#end = { finish, signature: toHex(signature) }
    this.toRequester()
    this.roundRing()
    // Lost just before its end, a requester may come back for it, and a stage may have to be replaced for its signatures; one
    // that said stop waits for nothing.
    if (finish !== 'aborted') await this.#through()
    const hashes = { promptHash: await promptHash(prompt), answerHash: await answerHash(answer, signature) }
    this.#ports.tellServer({ t: 'done', session, finish, promptPositions, answerPositions, ...hashes })
    this.#told = true
    this.#closeWhenDone()
  }

  toRequester(): void {
    if (this.#end) this.#toRequester(this.#message(this.#end))
  }

  /** Once it has been round, whoever was called back by a newer ticket may go again. */
  roundRing(): void {
    if (!this.#end) return
    const end = this.#message(this.#end)
    void this.#session.endRing(this.#roundOver ? { ...end, finish: 'aborted' } : end)
  }

  arrived(): void {
    this.#arrived.resolve()
  }

  cameRound(): void {
    this.#roundOver = true
    this.#cameRound.resolve()
    this.#closeWhenDone()
  }

  /** Nothing is waited for any more. */
  giveUp(): void {
    this.#arrived.resolve()
    this.#cameRound.resolve()
  }

  #message(end: Pick<End, 'finish' | 'signature'>): End {
    const { session, generation } = this.#session.ticket
    return { t: 'end', session, generation, ...end }
  }

  /** The end has reached everybody, or somebody is not coming back. */
  async #through(): Promise<void> {
    const timer = setTimeout(() => this.giveUp(), requesterGoneMs)
    await Promise.all([this.#arrived.promise, this.#cameRound.promise])
    clearTimeout(timer)
  }

  /** With the ring's end come round and the server told, nothing is left to do. */
  #closeWhenDone(): void {
    if (this.#roundOver && this.#told) this.#session.close()
  }
}
