/**
 * One request as the requester sees it: prompt or feeds out under custody, tokens or results in, acknowledged and checked,
 * until the last stage's signed end. Knows nothing of text (see generation.ts) or sockets (see network.ts).
 */
import { CustodyReceiver, CustodySender, type Verdict } from '../../link/custody-link.ts'
import { deferred } from '../../link/deferred.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import { fromHex, type Bytes } from '../../protocol/bytes.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { fromWire, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { Identity } from '../../protocol/keys.ts'
import { maxUnacknowledged } from '../../protocol/limits.ts'
import type { Finish, LinkMessage } from '../../protocol/link-messages.ts'
import { checkAnswer } from '../../protocol/receipt.ts'
import { answerLink, promptLink, type Ticket, type TicketStage } from '../../protocol/ticket.ts'

export interface AskingPorts {
  readonly identity: Identity
  readonly link: PeerLink
  /** A countersigned chunk for the server. */
  proof(proof: Bytes): void
}

export interface AskingEvents {
  /** A row of the answer: a token's step, or a result's. */
  step(step: Step): void
}

/** A quarter of the window: the last stage never waits for an acknowledgement that is on its way. */
const ackEvery = maxUnacknowledged / 4

export class Asking {
  readonly ticket: Ticket
  /** Resolves at the end with its reason; rejects when the answer broke off. */
  readonly ended: Promise<{ finish: Finish; signature: Bytes | undefined }>
  readonly #ports: AskingPorts
  readonly #events: AskingEvents
  readonly #done = deferred<{ finish: Finish; signature: Bytes | undefined }>()
  readonly #sender: CustodySender
  readonly #receiver: CustodyReceiver
  #unacked = 0
  #over = false

  constructor(ticket: Ticket, feedTensors: number, answerTensors: number, ports: AskingPorts, events: AskingEvents) {
    this.ticket = ticket
    this.#ports = ports
    this.#events = events
    this.ended = this.#done.promise
    this.ended.catch(() => undefined)
    const key = { session: ticket.session, generation: ticket.generation }
    const verdict = (v: Verdict) => (v.ok ? ports.proof(v.proof) : this.fail(v.error))
    this.#sender = new CustodySender({ ...key, link: promptLink(ticket), tensors: feedTensors }, ports.identity, ports.link)
    this.#receiver = new CustodyReceiver(
      { ...key, link: answerLink(ticket), tensors: answerTensors },
      ports.identity,
      this.host.key,
      verdict,
    )
  }

  /** The last stage, whom the requester talks to. */
  get host(): TicketStage {
    return this.ticket.stages.at(-1) as TicketStage
  }

  start(promptLength: number, maxTokens: number): void {
    const { link } = this.#ports
    link.sendMessage({ t: 'open', ticket: this.ticket })
    link.sendMessage({ t: 'start', session: this.ticket.session, promptLength, maxTokens, answered: 0 })
  }

  /** One run of the prompt, or all of the feeds. */
  send(position: number, rows: number, payload: Uint8Array): void {
    this.#sender.send({ position, rows, emitFrom: position, computeMicros: 0, payload })
  }

  /** After the last {@link send}. */
  flush(): Promise<void> {
    return this.#sender.flush()
  }

  /** Enough: the volunteers stop as soon as they hear it. */
  stop(): void {
    if (!this.#over) this.#ports.link.sendMessage({ t: 'stop', session: this.ticket.session })
  }

  fail(error: ManyhandsError): void {
    if (this.#over) return
    this.stop()
    this.#over = true
    this.#done.reject(error)
  }

  // ---- From the link -----------------------------------------------------------------------------------------------

  receive(step: Step): void {
    if (this.#over) return
    if (step.link !== answerLink(this.ticket))
      return this.fail(new ManyhandsError('bad-message', 'The last stage sent on a link that is not its answer.'))
    if (!this.#receiver.accept(step)) return
    this.#events.step(step)
    this.#unacked += step.rows
    if (this.#unacked < ackEvery) return
    this.#unacked = 0
    this.#ports.link.sendMessage({ t: 'ack', session: this.ticket.session, position: step.position + step.rows })
  }

  custody(signedChunk: Uint8Array): void {
    if (decodeChunk(signedChunk.subarray(0, chunkBytes)).link === answerLink(this.ticket)) this.#receiver.custody(signedChunk)
  }

  message(message: LinkMessage): void {
    if (this.#over) return
    if (message.t === 'fault') return this.fail(fromWire(message.error))
    if (message.t !== 'end') return
    if (message.finish === 'error') {
      return this.fail(message.error ? fromWire(message.error) : new ManyhandsError('peer-lost', 'The answer broke off.'))
    }
    this.#over = true
    const signature = message.signature === undefined ? undefined : fromHex(message.signature)
    void this.#receiver.settled().then(() => this.#done.resolve({ finish: message.finish, signature }))
  }

  /**
   * What the last stage signed must be what came.
   * @throws ManyhandsError bad-signature
   */
  async checkAnswer(answer: Uint8Array, signature: Bytes | undefined): Promise<void> {
    if (signature && (await checkAnswer(this.ticket.session, answer, this.host.key, signature))) return
    throw new ManyhandsError('bad-signature', 'The last stage did not sign for the answer that arrived.')
  }
}
