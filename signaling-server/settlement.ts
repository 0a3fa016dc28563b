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
import { answerLink, logitsLink, promptLink, sessionLinks, type Ticket } from '../protocol/ticket.ts'
import type { ExpectedRows } from './custody-check.ts'
import type { CustodyLedger } from './custody-ledger.ts'
import type { Write } from './store.ts'
import type { EndedSession, Trust } from './trust-port.ts'

export type Done = Extract<ClientMessage, { t: 'done' }>

/** How long the last proofs are waited for after a session's end. */
export const proofWaitMs = 3_000

/** Undefined when the answer was broken off: what was under way then is nobody's fault. */
export function expectedRows(ticket: Ticket, manifest: Manifest, done: Done): ExpectedRows | undefined {
  if (done.finish === 'aborted' || done.finish === 'error') return undefined
  const { promptPositions, answerPositions } = done
  const prompt = { from: 0, to: promptPositions }
  // A model without a decoder has one row; of an answer's tokens the last is never fed back.
  const fed = { from: 0, to: manifest.decoder ? promptPositions + answerPositions - 1 : 1 }
  const begins = manifest.decoder ? promptPositions : 0
  const answer = { from: begins, to: begins + answerPositions }
  return new Map(
    sessionLinks(ticket).map((link) => {
      if (link === answerLink(ticket) || link === logitsLink(ticket)) return [link, answer]
      return [link, link === promptLink(ticket) ? prompt : fed]
    }),
  )
}

/** Rows that stage i of the last generation is known to have run: those proven on the link into it. */
export const rowsRun = (ledger: CustodyLedger, i: number): number => ledger.rows(i)

/** The first receipt, and all that is written with it. */
export async function provisional(
  ended: EndedSession,
  server: Identity,
  now: number,
  trust: Trust,
): Promise<{ readonly receipt: Receipt; readonly writes: readonly Write[] }> {
  const receipt = await makeReceipt(ended, server, now, trust)
  const writes: Write[] = [{ t: 'receipt', receipt }]
  if (ended.custody.failed > 0) return { receipt, writes }
  for (const [i, { peer, blocks }] of ended.ledger.ticket.stages.entries()) {
    const [first, end] = blocks
    const { session, ledger, asked } = ended
    writes.push({
      t: 'work',
      entry: { id: session, kind: 'stage', peer, revision: asked.revision, first, end, rows: rowsRun(ledger, i), at: now },
    })
  }
  return { receipt, writes }
}

async function makeReceipt(
  { session, request, ledger, custody, done }: EndedSession,
  server: Identity,
  now: number,
  trust: Trust,
): Promise<Receipt> {
  const { ticket } = ledger
  return signReceipt(
    {
      v: 1,
      request,
      session,
      revision: ticket.revision,
      promptHash: done.promptHash as Hash,
      answerHash: done.answerHash as Hash,
      stages: ticket.stages.map(({ peer, key, blocks, backend }) => ({ peer, key, blocks, backend, proven: trust.mayProduce(peer) })),
      chunksRoot: toHex(await merkleRoot(ledger.proofs())) as Hash,
      custody: { checked: custody.checked, failed: custody.failed },
      audits: { done: 0, of: 0 },
      status: 'provisional',
      supersedes: null,
      issuedAt: now,
      serverKey: server.publicKey,
    },
    server.privateKey,
  )
}
