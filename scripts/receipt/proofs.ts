/**
 * The proofs of a receipt's evidence, one by one and in their order: each signed by the two ends that a ticket names, chunk
 * after chunk without a gap, and every link's rows complete. docs/protocol.md [CU6].
 */
import { asError } from '../../protocol/errors.ts'
import type { Evidence } from '../../protocol/evidence.ts'
import { checkReceiver, checkSender, chunkBytes, decodeChunk, type Chunk } from '../../protocol/custody.ts'
import { linkEnds, sessionLinks, type LinkEnds, type Ticket } from '../../protocol/ticket.ts'
import { counted, judged, type Check } from './checks.ts'
import { chunkText, endKeys, linkText, partyText, placeOf, type Place } from './places.ts'

/** A chunk that both ends signed, and where it belongs. */
export interface Proven {
  readonly chunk: Chunk
  readonly ticket: Ticket
  readonly place: Place
}

/** Signatures verified at once: enough to keep the machine busy, and no heap of promises. */
const atOnce = 64

/** Each proof by itself. */
export async function checkProofs({ tickets, proofs }: Evidence): Promise<{ check: Check; proven: Proven[] }> {
  const proven: Proven[] = []
  const wrong: string[] = []
  for (let at = 0; at < proofs.length; at += atOnce) {
    const judgements = await Promise.all(proofs.slice(at, at + atOnce).map((proof) => judge(proof, tickets)))
    judgements.forEach((judgement, i) => {
      if (typeof judgement === 'string') wrong.push(`proof ${at + i + 1}: ${judgement}`)
      else proven.push(judgement)
    })
  }
  return {
    check: judged("chunks' signatures", wrong, `${counted(proofs.length, 'chunk')}, each signed by its sender and its receiver`),
    proven,
  }
}

async function judge(proof: Uint8Array, tickets: readonly Ticket[]): Promise<Proven | string> {
  let chunk: Chunk
  try {
    chunk = decodeChunk(proof.subarray(0, chunkBytes))
  } catch (thrown) {
    return asError(thrown).message
  }
  const ticket = tickets.find(({ generation }) => generation === chunk.generation)
  if (!ticket) return `of generation ${chunk.generation}, for which there is no ticket`
  if (chunk.session !== ticket.session) return `of another session (${chunk.session})`
  const place = placeOf(ticket, chunk.link)
  const ends = linkEnds(ticket, chunk.link)
  if (!place || !ends) return `of link ${chunk.link}, which the session does not have`
  const keys = endKeys(ticket, ends)
  const where = chunkText(ticket, chunk)
  if (!(await checkSender(proof, keys.from))) return `${where}: not signed by its sender, ${partyText(ticket, ends.from)}`
  if (!(await checkReceiver(proof, keys.to))) return `${where}: not signed by its receiver, ${partyText(ticket, ends.to)}`
  return { chunk, ticket, place }
}

/** The order of the leaves, and within each generation's link chunk after chunk, row after row. */
export function checkOrder(proven: readonly Proven[]): Check {
  const wrong: string[] = []
  let last: Chunk | undefined
  for (const { chunk, ticket } of proven) {
    const where = chunkText(ticket, chunk)
    const sameLink = last?.generation === chunk.generation && last.link === chunk.link
    const due = sameLink && last ? last.seq + 1 : 0
    if (last && before(chunk, last)) wrong.push(`${where}: stands after ${chunkText(ticketOf(proven, last), last)}`)
    else if (chunk.seq !== due) wrong.push(`${where}: chunk ${due} was due, it is missing`)
    else if (sameLink && last && chunk.firstPosition !== last.firstPosition + last.rows)
      wrong.push(`${where}: row ${last.firstPosition + last.rows} was due`)
    last = chunk
  }
  return judged("chunks' order", wrong, 'none is missing between two others, none stands in another place')
}

const before = (a: Chunk, b: Chunk): boolean =>
  a.generation !== b.generation ? a.generation < b.generation : a.link !== b.link ? a.link < b.link : a.seq <= b.seq

const ticketOf = (proven: readonly Proven[], chunk: Chunk) => (proven.find((p) => p.chunk === chunk) as Proven).ticket

/** Rows that a whole answer must have put on a link: from, up to (not including), and up to at most. */
export interface Due {
  readonly from: number
  readonly least: number
  readonly most: number
}

/**
 * Rows of every place from its first on, over all generations: what a later one sends again takes the place of what was there.
 * A receiver that took over must have been sent everything.
 */
export function checkRows(evidence: Evidence, proven: readonly Proven[], due: (place: Place) => Due): Check {
  const wrong: string[] = []
  const reached = new Map<Place, { receiver: string; end: number }>()
  for (const ticket of evidence.tickets) {
    for (const link of sessionLinks(ticket)) {
      const place = placeOf(ticket, link) as Place
      const { to } = linkEnds(ticket, link) as LinkEnds
      const here = proven.filter(({ chunk }) => chunk.generation === ticket.generation && chunk.link === link)
      const known = reached.get(place)
      // What the requester was answered, and what that was chosen from, stays whoever is host.
      const stays = known && (known.receiver === to || place === 'answer' || place === 'logits')
      let end = stays ? known.end : due(place).from
      const first = here[0]?.chunk.firstPosition
      if (first !== undefined) {
        if (first > end) wrong.push(`generation ${ticket.generation}, ${linkText(ticket, link)}: rows ${end} to ${first - 1} are missing`)
        const last = (here.at(-1) as Proven).chunk
        end = last.firstPosition + last.rows
      }
      reached.set(place, { receiver: to, end })
    }
  }
  const ticket = evidence.tickets.at(-1) as Ticket
  for (const link of sessionLinks(ticket)) {
    const place = placeOf(ticket, link) as Place
    const { least, most } = due(place)
    const end = reached.get(place)?.end ?? 0
    if (end < least) wrong.push(`${linkText(ticket, link)}: rows ${end} to ${least - 1} are missing`)
    else if (end > most) wrong.push(`${linkText(ticket, link)}: ${counted(end - most, 'row')} more than the answer has`)
  }
  return judged('rows of every link', wrong, `complete on all ${sessionLinks(ticket).length} links`)
}

/** Every stage must have run the same rows together: what ran alone did so at every stage. */
export function checkRuns(proven: readonly Proven[], promptRows: number): Check {
  const wrong: string[] = []
  const alone = new Map<number, boolean>()
  for (const { chunk, ticket, place } of proven) {
    for (let i = 0; i < chunk.rows; i++) {
      const position = chunk.firstPosition + i
      const single = ((chunk.alone >>> i) & 1) === 1
      const known = place === 'answer' || place === 'logits' || position >= promptRows ? true : alone.get(position)
      if (known === undefined) alone.set(position, single)
      else if (known !== single) {
        wrong.push(
          `${chunkText(ticket, chunk)}: row ${position} ran ${single ? 'alone' : 'with others'}, elsewhere ${known ? 'alone' : 'with others'}`,
        )
        break
      }
    }
  }
  return judged('runs', wrong, 'the same rows ran together at every stage')
}

/** Whether a later generation sent some of these rows again, so that they were not what the answer rests on. */
export const wasReplaced = ({ chunk, place }: Proven, proven: readonly Proven[]): boolean =>
  proven.some(
    (other) =>
      other.place === place && other.chunk.generation > chunk.generation && other.chunk.firstPosition < chunk.firstPosition + chunk.rows,
  )
