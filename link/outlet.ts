/** Where a session's messages to one peer go: the link to it, or straight back when that peer is oneself. */
import type { LinkMessage } from '../protocol/link-messages.ts'
import type { CustodyOutlet } from './custody-link.ts'

export interface Outlet extends CustodyOutlet {
  sendMessage(message: LinkMessage): void
}
