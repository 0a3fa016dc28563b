/** The custody proofs of a whole session, as its peers would report them: for tests of the server's ledger. */
import { utf8, type Bytes } from '../protocol/bytes.ts'
import { countersign, signChunk, type Chunk } from '../protocol/custody.ts'
import { sha256Bytes } from '../protocol/hash.ts'
import type { PeerId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { chunkRows } from '../protocol/limits.ts'
import { answerLink, linkEnds, promptLink, ringLink, sessionLinks, type LinkEnds, type Ticket } from '../protocol/ticket.ts'

/** A proof, and the peer that sends it to the server: the link's receiver. */
export interface Reported {
  readonly chunk: Chunk
  readonly proof: Bytes
  readonly from: PeerId
}

/** Signed by both, whoever they are. */
export const prove = async (chunk: Chunk, sender: Identity, receiver: Identity): Promise<Bytes> =>
  countersign(await signChunk(chunk, sender.privateKey), receiver.privateKey)

/**
 * @param parties identities of all whom the ticket names
 * @param runs rows of the prompt's runs
 * @param answerRows tokens of the answer, the last one included
 */
export async function reports(
  ticket: Ticket,
  parties: readonly Identity[],
  runs: readonly number[],
  answerRows: number,
): Promise<Reported[]> {
  const promptRows = runs.reduce((sum, rows) => sum + rows, 0)
  const alone = (rows: number) => Array.from({ length: Math.max(0, rows) }, () => 1)
  const all: Reported[] = []
  for (const link of sessionLinks(ticket)) {
    const ends = linkEnds(ticket, link) as LinkEnds
    const party = (peer: PeerId) => parties.find(({ id }) => id === peer) as Identity
    const carried =
      link === promptLink(ticket)
        ? { first: 0, steps: [...runs] }
        : link === answerLink(ticket)
          ? { first: promptRows, steps: alone(answerRows) }
          : { first: 0, steps: [...runs, ...alone(answerRows - 1)] }
    for (const chunk of await chunks(ticket, link, carried.first, carried.steps)) {
      all.push({ chunk, proof: await prove(chunk, party(ends.from), party(ends.to)), from: ends.to })
    }
  }
  return all
}

/** Whole steps, as many to a chunk as fit. */
async function chunks(ticket: Ticket, link: number, first: number, steps: readonly number[]): Promise<Chunk[]> {
  const cut: number[][] = []
  for (const rows of steps) {
    const open = cut.at(-1)
    if (open && open.reduce((sum, r) => sum + r, rows) <= chunkRows) open.push(rows)
    else cut.push([rows])
  }
  // What the requester sends is what goes round the ring: the same bytes.
  const content = link === promptLink(ticket) ? ringLink : link
  const { session, generation } = ticket
  const made: Chunk[] = []
  let at = first
  for (const [seq, group] of cut.entries()) {
    let rows = 0
    let marks = 0
    for (const step of group) {
      if (step === 1) marks = (marks | (1 << rows)) >>> 0
      rows += step
    }
    const payloadHash = await sha256Bytes(utf8(`${content} ${at} ${rows}`))
    made.push({ session, generation, link, seq, firstPosition: at, rows, alone: marks, payloadHash })
    at += rows
  }
  return made
}
