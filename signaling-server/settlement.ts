/**
 * From a session's end to its receipt: which rows each link owes, and the signed statement of what was proven. Pure but for
 * the signature.
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { toHex } from '../protocol/bytes.ts'
import type { Hash } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Manifest } from '../protocol/manifest.ts'
import { merkleRoot, signReceipt, type Receipt } from '../protocol/receipt.ts'
import { answerLink, promptLink, sessionLinks, type Ticket } from '../protocol/ticket.ts'
import type { CustodyLedger, CustodyResult, ExpectedRows } from './custody-ledger.ts'

export type Done = Extract<ClientMessage, { t: 'done' }>

/** How long the last proofs are waited for after a session's end. */
export const proofWaitMs = 3_000

/** Undefined when the answer was broken off: what was under way then is nobody's fault. */
export function expectedRows(ticket: Ticket, manifest: Manifest, done: Done): ExpectedRows | undefined {
  if (done.finish === 'aborted' || done.finish === 'error') return undefined
  // The last token is never fed back.
  const fed = manifest.decoder ? done.promptPositions + done.answerPositions - 1 : 1
  return new Map(
    sessionLinks(ticket).map((link) => {
      if (link === answerLink(ticket)) return [link, done.answerPositions]
      return [link, link === promptLink(ticket) ? done.promptPositions : fed]
    }),
  )
}

/** Rows that stage i is known to have run: those proven on the link into it; of a stage that feeds itself, those that came and went. */
export function rowsRun(ledger: CustodyLedger, i: number): number {
  const { ticket } = ledger
  if (sessionLinks(ticket).includes(i)) return ledger.rows(i)
  return Math.max(0, ledger.rows(promptLink(ticket)) + ledger.rows(answerLink(ticket)) - 1)
}

export async function makeReceipt(
  ledger: CustodyLedger,
  result: CustodyResult,
  done: Done,
  server: Identity,
  now: number,
): Promise<Receipt> {
  const { ticket } = ledger
  return signReceipt(
    {
      v: 1,
      request: ticket.session,
      session: ticket.session,
      revision: ticket.revision,
      promptHash: done.promptHash as Hash,
      answerHash: done.answerHash as Hash,
      stages: ticket.stages.map(({ peer, key, blocks, backend }) => ({ peer, key, blocks, backend, proven: false })),
      chunksRoot: toHex(await merkleRoot(ledger.proofs())) as Hash,
      custody: { checked: result.checked, failed: result.failed },
      audits: { done: 0, of: 0 },
      status: 'provisional',
      supersedes: null,
      issuedAt: now,
      serverKey: server.publicKey,
    },
    server.privateKey,
  )
}
