/**
 * What of an ended session can be computed again: for every peer that was a stage of it, the rows it received and the chunks
 * it signed. From tickets and proven chunks of all generations, before anybody is asked. docs/protocol.md [AU].
 */
import type { Chunk } from '../protocol/custody.ts'
import { toHex } from '../protocol/bytes.ts'
import type { Hash, PeerId, Revision, SessionId } from '../protocol/ids.ts'
import { inputsHash } from '../protocol/shadow.ts'
import { answerLink, linkEnds, logitsLink, promptLink, ringLink, sessionLinks, type Backend, type Ticket } from '../protocol/ticket.ts'

/** An ended session, as its custody shows it. */
export interface Answered {
  /** Every generation's, in their order. */
  readonly tickets: readonly Ticket[]
  /** What both ends of a link signed, in the order of seq. */
  chunks(generation: number, link: number): readonly Chunk[]
}

export interface Party {
  readonly peer: PeerId
  readonly key: string
}

/** What a stage signed on one link, from `position` on without a gap. */
export interface SignedOutput {
  readonly link: number
  readonly position: number
  readonly chunks: readonly { readonly rows: number; readonly hash: Hash }[]
}

/** One peer's work on one stage of one session: what an audit computes again. */
export interface StageJob {
  readonly session: SessionId
  readonly revision: Revision
  readonly stage: number
  readonly first: number
  readonly end: number
  readonly last: boolean
  readonly peer: PeerId
  readonly key: string
  readonly backend: Backend
  /** The link that its rows came by, how they were cut, and what an audit must commit to of them. */
  readonly link: number
  readonly rows: number
  readonly inputCuts: readonly number[]
  readonly inputs: Hash
  readonly outputs: readonly SignedOutput[]
  /** Chunks it signed as their sender that this computes again. */
  readonly chunks: number
  /** Who may hand over the rows: the sender, where that is another, and the stage itself. */
  readonly sources: readonly Party[]
  /** Who received what it sent: another place to fetch its chunks from. */
  readonly receiver: PeerId
  readonly promptLength: number
  readonly sampling: Ticket['sampling']
  readonly maxPositions: number
  readonly maxRows: number
}

/** Chunks that stages signed as senders: what audits could reach at most. */
export function stageChunks(answered: Answered): number {
  let all = 0
  for (const ticket of answered.tickets) {
    for (const link of sessionLinks(ticket)) if (link !== promptLink(ticket)) all += answered.chunks(ticket.generation, link).length
  }
  return all
}

/** One for every peer and range that was a stage, as far as its custody reaches without a gap. */
export async function stageJobs(answered: Answered): Promise<StageJob[]> {
  const jobs: StageJob[] = []
  const seen = new Set<string>()
  for (const ticket of answered.tickets) {
    for (const { peer, blocks } of ticket.stages) {
      const name = `${peer}/${blocks.join('-')}`
      if (seen.has(name)) continue
      seen.add(name)
      const job = await jobOf(answered, peer, blocks)
      if (job) jobs.push(job)
    }
  }
  return jobs
}

/** A generation in which the peer was the stage, and its place there. */
interface Part {
  readonly ticket: Ticket
  readonly stage: number
}

/** A chunk of one generation. */
interface Dated {
  readonly generation: number
  readonly chunk: Chunk
}

