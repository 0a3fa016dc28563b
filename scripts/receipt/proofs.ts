/**
 * The proofs of a receipt's evidence, one by one and in their order: each signed by the two ends that a ticket names, chunk
 * after chunk without a gap, and every link's rows complete. docs/protocol.md [CU6].
 */
import { asError } from '../../protocol/errors.ts'
import type { Evidence } from '../../protocol/evidence.ts'
import { checkReceiver, checkSender, chunkBytes, decodeChunk, type Chunk } from '../../protocol/custody.ts'
import { linkEnds, sessionLinks, type Ticket } from '../../protocol/ticket.ts'
import { counted, judged, type Check } from './checks.ts'
import { chunkText, endKeys, linkText, partyText, placeOf, rowsText, type Place } from './places.ts'

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

/**
 * The order of the leaves, and within each generation's link chunk after chunk, row after row. Of a generation that a reroute
 * ended the last proofs may never have reached the server: whether all rows are there in spite of it, {@link checkRows} says.
 */
export function checkOrder({ tickets }: Evidence, proven: readonly Proven[]): Check {
  const wrong: string[] = []
  const newest = tickets.at(-1)?.generation
  let last: Proven | undefined
  for (const one of proven) {
    const { chunk, ticket } = one
    const where = chunkText(ticket, chunk)
    const previous = last && sameLink(last.chunk, chunk) ? last.chunk : undefined
    const due = previous ? previous.seq + 1 : 0
    if (last && before(chunk, last.chunk)) wrong.push(`${where}: stands after ${chunkText(last.ticket, last.chunk)}`)
    else if (chunk.seq !== due && chunk.generation === newest) wrong.push(`${where}: chunk ${due} was due, it is missing`)
    else if (previous && chunk.seq === due && chunk.firstPosition !== previous.firstPosition + previous.rows)
      wrong.push(`${where}: row ${previous.firstPosition + previous.rows} was due`)
    last = one
  }
  return judged("chunks' order", wrong, 'none is missing between two others, none stands in another place')
}

const sameLink = (a: Chunk, b: Chunk): boolean => a.generation === b.generation && a.link === b.link

const before = (a: Chunk, b: Chunk): boolean =>
  a.generation !== b.generation ? a.generation < b.generation : a.link !== b.link ? a.link < b.link : a.seq <= b.seq

/** Rows that a whole answer must have put on a link: from, up to (not including), and up to at most. */
export interface Due {
  readonly from: number
  readonly least: number
  readonly most: number
}

/** Rows of every place from its first on, over all generations: what a later one sends again takes the place of what was there. */
export function checkRows({ tickets }: Evidence, proven: readonly Proven[], due: (place: Place) => Due): Check {
  const wrong: string[] = []
  const reached = new Map<Place, number>()
  const byLink = new Map<string, Proven[]>()
  for (const one of proven) {
    const name = `${one.chunk.generation}/${one.chunk.link}`
    const chunks = byLink.get(name) ?? []
    // Up to the first that is missing.
    if (one.chunk.seq === chunks.length) chunks.push(one)
    byLink.set(name, chunks)
  }
  for (const ticket of tickets) {
    for (const link of sessionLinks(ticket)) {
      const place = placeOf(ticket, link) as Place
      const here = byLink.get(`${ticket.generation}/${link}`) ?? []
      const end = reached.get(place) ?? due(place).from
      const first = here[0]?.chunk.firstPosition ?? end
      if (first > end) wrong.push(`generation ${ticket.generation}, ${linkText(ticket, link)}: ${rowsText(end, first)} missing`)
      const last = here.at(-1)?.chunk
      reached.set(place, last ? last.firstPosition + last.rows : end)
    }
  }
  const ticket = tickets.at(-1) as Ticket
  for (const link of sessionLinks(ticket)) {
    const place = placeOf(ticket, link) as Place
    const { least, most } = due(place)
    const end = reached.get(place) ?? 0
    if (end < least) wrong.push(`${linkText(ticket, link)}: ${rowsText(end, least)} missing`)
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
