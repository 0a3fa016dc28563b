/** A volunteer in a browser of its own, and what passes between it and the server: who it is, which sessions it is part of. */
import type { Page } from 'playwright'
import { joinAsVolunteer, type VolunteerTab } from '../../e2e/harness/volunteer-tab.ts'
import type { Ticket } from '../../protocol/ticket.ts'

export interface WatchedTab {
  readonly tab: VolunteerTab
  /** '' until the server has greeted it. */
  readonly peer: string
  /** Of the session that it was told of last. */
  readonly ticket: Ticket | undefined
}

export async function joinWatched(server: string, signal: AbortSignal): Promise<WatchedTab> {
  const seen: { peer: string; ticket: Ticket | undefined } = { peer: '', ticket: undefined }
  const before = async (page: Page) => {
    page.on('websocket', (socket) => {
      if (!socket.url().endsWith('/v1/socket')) return
      socket.on('framereceived', ({ payload }) => {
        if (typeof payload !== 'string') return
        const message = JSON.parse(payload) as { t: string; peer?: string; ticket?: Ticket }
        if (message.t === 'welcome') seen.peer = message.peer ?? ''
        if (message.t === 'session') seen.ticket = message.ticket
      })
    })
  }
  const tab = await joinAsVolunteer(server, { before, signal })
  return {
    tab,
    get peer() {
      return seen.peer
    },
    get ticket() {
      return seen.ticket
    },
  }
}
