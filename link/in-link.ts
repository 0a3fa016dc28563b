/**
 * The receiving end of a session's link over all its generations: steps are checked, kept in order and countersigned. Rows
 * that are here already are not new; late signatures of an older generation are still taken. docs/protocol.md [RR].
 */
import { ManyhandsError } from '../protocol/errors.ts'
import type { Step } from '../protocol/frames.ts'
import type { PeerId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { CustodyReceiver, type LinkKey, type Verdict } from './custody-link.ts'
import { LinkHistory } from './history.ts'

/** Generations whose signatures are still taken: the one before, and some that it followed at once. */
const maxLate = 4

/** One generation of the link. */
interface Era {
  readonly key: LinkKey
  readonly sender: { readonly peer: PeerId; readonly key: string }
  readonly receiver: CustodyReceiver
}

/** `new` rows are to be run; `known` ones are here already; a `late` step is dropped. */
export type Arrival = 'new' | 'known' | 'late'

export class InLink {
  readonly history: LinkHistory
  readonly #identity: Identity
  readonly #onVerdict: (verdict: Verdict) => void
  /** The present one first. */
  #eras: Era[] = []

  constructor(identity: Identity, onVerdict: (verdict: Verdict) => void, history: LinkHistory = new LinkHistory()) {
    this.#identity = identity
    this.#onVerdict = onVerdict
    this.history = history
  }

  /** A generation begins. */
  begin(key: LinkKey, sender: Era['sender']): void {
    const receiver: CustodyReceiver = new CustodyReceiver(key, this.#identity, sender.key, (verdict) => {
      const present = this.#eras[0]?.receiver === receiver
      // What went wrong in a generation that is over is nobody's concern any more: its rows are sent again.
      if (!verdict.ok && !present) return
      if (verdict.ok && present) this.history.sign(verdict.end)
      this.#onVerdict(verdict)
    })
    this.#eras[0]?.receiver.release()
    this.#eras = [{ key, sender, receiver }, ...this.#eras.slice(0, maxLate)]
  }

  /** Who sends, in the present generation. */
  get sender(): PeerId | undefined {
    return this.#eras[0]?.sender.peer
  }

  get link(): number | undefined {
    return this.#eras[0]?.key.link
  }

  /** Something has come in the present generation. */
  get begun(): boolean {
    return this.#eras[0]?.receiver.begun ?? false
  }

  /** Rows that need not be sent again: a signature covers them. */
  get held(): number {
    return Math.min(this.history.signed, this.history.end)
  }

  /**
   * @param first where the link's first row stands
   * @throws ManyhandsError bad-message, gap
   */
  accept(step: Step, first = 0): Arrival {
    const { history } = this
    if (!this.#eras[0]?.receiver.accept(step)) return 'late'
    if (history.equal(step)) return 'known'
    const end = history.rows === 0 ? first : history.end
    if (step.position > end) throw new ManyhandsError('gap', `Rows from ${step.position} came where ${end} are held.`)
    if (step.position < first) throw new ManyhandsError('bad-message', `Rows from ${step.position} came on a link that begins at ${first}.`)
    history.truncate(step.position)
    if (history.rows > 0 && history.end !== step.position)
      throw new ManyhandsError('bad-message', `Rows from ${step.position} begin within a step that was sent before.`)
    history.add(step)
    return 'new'
  }

  /** A chunk signed in the present generation. */
  custody(signedChunk: Uint8Array): void {
    this.#eras[0]?.receiver.custody(signedChunk)
  }

  /** A chunk signed in an older one, by whoever sent then; one that does not fit is nothing. */
  lateCustody(signedChunk: Uint8Array, generation: number, link: number, from: PeerId): void {
    const era = this.#eras.find(({ key, sender }) => key.generation === generation && key.link === link && sender.peer === from)
    try {
      era?.receiver.custody(signedChunk)
    } catch (thrown) {
      if (!(thrown instanceof ManyhandsError)) throw thrown
    }
  }

  settled(): Promise<void> {
    return this.#eras[0]?.receiver.settled() ?? Promise.resolve()
  }

  signed(mostMs: number): Promise<void> {
    return this.#eras[0]?.receiver.signed(mostMs) ?? Promise.resolve()
  }
}
