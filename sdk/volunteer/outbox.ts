/**
 * What a volunteer keeps of its sessions until the server has written their receipts: tickets, proofs, and the last stage's
 * word. After a reconnection all of it is said again, so that a server that was away, or began anew, misses nothing.
 */
import { concatBytes, toHex, type Bytes } from '../../protocol/bytes.ts'
import type { ClientMessage } from '../../protocol/client-messages.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { maxLinkChunks, maxStages } from '../../protocol/limits.ts'
import type { Ticket } from '../../protocol/ticket.ts'

type Done = Extract<ClientMessage, { t: 'done' }>

interface Kept {
  /** Of every generation that this peer took part in. */
  readonly tickets: Ticket[]
  readonly proofs: Bytes[]
  done?: Done
}

/** Sessions under way and some that wait for their receipts; the oldest goes first. */
const maxSessions = 128
/** Every link may end here: what the longest session can bring. */
const maxProofs = maxLinkChunks * (maxStages + 3)
/** Generations of one session. */
const maxTickets = 32
/** Proofs in one message. */
const proofsAtOnce = 64

export class Outbox {
  readonly #sessions = new Map<SessionId, Kept>()

  get size(): number {
    return this.#sessions.size
  }

  /** This peer takes part by this ticket from now on. */
  opened(ticket: Ticket): void {
    const kept = this.#sessions.get(ticket.session) ?? { tickets: [], proofs: [] }
    this.#sessions.set(ticket.session, kept)
    if (kept.tickets.some((t) => t.generation === ticket.generation)) return
    kept.tickets.push(ticket)
    if (kept.tickets.length > maxTickets) kept.tickets.shift()
    if (this.#sessions.size > maxSessions) this.#sessions.delete(this.#sessions.keys().next().value as SessionId)
  }

  proof(proof: Bytes): void {
    const kept = this.#sessions.get(toHex(proof.subarray(0, 16)) as SessionId)
    if (kept && kept.proofs.length < maxProofs) kept.proofs.push(proof)
  }

  done(done: Done): void {
    const kept = this.#sessions.get(done.session)
    if (kept) kept.done = done
  }

  /** Its receipt is written, or it is over without one. */
  closed(session: SessionId): void {
    this.#sessions.delete(session)
  }

  clear(): void {
    this.#sessions.clear()
  }

  /** Everything once more, in the order in which a server can use it; an expired session's is forgotten. @param now since 1970, ms */
  *again(now: number): Generator<ClientMessage | Bytes> {
    for (const [session, { tickets, proofs, done }] of this.#sessions) {
      if ((tickets.at(-1)?.expiresAt ?? 0) < now) {
        this.#sessions.delete(session)
        continue
      }
      for (const ticket of tickets) yield { t: 'adopt', ticket }
      for (let i = 0; i < proofs.length; i += proofsAtOnce) yield concatBytes(proofs.slice(i, i + proofsAtOnce))
      if (done) yield done
    }
  }
}
