/**
 * The shadows of a peer: which it takes on, what reaches them, and the standby that becomes a stage. docs/protocol.md [SH].
 */
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId, Revision, SessionId } from '../../protocol/ids.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import { checkShadowTicket, type ShadowTicket } from '../../protocol/shadow.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import { maxShadows } from './shadow-limits.ts'
import { logitsLinkOf, outLink } from './shadow-outputs.ts'
import type { Reveal } from './shadow-reveal.ts'
import { ShadowSession, type ShadowPorts } from './shadow-session.ts'

export interface ShadowsPorts extends Omit<ShadowPorts, 'ended' | 'audited'> {
  readonly self: PeerId
  readonly revision: Revision
  readonly serverKeys: readonly string[]
}

export class Shadows {
  readonly #ports: ShadowsPorts
  readonly #open = new Map<SessionId, ShadowSession>()
  #audits = 0
  #auditedRows = 0
  #stopped = false

  constructor(ports: ShadowsPorts) {
    this.#ports = ports
  }

  /** Audits done here for others: how many, of how many rows. */
  get done(): { readonly audits: number; readonly rows: number } {
    return { audits: this.#audits, rows: this.#auditedRows }
  }

  has(shadow: SessionId): boolean {
    return this.#open.has(shadow)
  }

  /** Computes again what the ticket names; what is in the way is told to the server. */
  async start(value: ShadowTicket): Promise<void> {
    try {
      const ticket = await checkShadowTicket(value, this.#ports.serverKeys, Date.now())
      this.#check(ticket)
      if (this.#open.has(ticket.shadow)) return
      if (this.#open.size >= maxShadows)
        throw new ManyhandsError('busy', 'This peer computes as much again as it can.', { retryAfterMs: 1000 })
      this.#open.set(ticket.shadow, new ShadowSession(ticket, this.#sessionPorts()))
    } catch (thrown) {
      this.#ports.tellServer({ t: 'unaudited', shadow: value.shadow, error: asError(thrown).toWire() })
    }
  }

  reveal(reveal: Reveal): void {
    this.#open.get(reveal.shadow)?.reveal(reveal)
  }

  close(shadow: SessionId): void {
    this.#open.get(shadow)?.close()
  }

  step(step: Step, from: PeerId): void {
    this.#open.get(step.session)?.receive(step, from)
  }

  message(shadow: SessionId, message: LinkMessage, from: PeerId): void {
    this.#open.get(shadow)?.message(message, from)
  }

  peerLost(peer: PeerId, reason: ManyhandsError): void {
    for (const shadow of this.#open.values()) shadow.peerLost(peer, reason)
  }

  /** How far a shadow is, and how fast. */
  pace(shadow: SessionId): { held: number; serviceMs: number } | undefined {
    return this.#open.get(shadow)?.pace()
  }

  /** The standby for a stage that this peer is to take over, if there is one. */
  standby(ticket: Ticket, stage: number): ShadowSession | undefined {
    const blocks = ticket.stages[stage]?.blocks
    return [...this.#open.values()].find(
      ({ ticket: of }) =>
        of.role === 'standby' &&
        of.session === ticket.session &&
        of.last === (stage === ticket.stages.length - 1) &&
        of.blocks[0] === blocks?.[0] &&
        of.blocks[1] === blocks[1],
    )
  }

  /** Nothing is computed again any more: the person paused, or the engine is gone. */
  giveUpAll(error: ManyhandsError): void {
    for (const shadow of this.#open.values()) shadow.giveUp(error)
  }

  stop(error: ManyhandsError): void {
    this.#stopped = true
    this.giveUpAll(error)
  }

  /** @throws ManyhandsError bad-ticket, closed, unsupported */
  #check(ticket: ShadowTicket): void {
    const { self, revision, engine } = this.#ports
    const { range, manifest, report } = engine
    if (this.#stopped) throw new ManyhandsError('closed', 'This peer serves no stage at the moment.')
    if (ticket.peer !== self) throw new ManyhandsError('bad-ticket', "This shadow is another peer's.")
    if (ticket.revision !== revision || ticket.blocks[0] !== range.first || ticket.blocks[1] !== range.end)
      throw new ManyhandsError('bad-ticket', 'This shadow is of other blocks than this peer holds.')
    if (ticket.last !== (range.end === manifest.blocks.length) || ticket.link !== ticket.stage)
      throw new ManyhandsError('bad-ticket', 'This shadow is of links that its stage does not have.')
    if (ticket.maxRows > report.rowLimit)
      throw new ManyhandsError(
        'unsupported',
        `Runs of ${ticket.maxRows} rows are more than the ${report.rowLimit} that come out right here.`,
      )
    if (ticket.last && manifest.decoder && ticket.promptLength < 1)
      throw new ManyhandsError('bad-ticket', 'This shadow of a last stage does not say where its tokens begin.')
    if (ticket.role === 'audit') checkAudit(ticket)
  }

  #sessionPorts(): ShadowPorts {
    return {
      ...this.#ports,
      audited: (rows) => {
        this.#audits += 1
        this.#auditedRows += rows
      },
      ended: (shadow) => {
        if (this.#open.get(shadow.ticket.shadow) === shadow) this.#open.delete(shadow.ticket.shadow)
      },
    }
  }
}

/** @throws ManyhandsError bad-ticket */
function checkAudit(ticket: ShadowTicket): void {
  const cut = ticket.inputCuts.reduce((sum, rows) => sum + rows, 0)
  const links: readonly number[] = ticket.last ? [outLink(ticket), logitsLinkOf(ticket)] : [outLink(ticket)]
  if (ticket.rows < 1 || ticket.rows > ticket.maxPositions || cut !== ticket.rows)
    throw new ManyhandsError('bad-ticket', 'This audit is of other rows than it has cuts for.')
  if (!ticket.outputs.every(({ link }) => links.includes(link)))
    throw new ManyhandsError('bad-ticket', 'This audit asks for what its stage does not send.')
}
