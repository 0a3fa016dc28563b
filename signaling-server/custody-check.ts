/**
 * Whether a session's proven chunks add up: no row missing at any cut, the same runs at every stage, and the host's word to one
 * neighbour the same as to the other. Links are compared by where in the model they lie, since a reroute may number them
 * anew; of a row that was sent in several generations the last one counts. Pure. docs/protocol.md [CU].
 */
import { equalBytes } from '../protocol/bytes.ts'
import type { Chunk } from '../protocol/custody.ts'
import { answerLink, logitsLink, promptLink, ringLink, sessionLinks, type Ticket, type TicketStage } from '../protocol/ticket.ts'
import type { PeerId } from '../protocol/ids.ts'

/** Somebody whom signatures alone prove wrong. */
export interface Named {
  readonly peer: PeerId
  readonly why: string
}

/** Positions [from, to) that each link of the latest generation must have carried, in whichever generation. */
export type ExpectedRows = ReadonlyMap<number, { readonly from: number; readonly to: number }>

export interface ProvenChunks {
  /** By generation, ascending. */
  readonly tickets: readonly Ticket[]
  /** In the order of seq, without a gap. */
  chunks(generation: number, link: number): readonly Chunk[]
}

/** Where a link lies: the block that its receiver begins with, or the host's own links by name. */
type Place = number | 'ring' | 'answer' | 'prompt' | 'logits'

function placeOf(ticket: Ticket, link: number): Place {
  if (link === ringLink) return 'ring'
  if (link === answerLink(ticket)) return 'answer'
  if (link === promptLink(ticket)) return 'prompt'
  if (link === logitsLink(ticket)) return 'logits'
  return (ticket.stages[link] as TicketStage).blocks[0]
}

/** All chunks of a place, the earlier generations' first. */
function chunksAt({ tickets, chunks }: ProvenChunks, place: Place): Chunk[] {
  return tickets.flatMap((ticket) => {
    const link = sessionLinks(ticket).find((l) => placeOf(ticket, l) === place)
    return link === undefined ? [] : [...chunks(ticket.generation, link)]
  })
}

const last = ({ tickets }: ProvenChunks) => tickets.at(-1) as Ticket

interface Interval {
  readonly from: number
  readonly to: number
}

/** Disjoint, ascending. */
function coverage(chunks: readonly Chunk[]): Interval[] {
  const all: Interval[] = []
  const sorted = chunks.map((c) => ({ from: c.firstPosition, to: c.firstPosition + c.rows })).sort((a, b) => a.from - b.from)
  for (const { from, to } of sorted) {
    const before = all.at(-1)
    if (before && from <= before.to) all[all.length - 1] = { from: before.from, to: Math.max(before.to, to) }
    else all.push({ from, to })
  }
  return all
}

const rowsIn = (covered: readonly Interval[], { from, to }: Interval) =>
  covered.reduce((sum, c) => sum + Math.max(0, Math.min(c.to, to) - Math.max(c.from, from)), 0)

const everywhere: Interval = { from: 0, to: Infinity }

/** Rows proven at the place of a link of the latest generation. */
export const coveredRows = (proven: ProvenChunks, link: number): number =>
  rowsIn(coverage(chunksAt(proven, placeOf(last(proven), link))), everywhere)

export const covers = (proven: ProvenChunks, expected: ExpectedRows): boolean =>
  [...expected].every(([link, wanted]) => {
    const covered = coverage(chunksAt(proven, placeOf(last(proven), link)))
    return rowsIn(covered, wanted) >= wanted.to - wanted.from
  })

export interface Findings {
  readonly reasons: readonly string[]
  readonly named: readonly Named[]
}

/** @param expected undefined when the answer was broken off: links may then differ by what was under way */
export function checkCustody(proven: ProvenChunks, expected: ExpectedRows | undefined): Findings {
  const reasons: string[] = []
  for (const ticket of proven.tickets) {
    for (const link of sessionLinks(ticket)) {
      const broken = firstBreak(proven.chunks(ticket.generation, link), startOf(ticket, link))
      if (broken) reasons.push(`link ${link} chunk ${broken.seq}: its rows do not follow the ones before`)
    }
  }
  for (const [link, wanted] of expected ?? []) {
    const rows = rowsIn(coverage(chunksAt(proven, placeOf(last(proven), link))), wanted)
    const due = wanted.to - wanted.from
    if (rows < due) reasons.push(`link ${link}: ${rows} of ${due} rows proven`)
    // Earlier generations may have gone further, before they were taken back.
    const ticket = last(proven)
    const { generation } = ticket
    // A new host is told the tokens so far behind the prompt.
    const end = generation > 0 && link === promptLink(ticket) ? (expected?.get(answerLink(ticket))?.to ?? 0) : wanted.to
    const beyond = proven.chunks(generation, link).find((c) => c.firstPosition < wanted.from || c.firstPosition + c.rows > end)
    if (beyond) reasons.push(`link ${link}: rows from ${beyond.firstPosition} that nobody asked for`)
  }
  if (expected) reasons.push(...otherRuns(proven, expected.get(ringLink)?.to ?? 0))
  const host = hostsWord(proven, expected)
  return { reasons: [...reasons, ...host.reasons], named: host.named }
}

