/**
 * A decoder's logits link, from the last stage to itself: of every token's logits the hash, so that the stage is bound to
 * them. Hashing goes on beside the ring and holds up no step. docs/protocol.md [LN4].
 */
import type { LinkHistory } from '../../link/history.ts'
import type { InLink } from '../../link/in-link.ts'
import { OutLink } from '../../link/out-link.ts'
import type { LinkKey } from '../../link/custody-link.ts'
import type { Outlet } from '../../link/outlet.ts'
import type { PeerId } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'
import { LastLogits, packLogitsHash } from './last-logits.ts'

export class LogitsLink {
  readonly in: InLink
  readonly #out: OutLink
  readonly #keepRows: boolean
  readonly #last = new LastLogits()
  #hashing: Promise<void> = Promise.resolve()

  /** @param keepRows where another's logits can't be expected to be equal to the bit */
  constructor(identity: Identity, receiver: (history: LinkHistory) => InLink, keepRows: boolean, history?: LinkHistory) {
    this.#out = new OutLink(identity, history)
    this.in = receiver(this.#out.history)
    this.#keepRows = keepRows
  }

  get history(): LinkHistory {
    return this.#out.history
  }

  /** A generation begins. */
  enter(key: LinkKey, self: { readonly peer: PeerId; readonly key: string }, outlet: Outlet): void {
    const { held } = this.in
    this.#out.stop()
    this.in.begin(key, self)
    this.#out.go(key, outlet, held)
  }

  /** The logits of the token at `position`; `final`: the answer's last. Its bytes must not change any more. */
  add(position: number, row: Uint8Array, final: boolean): void {
    if (this.#keepRows) this.#last.add(position, row)
    const packed = packLogitsHash(row)
    this.#hashing = this.#hashing.then(async () => {
      const payload = await packed
      if (final) this.#out.cut()
      this.#out.push({ position, rows: 1, emitFrom: position, computeMicros: 0, payload })
    })
  }

  row(position: number): Uint8Array | undefined {
    return this.#last.at(position)
  }

  /** Everything added is hashed, sent and signed for. */
  async flush(): Promise<void> {
    await this.#hashing
    await this.#out.flush()
    await this.in.settled()
  }
}
