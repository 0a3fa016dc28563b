/**
 * A decoder's logits link, from the last stage to itself: of every token's logits the hash, so that the stage is bound to
 * them. Hashing goes on beside the ring and holds up no step. docs/protocol.md [LN4].
 */
import { sha256Bytes } from '../../protocol/hash.ts'
import { packTensors } from '../../protocol/tensors.ts'
import type { LinkHistory } from '../../link/history.ts'
import type { InLink } from '../../link/in-link.ts'
import { OutLink } from '../../link/out-link.ts'
import type { LinkKey } from '../../link/custody-link.ts'
import type { Outlet } from '../../link/outlet.ts'
import type { PeerId } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'

/** Tokens whose logits themselves are kept for an audit's sketches, and the bytes that they may take. */
const keptRows = 64
const keptBytes = 16 * 1024 * 1024

export class LogitsLink {
  readonly in: InLink
  readonly #out: OutLink
  readonly #keepRows: boolean
  readonly #rows = new Map<number, Uint8Array>()
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
    if (this.#keepRows) this.#keep(position, row)
    const hash = sha256Bytes(row)
    this.#hashing = this.#hashing.then(async () => {
      const bytes = await hash
      if (final) this.#out.cut()
      const payload = packTensors([{ dtype: 'uint8', dims: [1, bytes.length], bytes }])
      this.#out.push({ position, rows: 1, emitFrom: position, computeMicros: 0, payload })
    })
  }

  row(position: number): Uint8Array | undefined {
    return this.#rows.get(position)
  }

  /** Everything added is hashed, sent and signed for. */
  async flush(): Promise<void> {
    await this.#hashing
    await this.#out.flush()
    await this.in.settled()
  }

  #keep(position: number, row: Uint8Array): void {
    this.#rows.delete(position)
    this.#rows.set(position, row.slice())
    while (this.#rows.size > Math.min(keptRows, Math.max(1, Math.floor(keptBytes / row.length)))) {
      this.#rows.delete(this.#rows.keys().next().value as number)
    }
  }
}
