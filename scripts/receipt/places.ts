/**
 * Where a chunk travelled, in words that hold over reroutes: links are numbered by a generation's stages, but the ring, the
 * prompt, the answer, the logits and the cut before a block stay what they are.
 */
import type { Chunk } from '../../protocol/custody.ts'
import type { PeerId } from '../../protocol/ids.ts'
import { answerLink, linkEnds, logitsLink, promptLink, ringLink, type LinkEnds, type Ticket } from '../../protocol/ticket.ts'

/** What the link carries; for an inner one the block that begins behind it. */
export type Place = 'ring' | 'prompt' | 'answer' | 'logits' | `cut ${number}`

/** Undefined when the session has no such link. */
export function placeOf(ticket: Ticket, link: number): Place | undefined {
  if (!linkEnds(ticket, link)) return undefined
  if (link === ringLink) return 'ring'
  if (link === promptLink(ticket)) return 'prompt'
  if (link === answerLink(ticket)) return 'answer'
  if (link === logitsLink(ticket)) return 'logits'
  return `cut ${ticket.stages[link]?.blocks[0] ?? 0}`
}

export const shortId = (id: string): string => id.slice(0, 8)

/** `stage 2 (12ab34cd)` or `the requester (…)`. Stages are counted from one wherever people read them. */
export function partyText(ticket: Ticket, peer: PeerId, index?: number): string {
  const i = index ?? ticket.stages.findIndex((stage) => stage.peer === peer)
  return i < 0 ? `the requester (${shortId(peer)})` : `stage ${i + 1} (${shortId(peer)})`
}

/** `link 2 (stage 2 to stage 3)`. */
export function linkText(ticket: Ticket, link: number): string {
  const stages = ticket.stages.length
  const name: Partial<Record<Place, string>> = {
    ring: `ring, stage ${stages} to stage 1`,
    prompt: `prompt, requester to stage ${stages}`,
    answer: `answer, stage ${stages} to requester`,
    logits: `logits of stage ${stages}`,
  }
  const place = placeOf(ticket, link)
  return `link ${link} (${(place && name[place]) ?? `stage ${link} to stage ${link + 1}`})`
}

/** The rows from `first` up to, not including, `end`. */
export const rowsText = (first: number, end: number): string => (end - first === 1 ? `row ${first}` : `rows ${first} to ${end - 1}`)

/** Which chunk, for people. */
export const chunkText = (ticket: Ticket, { generation, link, seq, firstPosition, rows }: Chunk): string =>
  `generation ${generation}, ${linkText(ticket, link)}, chunk ${seq} (${rowsText(firstPosition, firstPosition + rows)})`

/** The two ends' keys, by the ticket. */
export function endKeys(ticket: Ticket, ends: LinkEnds): { readonly from: string; readonly to: string } {
  const keyOf = (peer: PeerId) => [ticket.requester, ...ticket.stages].find((party) => party.peer === peer)?.key ?? ''
  return { from: keyOf(ends.from), to: keyOf(ends.to) }
}