async function jobOf(answered: Answered, peer: PeerId, blocks: readonly [number, number]): Promise<StageJob | undefined> {
  const parts: Part[] = answered.tickets.flatMap((ticket) => {
    const stage = ticket.stages.findIndex((s) => s.peer === peer && s.blocks[0] === blocks[0] && s.blocks[1] === blocks[1])
    return stage === -1 ? [] : [{ ticket, stage }]
  })
  const now = parts.at(-1)
  if (!now) return undefined
  const { ticket, stage } = now
  const all = (linkOf: (part: Part) => number | undefined): Dated[] =>
    parts.flatMap((part) => {
      const link = linkOf(part)
      const { generation } = part.ticket
      return link === undefined ? [] : answered.chunks(generation, link).map((chunk) => ({ generation, chunk }))
    })
  const isLast = (part: Part) => part.stage === part.ticket.stages.length - 1
  const last = isLast(now)

  const received = unbroken(
    all((part) => part.stage),
    0,
  )
  const rows = received.reduce((sum, chunk) => sum + chunk.rows, 0)
  if (rows === 0) return undefined
  const sent = (link: number, linkOf: (part: Part) => number | undefined): SignedOutput[] => {
    // A token stands at the position after the row that it was chosen from.
    const reach = last ? rows + 1 : rows
    const pieces = all(linkOf).filter(({ chunk }) => chunk.firstPosition + chunk.rows <= reach)
    if (pieces.length === 0) return []
    const position = Math.min(...pieces.map((p) => p.chunk.firstPosition))
    return [{ link, position, chunks: unbroken(pieces, position).map((c) => ({ rows: c.rows, hash: toHex(c.payloadHash) as Hash })) }]
  }
  const outputs = last
    ? [
        ...sent(answerLink(ticket), (part) => (isLast(part) ? answerLink(part.ticket) : undefined)),
        ...(ticket.sampling ? sent(logitsLink(ticket), (part) => (isLast(part) ? logitsLink(part.ticket) : undefined)) : []),
      ]
    : sent(stage + 1, (part) => (isLast(part) ? undefined : part.stage + 1))
  if (outputs.length === 0) return undefined
  // The ring carries the prompt, which its requester signed, and the answer's tokens over again; the ledger compares them.
  const ring = last
    ? all((part) => (isLast(part) ? ringLink : undefined)).filter(({ chunk }) => chunk.firstPosition + chunk.rows <= rows)
    : []

  const { key, backend } = ticket.stages[stage] as Ticket['stages'][number]
  const upstream = linkEnds(ticket, stage)?.from as PeerId
  const sender = ticket.stages.find((s) => s.peer === upstream)
  return {
    session: ticket.session,
    revision: ticket.revision,
    stage,
    first: blocks[0],
    end: blocks[1],
    last,
    peer,
    key,
    backend,
    link: stage,
    rows,
    inputCuts: received.map((c) => c.rows),
    inputs: await inputsHash(received),
    outputs,
    chunks: outputs.reduce((sum, o) => sum + o.chunks.length, 0) + ring.length,
    sources: [...(sender && sender.peer !== peer ? [{ peer: sender.peer, key: sender.key }] : []), { peer, key }],
    receiver: linkEnds(ticket, last ? answerLink(ticket) : stage + 1)?.to as PeerId,
    promptLength: promptLength(answered),
    sampling: ticket.sampling,
    maxPositions: ticket.maxPositions,
    maxRows: ticket.maxRows,
  }
}

/**
 * Chunks that follow one another from a position on, of the latest generation that has one there. One that a later generation
 * began anew inside of is stale from there on: what it held then is held no more.
 */
function unbroken(pieces: readonly Dated[], from: number): Chunk[] {
  const begins = pieces.map(({ generation, chunk }) => ({ generation, at: chunk.firstPosition }))
  const at = new Map<number, Dated>()
  for (const piece of pieces) {
    const { firstPosition, rows } = piece.chunk
    const stale = begins.some((b) => b.generation > piece.generation && b.at > firstPosition && b.at < firstPosition + rows)
    const there = at.get(firstPosition)
    if (!stale && (!there || there.generation <= piece.generation)) at.set(firstPosition, piece)
  }
  const chain: Chunk[] = []
  for (let next = at.get(from); next; next = at.get(from)) {
    chain.push(next.chunk)
    from += next.chunk.rows
  }
  return chain
}

/** Without an answer no logits are wanted of any row. */
const promptLength = (answered: Answered): number => answerFrom(answered) ?? answered.tickets[0]?.maxPositions ?? 0

/** Where the answer's first token stands: at the prompt's end. Unknown before a chunk of it is signed. */
export function answerFrom(answered: Answered): number | undefined {
  const first = answered.tickets.flatMap((ticket) =>
    answered
      .chunks(ticket.generation, answerLink(ticket))
      .slice(0, 1)
      .map((c) => c.firstPosition),
  )
  return first.length > 0 ? Math.min(...first) : undefined
}
