/**
 * The sending end of a session's link over all its generations: whatever is pushed is kept, and sent as far as the receiver
 * has asked. After a reroute it sends again from what the receiver holds, in the same steps and chunks. docs/protocol.md [RR].
 */
import type { Identity } from '../protocol/keys.ts'
import { maxUnsignedRows } from '../protocol/limits.ts'
import { CustodySender, type CustodyOutlet, type LinkKey } from './custody-link.ts'
import { LinkHistory, type HistoryStep } from './history.ts'

/** Half of what the receiver bears, so that a replay waits for its own signatures and never runs into the bound. */
const mostUnsigned = maxUnsignedRows / 2

export class OutLink {
  readonly history: LinkHistory
  readonly #identity: Identity
  /** Of the present generation, once the receiver has said from where. */
  #sender: CustodySender | undefined
  /** Rows that the receiver holds. */
  #held = 0
  /** Position of the next step to send; unknown until the chunk is here that holds `#held`. */
  #next: number | undefined
  #waiting = false

  constructor(identity: Identity, history: LinkHistory = new LinkHistory()) {
    this.#identity = identity
    this.history = history
  }

  /** Sends what is here from `held` on, and from now on whatever is pushed. */
  go(key: LinkKey, outlet: CustodyOutlet, held: number): void {
    this.stop()
    this.#sender = new CustodySender(key, this.#identity, outlet, (end) => this.history.sign(end))
    this.#held = held
    this.#pump()
  }

  /** The generation is over: its open chunk is signed, and nothing more is sent before the next `go`. */
  stop(): void {
    this.#sender?.cut()
    this.#sender = undefined
    this.#next = undefined
    this.#waiting = false
  }

  /** A step where the last one ended, or further back where rows were run again and came out otherwise. */
  push(step: HistoryStep): void {
    if (this.history.equal(step)) return
    if (this.history.rows > 0 && step.position < this.history.end) this.#goBack(step.position)
    this.history.add(step)
    this.#pump()
  }

  /** The chunk ends here. */
  cut(): void {
    this.history.cut()
    if (this.#next === this.history.end) this.#sender?.cut()
  }

  /** Everything pushed has been sent and signed for, unless a reroute comes between. */
  async flush(): Promise<void> {
    const sender = this.#sender
    while (sender && sender === this.#sender && this.#waiting) await sender.signed()
    await sender?.flush()
  }

  #goBack(position: number): void {
    this.history.truncate(position)
    if (this.#next === undefined || this.#next <= position) return
    this.#sender?.cut()
    this.#next = undefined
    this.#held = position
  }

  #pump(): void {
    const sender = this.#sender
    if (!sender || this.#waiting || this.history.end <= (this.#next ?? this.#held)) return
    this.#next ??= this.history.chunkStart(this.#held)
    for (const step of this.history.from(this.#next)) {
      if (sender.unsignedRows + step.rows > mostUnsigned) {
        this.#waiting = true
        void sender.signed().then(() => {
          if (sender !== this.#sender) return
          this.#waiting = false
          this.#pump()
        })
        return
      }
      if (this.history.chunkStart(step.position) === step.position) sender.cut()
      sender.send(step)
      this.#next = step.position + step.rows
    }
    if (this.history.whole) sender.cut()
  }
}
