/**
 * One shadow being fed: the steps of a link from its history, in order, within a window that the shadow moves on as it runs
 * them. An audit gets so many rows; a standby goes on as the session does, as far as chunks are signed.
 */
import type { HistoryStep, LinkHistory } from '../../link/history.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import type { ShadowTicket } from '../../protocol/shadow.ts'
import { feedWindowBytes } from './shadow-limits.ts'

export class Feed {
  readonly ticket: ShadowTicket
  readonly to: PeerLink
  readonly #history: LinkHistory
  readonly #ended: () => void
  readonly #leave: () => void
  #seq = 0
  /** Position of the next row to send. */
  #next = 0
  /** Sent and not yet run there. */
  readonly #sent: { readonly end: number; readonly bytes: number }[] = []
  #sentBytes = 0
  /** The session is over: no row will come after those in the history. */
  #complete = false
  #stopped = false

  constructor(ticket: ShadowTicket, to: PeerLink, history: LinkHistory, ended: () => void) {
    this.ticket = ticket
    this.to = to
    this.#history = history
    this.#ended = ended
    this.#leave = history.watch(() => this.#changed())
  }

  start(): void {
    this.#send()
  }

  /** Rows before `position` have run there. */
  acknowledged(position: number): void {
    while (this.#sent[0] && this.#sent[0].end <= position) this.#sentBytes -= this.#sent.shift()?.bytes ?? 0
    this.#send()
  }

  over(): void {
    this.#complete = true
    this.#send()
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#leave()
    this.#ended()
  }

  #changed(): void {
    // Rows that were sent are gone since a reroute: the shadow goes back as well.
    this.#next = Math.min(this.#next, this.#history.end)
    this.#send()
  }

  #send(): void {
    if (this.#stopped) return
    for (const step of this.#history.from(this.#next)) {
      const end = step.position + step.rows
      if (end > this.#last) break
      if (this.#sentBytes > 0 && this.#sentBytes + step.payload.length > feedWindowBytes) return
      this.#sendStep(step)
      this.#next = end
      this.#sent.push({ end, bytes: step.payload.length })
      this.#sentBytes += step.payload.length
    }
    const { role, rows, shadow } = this.ticket
    if (!this.#complete && (role === 'standby' || this.#next < rows)) return
    this.to.sendMessage({ t: 'fed', session: shadow, rows: this.#next })
    this.stop()
  }

  /** Position after the last row that may be sent now. */
  get #last(): number {
    return this.ticket.role === 'audit' ? this.ticket.rows : this.#history.signed
  }

  #sendStep({ position, rows, payload }: HistoryStep): void {
    const { shadow, link } = this.ticket
    const header = { session: shadow, link, generation: 0, seq: this.#seq++, emitFrom: position, computeMicros: 0 }
    this.to.sendStep({ ...header, position, rows, payload })
  }
}
