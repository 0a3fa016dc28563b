/**
 * A source's half of shadows: what went over a link that this peer is an end of is handed over again, to whom the server
 * names, as fast as it is run there and no faster. docs/protocol.md [SH].
 */
import type { LinkHistory } from '../../link/history.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { PeerId, SessionId } from '../../protocol/ids.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import { checkShadowTicket, type ShadowTicket } from '../../protocol/shadow.ts'
import { Feed } from './feed.ts'
import type { Rows } from './shadow-cuts.ts'
import { maxFeeds } from './shadow-limits.ts'
import { logitsLinkOf, logitsPayload, outLink } from './shadow-outputs.ts'

export interface FeedsPorts {
  readonly self: PeerId
  readonly serverKeys: readonly string[]
  /** What went over a link of a session that this peer took part in, while it is kept. */
  history(session: SessionId, link: number): LinkHistory | undefined
  /** Whether more may come. */
  live(session: SessionId): boolean
  /** The logits that the token at a position was chosen from, while this last stage keeps them. */
  logits(session: SessionId, position: number): Uint8Array | undefined
}

type Feeding = Extract<LinkMessage, { t: 'feed' }>
type Fetching = Extract<LinkMessage, { t: 'fetch' }>

/** Tickets being checked at once: each costs three signatures and hashes. */
const maxChecking = 32

export class Feeds {
  readonly #ports: FeedsPorts
  readonly #feeds = new Map<SessionId, Feed>()
  #checking = 0

  constructor(ports: FeedsPorts) {
    this.#ports = ports
  }

  get size(): number {
    return this.#feeds.size
  }

  /** Whether the message was for a feed: a new one, rows to fetch, or word from a shadow that is fed. */
  message(link: PeerLink, message: LinkMessage): boolean {
    if (message.t === 'feed' || message.t === 'fetch') {
      void this.#serve(link, message)
      return true
    }
    const feed = 'session' in message ? this.#feeds.get(message.session) : undefined
    if (!feed || feed.to !== link) return false
    if (message.t === 'ack') feed.acknowledged(message.position)
    else if (message.t === 'stop') feed.stop()
    return true
  }

  /** Nothing more will come of the session. */
  sessionOver(session: SessionId): void {
    for (const feed of this.#feeds.values()) if (feed.ticket.session === session) feed.over()
  }

  peerLost(peer: PeerId): void {
    for (const feed of this.#feeds.values()) if (feed.to.remote === peer) feed.stop()
  }

  stop(): void {
    for (const feed of this.#feeds.values()) feed.stop()
  }

  async #serve(link: PeerLink, message: Feeding | Fetching): Promise<void> {
    try {
      if (this.#checking >= maxChecking)
        throw new ManyhandsError('busy', 'This peer is asked for too much at once.', { retryAfterMs: 1000 })
      this.#checking += 1
      const ticket = await checkShadowTicket(message.ticket, this.#ports.serverKeys, Date.now()).finally(() => (this.#checking -= 1))
      if (ticket.peer !== link.remote) throw new ManyhandsError('bad-ticket', 'A peer showed a shadow ticket that is not its own.')
      if (message.t === 'feed') this.#feed(link, ticket)
      else this.#fetch(link, ticket, message)
    } catch (thrown) {
      link.sendMessage({ t: 'fault', session: message.ticket.shadow, error: asError(thrown).toWire() })
    }
  }

  /** @throws ManyhandsError bad-ticket, busy, not-found */
  #feed(link: PeerLink, ticket: ShadowTicket): void {
    if (ticket.source.peer !== this.#ports.self) throw new ManyhandsError('bad-ticket', 'This shadow has another source.')
    if (this.#feeds.has(ticket.shadow)) throw new ManyhandsError('bad-message', 'This shadow is being fed already.')
    if (this.#feeds.size >= maxFeeds) throw new ManyhandsError('busy', 'This peer feeds as many shadows as it can.', { retryAfterMs: 1000 })
    const history = this.#ports.history(ticket.session, ticket.link)
    if (!history || history.first > 0) throw notKept()
    const feed = new Feed(ticket, link, history, () => this.#feeds.delete(ticket.shadow))
    this.#feeds.set(ticket.shadow, feed)
    if (this.#ports.live(ticket.session)) feed.start()
    else feed.over()
  }

  /**
   * Outputs of the stage that is computed again. Only the server can tell a shadow who holds them, and it does so once the
   * shadow has committed itself; one whose holder tells it before colludes with that holder, who could as well hand the
   * rows over without being asked. So nothing is gained by asking here for proof of the commitment.
   * @throws ManyhandsError bad-ticket, not-found
   */
  #fetch(link: PeerLink, ticket: ShadowTicket, fetch: Fetching): void {
    const rows = this.#rows(ticket, fetch)
    const last = rows.at(-1)
    if (rows[0]?.position !== fetch.position || !last || last.position + last.rows !== fetch.position + fetch.rows) throw notKept()
    for (const [seq, { position, rows: count, payload }] of rows.entries()) {
      const header = { session: ticket.shadow, link: fetch.link, generation: 0, seq, emitFrom: position, computeMicros: 0 }
      link.sendStep({ ...header, position, rows: count, payload })
    }
  }

  #rows(ticket: ShadowTicket, { link, position, rows }: Fetching): Rows[] {
    const { session } = ticket
    const found: Rows[] = []
    if (ticket.last && link === logitsLinkOf(ticket)) {
      // Their hashes alone stand in the link's history; what can be compared is what was hashed.
      for (let at = position; at < position + rows; at++) {
        const logits = this.#ports.logits(session, at)
        if (logits) found.push({ position: at, rows: 1, payload: logitsPayload(logits) })
      }
      return found
    }
    if (link !== outLink(ticket)) throw new ManyhandsError('bad-ticket', 'A shadow asks for rows that its stage did not send.')
    for (const step of this.#ports.history(session, link)?.from(position) ?? []) {
      if (step.position >= position + rows) break
      found.push(step)
    }
    return found
  }
}

const notKept = () => new ManyhandsError('not-found', 'The rows of this session are not kept here any more.')
