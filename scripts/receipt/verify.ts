/**
 * A receipt file, checked without its server: receipts and their chain, tickets, every chunk's two signatures, and that all
 * of it is about this prompt and this answer. Pure but for the arithmetic of signatures. docs/protocol.md [RC].
 */
import type { Hash } from '../../protocol/ids.ts'
import { asError } from '../../protocol/errors.ts'
import { toHex } from '../../protocol/bytes.ts'
import { checkReceipt, merkleRoot, receiptHash, type Receipt } from '../../protocol/receipt.ts'
import type { ReceiptFile } from '../../protocol/receipt-file.ts'
import { checkTicket, type Ticket } from '../../protocol/ticket.ts'
import { counted, judged, ok, open, type Check } from './checks.ts'
import { checkCarried, checkContents, contentRows, dueRows } from './contents.ts'
import { shortId } from './places.ts'
import { checkOrder, checkProofs, checkRows, checkRuns, type Proven } from './proofs.ts'

/** Whose signatures count, and who says so; no keys when nobody could be asked. */
export interface Trust {
  readonly keys: readonly string[]
  readonly why: string
}

export interface Verified {
  readonly receipt: Receipt
  readonly checks: readonly Check[]
  /** The chunks that both their ends signed, for a replay. */
  readonly proven: readonly Proven[]
}

export const isProved = ({ checks }: Pick<Verified, 'checks'>): boolean => checks.every(({ verdict }) => verdict === 'ok')

export async function verifyReceipt(file: ReceiptFile, trust: Trust): Promise<Verified> {
  const { receipts, evidence } = file
  const receipt = receipts.at(-1) as Receipt
  const ticket = evidence.tickets.at(-1) as Ticket
  const { check: signatures, proven } = await checkProofs(evidence)
  const checks = [
    checkTrust(receipts, trust),
    await checkSignatures(receipts),
    await checkChain(receipts),
    await checkTickets(evidence.tickets, receipt, trust.keys),
    ...(await checkContents(file, receipt, ticket)),
    signatures,
    checkOrder(evidence, proven),
    checkRows(evidence, proven, dueRows(file)),
    checkRuns(proven, contentRows(file.prompt)),
    await checkCarried(file, proven),
    await checkRoot(file, receipt),
    checkCounts(file, receipt),
  ]
  return { receipt, checks, proven }
}

function checkTrust(receipts: readonly Receipt[], { keys, why }: Trust): Check {
  const name = "server's key"
  const used = [...new Set(receipts.map(({ serverKey }) => serverKey))]
  if (keys.length === 0)
    return open(name, `${used.map(shortId).join(', ')}: nobody vouches for it (${why}). Give the key with --server-key.`)
  const strange = used.filter((key) => !keys.includes(key)).map((key) => `${shortId(key)} signed, which is not the key of ${why}`)
  return judged(name, strange, `${used.map(shortId).join(', ')}, of ${why}`)
}

async function checkSignatures(receipts: readonly Receipt[]): Promise<Check> {
  const wrong: string[] = []
  for (const [i, receipt] of receipts.entries())
    if (!(await checkReceipt(receipt))) wrong.push(`receipt ${i + 1} (${receipt.status}) is not what its server signed`)
  return judged("receipts' signatures", wrong, counted(receipts.length, 'receipt'))
}

/** Each names the one before it, of the same request, for the same question; and of the same session the same answer. [RC4] */
async function checkChain(receipts: readonly Receipt[]): Promise<Check> {
  const wrong: string[] = []
  for (const [i, receipt] of receipts.entries()) {
    const last = receipts[i - 1]
    const what = `receipt ${i + 1} (${receipt.status})`
    const expected = last ? await receiptHash(last) : null
    if (receipt.supersedes !== expected) wrong.push(`${what} supersedes another than the one before it`)
    if (!last) continue
    for (const field of ['request', 'revision', 'promptHash'] as const)
      if (receipt[field] !== last[field]) wrong.push(`${what} is of another ${field}`)
    if (receipt.session !== last.session) {
      if (receipt.status !== 'corrected') wrong.push(`${what} is of another session, and no correction`)
    } else
      for (const field of ['answerHash', 'chunksRoot'] as const)
        if (receipt[field] !== last[field]) wrong.push(`${what} has another ${field} for the same session`)
  }
  return judged('chain', wrong, receipts.map(({ status }) => status).join(', then '))
}

async function checkTickets(tickets: readonly Ticket[], receipt: Receipt, keys: readonly string[]): Promise<Check> {
  const wrong: string[] = []
  const [first] = tickets
  for (const [i, ticket] of tickets.entries()) {
    const what = `the ticket of generation ${ticket.generation}`
    // Without a key to trust, the signature is still to be right.
    const trusted = keys.length > 0 ? keys : [ticket.serverKey]
    try {
      await checkTicket(ticket, trusted, ticket.issuedAt)
    } catch (thrown) {
      wrong.push(`${what}: ${asError(thrown).message}`)
    }
    if (ticket.session !== receipt.session) wrong.push(`${what} is of another session than the receipt`)
    if (ticket.revision !== receipt.revision) wrong.push(`${what} is for another model than the receipt`)
    if (i > 0 && ticket.generation <= (tickets[i - 1] as Ticket).generation) wrong.push(`${what} stands after a later one`)
    if (ticket.requester.key !== first?.requester.key) wrong.push(`${what} is for another requester`)
    if (JSON.stringify(ticket.sampling) !== JSON.stringify(first?.sampling)) wrong.push(`${what} chooses tokens in another way`)
  }
  const parties = (stages: readonly { peer: string; key: string; blocks: readonly number[]; backend: string }[]) =>
    JSON.stringify(stages.map(({ peer, key, blocks, backend }) => [peer, key, blocks, backend]))
  if (parties((tickets.at(-1) as Ticket).stages) !== parties(receipt.stages))
    wrong.push("the receipt's stages are not those of the last ticket")
  return judged(
    'tickets',
    wrong,
    `${counted(tickets.length, 'generation')}, ${counted(receipt.stages.length, 'stage')} at the end, as in the receipt`,
  )
}

async function checkRoot({ evidence }: ReceiptFile, receipt: Receipt): Promise<Check> {
  const root = toHex(await merkleRoot(evidence.proofs)) as Hash
  const wrong =
    root === receipt.chunksRoot
      ? []
      : [`the proofs' root is ${shortId(root)}, the receipt's ${shortId(receipt.chunksRoot)}: one was changed, left out, added or moved`]
  return judged("chunks' root", wrong, `${shortId(root)}, over ${counted(evidence.proofs.length, 'proof')}`)
}

/** What the server says that it found. */
function checkCounts({ evidence }: ReceiptFile, { custody, audits }: Receipt): Check {
  const wrong: string[] = []
  if (custody.failed > 0) wrong.push(`the server found ${counted(custody.failed, 'chunk')} wrong`)
  if (custody.checked !== evidence.proofs.length)
    wrong.push(`the server counted ${counted(custody.checked, 'chunk')}, here are ${evidence.proofs.length}`)
  if (wrong.length > 0) return judged("server's findings", wrong, '')
  return ok("server's findings", `no chunk failed; ${audits.done} of ${audits.of} computed again by others with the same outcome`)
}
