/**
 * From a session's end to its receipt: which rows each link owes, and the signed statement of what was proven. Pure but for
 * the signature.
 */
import type { ClientMessage } from '../protocol/client-messages.ts'
import { toHex } from '../protocol/bytes.ts'
import { encodeEvidence } from '../protocol/evidence.ts'
import type { Hash, PeerId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Manifest } from '../protocol/manifest.ts'
import { merkleRoot, receiptHash, signReceipt, type Receipt } from '../protocol/receipt.ts'
import { answerLink, logitsLink, promptLink, sessionLinks, type Ticket } from '../protocol/ticket.ts'
import type { ExpectedRows } from './custody-check.ts'
import type { CustodyLedger } from './custody-ledger.ts'
import { stageChunks, stageJobs } from './audit-plan.ts'
import { requestTallies, workTallies, type GaveFor } from './projects/tally.ts'
import type { Store, Write } from './store.ts'
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

export interface SettlementPorts {
  readonly identity: Identity
  readonly store: Store
  readonly trust: Pick<Trust, 'mayProduce'>
  readonly gaveFor: GaveFor
  /** Wall time, ms since 1970. */
  now(): number
}

/** A session's first receipt, and all that is written with it. A correction's takes the place of what was found wrong. */
export async function provisional(
  ended: EndedSession,
  { identity, store, trust, gaveFor, now }: SettlementPorts,
): Promise<{ readonly receipt: Receipt; readonly writes: readonly Write[] }> {
  const { session, request, asked, ledger, custody, done } = ended
  const { ticket, tickets } = ledger
  const at = now()
  const proofs = ledger.proofs()
  const superseded = request === session ? undefined : await store.receipt(request)
  const receipt = await signReceipt(
    {
      v: 1,
      request,
      session,
      revision: ticket.revision,
      promptHash: done.promptHash as Hash,
      answerHash: done.answerHash as Hash,
      stages: ticket.stages.map(({ peer, key, blocks, backend }) => ({ peer, key, blocks, backend, proven: trust.mayProduce(peer) })),
      chunksRoot: toHex(await merkleRoot(proofs)) as Hash,
      custody: { checked: custody.checked, failed: custody.failed },
      audits: { done: 0, of: stageChunks(ledger) },
      status: request === session ? 'provisional' : 'corrected',
      supersedes: superseded ? await receiptHash(superseded) : null,
      issuedAt: at,
      serverKey: identity.publicKey,
    },
    identity.privateKey,
  )
  const evidence = encodeEvidence({ tickets, proofs })
  const writes: Write[] = [{ t: 'receipt', receipt }, ...(evidence ? [{ t: 'evidence', session, evidence } as const] : [])]
  if (custody.failed > 0) return { receipt, writes }
  const work = (peer: PeerId, first: number, end: number, rows: number) =>
    writes.push({ t: 'work', entry: { id: session, kind: 'stage', peer, revision: ticket.revision, first, end, rows, at } })
  for (const [i, { peer, blocks }] of ticket.stages.entries()) work(peer, blocks[0], blocks[1], rowsRun(ledger, i))
  // Those who left in the middle have done what they did.
  for (const { peer, first, end, rows } of tickets.length > 1 ? await stageJobs(ledger) : [])
    if (!ticket.stages.some((s) => s.peer === peer && s.blocks[0] === first)) work(peer, first, end, rows)
  // An answer that does another again was counted with it.
  const answered = asked.viewpoint !== undefined && request === session && done.finish !== 'aborted' && done.finish !== 'error'
  const peers = ticket.stages.map((s) => s.peer)
  const requests = answered ? requestTallies(asked.viewpoint, session, peers, gaveFor, at) : []
  return { receipt, writes: [...writes, ...workTallies(writes, gaveFor), ...requests] }
}

/** The successor of a session's first receipt, once its audits are over. */
export async function settled(last: Receipt, audits: Receipt['audits'], server: Identity, now: number): Promise<Receipt | undefined> {
  if (last.status === 'settled') return undefined
  const { signature: _, ...said } = last
  const supersedes = await receiptHash(last)
  return signReceipt({ ...said, audits, status: 'settled', supersedes, issuedAt: now, serverKey: server.publicKey }, server.privateKey)
}
