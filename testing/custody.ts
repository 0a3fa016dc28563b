/** The custody proofs of a whole session, as its peers would report them: for tests of the server's ledger. */
import { utf8, type Bytes } from '../protocol/bytes.ts'
import { countersign, signChunk, type Chunk } from '../protocol/custody.ts'
import { sha256Bytes } from '../protocol/hash.ts'
import type { PeerId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { chunkRows } from '../protocol/limits.ts'
import { answerLink, linkEnds, logitsLink, promptLink, ringLink, sessionLinks, type LinkEnds, type Ticket } from '../protocol/ticket.ts'

/** A proof, and the peer that sends it to the server: the link's receiver. */
export interface Reported {
  readonly chunk: Chunk
  readonly proof: Bytes
  readonly from: PeerId
}

/** Signed by both, whoever they are. */
export const prove = async (chunk: Chunk, sender: Identity, receiver: Identity): Promise<Bytes> =>
  countersign(await signChunk(chunk, sender.privateKey), receiver.privateKey)

/** What a link carried: steps' rows from a position on, in groups between which a chunk is closed early. */
export interface Carried {
  readonly first: number
  readonly groups: readonly (readonly number[])[]
}

/**
 * @param parties identities of all whom the ticket names
 * @param runs rows of the prompt's runs
 * @param answerRows tokens of the answer, the last one included
 */
export const reports = (ticket: Ticket, parties: readonly Identity[], runs: readonly number[], answerRows: number): Promise<Reported[]> =>
  reportsOf(ticket, parties, undisturbed(ticket, runs, answerRows))

/** A session that nothing disturbed. */
export function undisturbed(ticket: Ticket, runs: readonly number[], answerRows: number): Map<number, Carried> {
  const promptRows = runs.reduce((sum, rows) => sum + rows, 0)
  const alone = (rows: number) => Array.from({ length: Math.max(0, rows) }, () => 1)
  const tokens = { first: ticket.sampling ? promptRows : 0, groups: [alone(answerRows - 1), [1]] }
  return new Map(
    sessionLinks(ticket).map((link) => {
      if (link === promptLink(ticket)) return [link, { first: 0, groups: [runs] }]
      if (link === answerLink(ticket) || link === logitsLink(ticket)) return [link, tokens]
      if (link === ringLink) return [link, { first: 0, groups: [runs, alone(answerRows - 1)] }]
      return [link, { first: 0, groups: [[...runs, ...alone(answerRows - 1)]] }]
    }),
  )
}

/** The proofs of what some links carried in the ticket's generation. */
export async function reportsOf(ticket: Ticket, parties: readonly Identity[], carried: ReadonlyMap<number, Carried>): Promise<Reported[]> {
  const all: Reported[] = []
  for (const [link, { first, groups }] of carried) {
    const ends = linkEnds(ticket, link) as LinkEnds
    const party = (peer: PeerId) => parties.find(({ id }) => id === peer) as Identity
    for (const chunk of await chunks(ticket, link, first, groups)) {
      all.push({ chunk, proof: await prove(chunk, party(ends.from), party(ends.to)), from: ends.to })
    }
  }
  return all
}

/** Whole steps, as many to a chunk as fit. */
async function chunks(ticket: Ticket, link: number, first: number, groups: readonly (readonly number[])[]): Promise<Chunk[]> {
  const cut = groups.flatMap((steps) => {
    const closed: number[][] = []
    for (const rows of steps) {
      const open = closed.at(-1)
      if (open && open.reduce((sum, r) => sum + r, rows) <= chunkRows) open.push(rows)
      else closed.push([rows])
    }
    return closed
  })
  // What the requester sends, and gets, is what goes round the ring: the same bytes.
  const tokens = [ringLink, promptLink(ticket), ...(ticket.sampling ? [answerLink(ticket)] : [])]
  const content = tokens.includes(link) ? 'tokens' : link
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