/** Where a link's first chunk must begin, where that is known: the answer's follows the prompt, a reroute's the rows held. */
const startOf = (ticket: Ticket, link: number): number | undefined =>
  ticket.generation > 0 || link === answerLink(ticket) || link === logitsLink(ticket) ? undefined : 0

function firstBreak(chunks: readonly Chunk[], start: number | undefined): Chunk | undefined {
  let due = start
  return chunks.find((chunk) => {
    const follows = due === undefined || chunk.firstPosition === due
    due = chunk.firstPosition + chunk.rows
    return !follows
  })
}

/** Every stage must have run the same rows together. */
function otherRuns(proven: ProvenChunks, end: number): string[] {
  const ticket = last(proven)
  const runs = ticket.stages.map((_, link) => marks(chunksAt(proven, placeOf(ticket, link))))
  const [ring] = runs as [(boolean | undefined)[]]
  const link = runs.findIndex((run) =>
    run.slice(0, end).some((alone, position) => ring[position] !== undefined && alone !== ring[position]),
  )
  return link > 0 ? [`link ${link}: other runs than on link ${ringLink}`] : []
}

/** Of every position whether its row was a run of its own; the last word counts. */
function marks(chunks: readonly Chunk[]): (boolean | undefined)[] {
  const alone: (boolean | undefined)[] = []
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.rows; i++) alone[chunk.firstPosition + i] = ((chunk.alone >>> i) & 1) === 1
  }
  return alone
}

/** A place's chunks by the position they begin at: of several generations' the newest, which is the one that was gone on from. */
function newest(proven: ProvenChunks, place: Place): Map<number, Chunk> {
  return new Map(chunksAt(proven, place).map((chunk) => [chunk.firstPosition, chunk]))
}

/**
 * The host signs both what it received as the prompt and what it sends round the ring, and both the tokens that it sends round
 * the ring and those that the requester gets. Chunks are cut by their steps alone, so the same rows stand in chunks that begin
 * and end alike. What two hosts signed is not compared: the tokens of one may have been taken back when the other took its place.
 */
function hostsWord(proven: ProvenChunks, expected: ExpectedRows | undefined): Findings {
  const reasons: string[] = []
  const named: Named[] = []
  const ticket = last(proven)
  const hosts = new Map(proven.tickets.map((t) => [t.generation, (t.stages.at(-1) as TicketStage).peer]))
  const ring = newest(proven, 'ring')
  const compare = (chunk: Chunk, what: string) => {
    const passedOn = ring.get(chunk.firstPosition)
    const peer = hosts.get(chunk.generation) as PeerId
    const same = passedOn?.rows === chunk.rows
    if (passedOn && hosts.get(passedOn.generation) !== peer) return
    if (same && equalBytes(passedOn.payloadHash, chunk.payloadHash)) return
    // Broken off, or not all proven: what is missing is said elsewhere.
    if (!same && !expected) return
    reasons.push(`${what} from ${chunk.firstPosition} on were not passed on as they came`)
    // In one generation nothing is taken back: both signatures stand.
    if (same && passedOn.generation === chunk.generation)
      named.push({ peer, why: `signed ${what} from ${chunk.firstPosition} on as two different things` })
  }
  // A new host gets the answer's tokens so far by the prompt's link too.
  const promptEnd = expected?.get(promptLink(ticket))?.to ?? promptEndOf(proven)
  for (const chunk of newest(proven, 'prompt').values()) if (chunk.firstPosition + chunk.rows <= promptEnd) compare(chunk, 'prompt rows')
  if (!ticket.sampling) return { reasons, named }
  // The last token is never fed back.
  const end = expected?.get(answerLink(ticket))?.to ?? 0
  for (const chunk of newest(proven, 'answer').values()) if (chunk.firstPosition + chunk.rows !== end) compare(chunk, 'tokens')
  return { reasons, named }
}

/** Where the answer's first token stands; without one everything is prompt. */
function promptEndOf(proven: ProvenChunks): number {
  const first = [...newest(proven, 'answer').keys()]
  return first.length === 0 ? Infinity : Math.min(...first)
}
