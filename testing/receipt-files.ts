/**
 * The receipt file of an answer that went as it should, made from its parts: each link's steps are given, cut into chunks as
 * peers cut them, signed by whom the ticket names, and put under the server's receipt. For tests of what checks it.
 */
import { toHex, utf8, type Bytes } from '../protocol/bytes.ts'
import { countersign, signChunk } from '../protocol/custody.ts'
import { encodeEvidence } from '../protocol/evidence.ts'
import { sha256Bytes } from '../protocol/hash.ts'
import type { Hash, PeerId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { chunkRows } from '../protocol/limits.ts'
import { receiptFile, type Content, type ReceiptFileJson } from '../protocol/receipt-file.ts'
import { answerHash, merkleRoot, promptHash, receiptHash, signAnswer, signReceipt, tokenBytes, type Receipt } from '../protocol/receipt.ts'
import { answerLink, linkEnds, logitsLink, promptLink, ringLink, sessionLinks, type LinkEnds, type Ticket } from '../protocol/ticket.ts'

/** What one step carried: its tensors' bytes. */
export interface Sent {
  readonly position: number
  readonly rows: number
  readonly bytes: Uint8Array
}

export const int64Bytes = (ids: readonly number[]): Bytes => new Uint8Array(BigInt64Array.from(ids, BigInt).buffer)

/** A link's chunks, each with both signatures. @param closedAt positions at which a chunk is closed early */
export async function signSteps(
  ticket: Ticket,
  parties: readonly Identity[],
  link: number,
  steps: readonly Sent[],
  closedAt: readonly number[] = [],
): Promise<Bytes[]> {
  const ends = linkEnds(ticket, link) as LinkEnds
  const party = (peer: PeerId) => parties.find(({ id }) => id === peer) as Identity
  const cut: Sent[][] = []
  for (const step of steps) {
    const open = cut.at(-1)
    const fits = open && open.reduce((sum, { rows }) => sum + rows, step.rows) <= chunkRows
    if (fits && !closedAt.includes(step.position)) open.push(step)
    else cut.push([step])
  }
  const proofs: Bytes[] = []
  for (const [seq, group] of cut.entries()) {
    let rows = 0
    let alone = 0
    for (const step of group) {
      if (step.rows === 1) alone = (alone | (1 << rows)) >>> 0
      rows += step.rows
    }
    const payloadHash = await sha256Bytes(Buffer.concat(group.map(({ bytes }) => bytes)))
    const { session, generation } = ticket
    const chunk = { session, generation, link, seq, firstPosition: group[0]?.position ?? 0, rows, alone, payloadHash }
    const signed = await signChunk(chunk, party(ends.from).privateKey)
    proofs.push(await countersign(signed, party(ends.to).privateKey))
  }
  return proofs
}

/**
 * All proofs of a decoder's answer in one generation.
 * @param runs rows of the prompt's runs
 * @param inner what an inner or the logits link carried; without it anything that differs from step to step
 */
export async function answerProofs(
  ticket: Ticket,
  parties: readonly Identity[],
  runs: readonly number[],
  prompt: readonly number[],
  answer: readonly number[],
  inner: (link: number, position: number, rows: number) => Uint8Array = (link, position, rows) => utf8(`${link} ${position} ${rows}`),
): Promise<Bytes[]> {
  const ids = [...prompt, ...answer]
  const last = ids.length - 1
  const tokens = (position: number, rows: number): Sent => ({ position, rows, bytes: int64Bytes(ids.slice(position, position + rows)) })
  let at = 0
  const asked = runs.map((rows) => tokens((at += rows) - rows, rows))
  const answered = answer.map((_, i) => tokens(prompt.length + i, 1))
  const proofs: Bytes[] = []
  for (const link of sessionLinks(ticket)) {
    const carries = (steps: readonly Sent[]) => steps.map((step) => ({ ...step, bytes: inner(link, step.position, step.rows) }))
    const fed = [...asked, ...answered.slice(0, -1)]
    if (link === promptLink(ticket)) proofs.push(...(await signSteps(ticket, parties, link, asked)))
    else if (link === answerLink(ticket)) proofs.push(...(await signSteps(ticket, parties, link, answered, [last])))
    else if (link === logitsLink(ticket)) proofs.push(...(await signSteps(ticket, parties, link, carries(answered), [last])))
    else if (link === ringLink) proofs.push(...(await signSteps(ticket, parties, link, fed, [prompt.length])))
    else proofs.push(...(await signSteps(ticket, parties, link, carries(fed))))
  }
  return proofs
}

export interface Ended {
  readonly server: Identity
  /** The last generation's host is the last stage of the last ticket. */
  readonly parties: readonly Identity[]
  readonly tickets: readonly Ticket[]
  readonly proofs: readonly Bytes[]
  readonly prompt: Content
  readonly answer: Content
  readonly url?: string
}

/** Provisional, then settled, signed by the server. */
export async function makeReceiptFile({ server, parties, tickets, proofs, prompt, answer, url }: Ended): Promise<ReceiptFileJson> {
  const ticket = tickets.at(-1) as Ticket
  const host = parties.find(({ id }) => id === ticket.stages.at(-1)?.peer) as Identity
  const bytesOf = (content: Content) => ('ids' in content ? tokenBytes(content.ids) : content.packed)
  const answerSignature = await signAnswer(ticket.session, bytesOf(answer), host.privateKey)
  const body: Omit<Receipt, 'signature'> = {
    v: 1,
    request: ticket.session,
    session: ticket.session,
    revision: ticket.revision,
    promptHash: await promptHash(bytesOf(prompt)),
    answerHash: await answerHash(bytesOf(answer), answerSignature),
    stages: ticket.stages.map((stage) => ({ ...stage, proven: true })),
    chunksRoot: toHex(await merkleRoot(proofs)) as Hash,
    custody: { checked: proofs.length, failed: 0 },
    audits: { done: 0, of: 0 },
    status: 'provisional',
    supersedes: null,
    issuedAt: 1,
    serverKey: server.publicKey,
  }
  const provisional = await signReceipt(body, server.privateKey)
  const settled = await signReceipt(
    { ...body, status: 'settled', audits: { done: 4, of: proofs.length }, supersedes: await receiptHash(provisional) },
    server.privateKey,
  )
  const evidence = encodeEvidence({ tickets, proofs }) as Bytes
  return receiptFile({ server: url ?? 'http://localhost:9', receipts: [provisional, settled], evidence, prompt, answer, answerSignature })
}
