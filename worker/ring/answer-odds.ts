/**
 * The odds of an answer's tokens, where the requester wants them: worked out when a token is chosen, and said on the answer's
 * way before each token's step, as often as that step is sent. docs/protocol.md [LP].
 */
import type { CustodyOutlet, LinkKey } from '../../link/custody-link.ts'
import type { Outlet } from '../../link/outlet.ts'
import { tokenOdds, type TokenOdds } from '../../protocol/logprobs.ts'
import { float32View } from './step-tensors.ts'

export class AnswerOdds {
  /** By the token's position, until it has arrived. */
  readonly #odds = new Map<number, TokenOdds>()

  /** @param row f32 bytes, the logits that `id` was chosen from; @param count of the likeliest to tell */
  add(position: number, row: Uint8Array, id: number, count: number): void {
    this.#odds.set(position, tokenOdds(float32View(row), id, count))
  }

  /** The way to the requester on which every token's odds go before it. */
  beside({ session, generation }: LinkKey, via: Outlet): CustodyOutlet {
    return {
      sendStep: (step) => {
        const odds = this.#odds.get(step.position)
        if (odds) via.sendMessage({ t: 'odds', session, generation, position: step.position, ...odds })
        via.sendStep(step)
      },
      sendCustody: (signedChunk) => via.sendCustody(signedChunk),
    }
  }

  /** Tokens before `position` are there, and are not new to the requester if they are sent again. */
  arrived(position: number): void {
    for (const at of this.#odds.keys()) if (at < position) this.#odds.delete(at)
  }
}
