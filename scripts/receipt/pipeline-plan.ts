/**
 * Which stage of which generation took what from whom: the order in which a replay computes them, each range of blocks
 * loaded once. docs/protocol.md [RR].
 */
import type { PeerId } from '../../protocol/ids.ts'
import type { BlockRange } from '../../protocol/manifest.ts'
import type { Backend, Ticket, TicketStage } from '../../protocol/ticket.ts'
import type { Proven } from './proofs.ts'

/** A stage of one generation. */
export interface StagePart {
  readonly ticket: Ticket
  readonly index: number
  readonly peer: PeerId
  readonly range: BlockRange
  readonly backend: Backend
  readonly isLast: boolean
  /** What its upstream computes: the same generation's stage before it; the prompt and the tokens for the first. */
  readonly upstream: StagePart | undefined
  /** The same blocks in the generation before, whose rows it has up to `from`: its own, or as a standby somebody else's. */
  readonly kept: StagePart | undefined
  /** First position that this generation's upstream sent. */
  readonly from: number
}

/** Parts of the same blocks, in the order of their generations; what a part takes in stands before it. */
export interface RangePlan {
  readonly range: BlockRange
  readonly parts: readonly StagePart[]
}

export function planReplay(tickets: readonly Ticket[], proven: readonly Proven[]): RangePlan[] {
  const parts: StagePart[] = []
  let before: StagePart[] = []
  for (const ticket of tickets) {
    const now: StagePart[] = []
    for (const [index, stage] of ticket.stages.entries()) {
      const kept = before.find(({ range }) => range.first === stage.blocks[0] && range.end === stage.blocks[1])
      const sent = proven.find(({ chunk }) => chunk.generation === ticket.generation && chunk.link === index)
      now.push({
        ...partOf(ticket, stage, index),
        upstream: now[index - 1],
        kept,
        // Nothing was sent: the generation ended before, and what was kept is all there is.
        from: kept ? (sent?.chunk.firstPosition ?? Number.POSITIVE_INFINITY) : 0,
      })
    }
    parts.push(...now)
    before = now
  }
  const plans = new Map<string, StagePart[]>()
  for (const part of parts) {
    const key = `${part.range.first} ${part.range.end}`
    plans.set(key, [...(plans.get(key) ?? []), part])
  }
  return [...plans.values()]
    .map((group) => ({ range: (group[0] as StagePart).range, parts: group }))
    .sort((a, b) => a.range.first - b.range.first || a.range.end - b.range.end)
}

const partOf = (ticket: Ticket, { peer, blocks: [first, end], backend }: TicketStage, index: number) => ({
  ticket,
  index,
  peer,
  range: { first, end },
  backend,
  isLast: index === ticket.stages.length - 1,
})
