/**
 * Peers whose work could not be checked because of them: rows that they did not hand over, chunks that they did not prove. Once
 * is bad luck; several times in a row they produce nothing for a while, and nobody is accused. docs/protocol.md [AU].
 */
import type { PeerId } from '../protocol/ids.ts'

const mostInARow = 3
const heldBackMs = 10 * 60_000
const maxPeers = 10_000

export class Withheld {
  readonly #peers = new Map<PeerId, { readonly times: number; readonly at: number }>()

  /** @param now uptime, ms */
  note(peer: PeerId, now: number): void {
    const times = (this.#peers.get(peer)?.times ?? 0) + 1
    if (times > 1 || this.#peers.size < maxPeers) this.#peers.set(peer, { times, at: now })
  }

  /** What it computed could be checked after all. */
  forgive(peer: PeerId): void {
    this.#peers.delete(peer)
  }

  forgetOld(now: number): void {
    for (const [peer, { at }] of this.#peers) if (now - at > heldBackMs) this.#peers.delete(peer)
  }

  has(peer: PeerId): boolean {
    return (this.#peers.get(peer)?.times ?? 0) >= mostInARow
  }
}
