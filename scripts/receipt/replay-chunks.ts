/** A stage's signed chunks on one of its links against what its blocks give: equal, different, or not to be compared and why. */
import { equalBytes, type Bytes } from '../../protocol/bytes.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import { counted, judged, open, type Check } from './checks.ts'
import { chunkText, shortId } from './places.ts'
import type { StagePart } from './pipeline-plan.ts'
import type { Proven } from './proofs.ts'
import type { Standing } from './stage-replay.ts'

/** What we computed for these positions, up to, not including, `end`; undefined for rows that the answer does not have. */
export type Ours = (position: number, end: number) => { readonly bytes: Bytes; readonly standing: Standing } | undefined

const reasons = {
  rounded: 'a GPU rounds otherwise',
  'after a difference': 'they follow from what differs above',
  'given up': 'they rest on tokens that were given up after a reroute',
} as const

/** @returns also the first position that differs, or infinity */
export async function compareChunks(
  part: StagePart,
  link: number,
  proven: readonly Proven[],
  ours: Ours,
): Promise<{ readonly check: Check; readonly from: number }> {
  const wrong: string[] = []
  const skipped = new Map<keyof typeof reasons, number>()
  const skip = (why: keyof typeof reasons) => void skipped.set(why, (skipped.get(why) ?? 0) + 1)
  let equal = 0
  let from = Number.POSITIVE_INFINITY
  for (const { chunk, ticket } of proven) {
    if (ticket !== part.ticket || chunk.link !== link) continue
    const mine = ours(chunk.firstPosition, chunk.firstPosition + chunk.rows)
    if (!mine) skip('given up')
    else if (mine.standing !== 'exact') skip(mine.standing)
    else if (equalBytes(await sha256Bytes(mine.bytes), chunk.payloadHash)) equal += 1
    else {
      from = Math.min(from, chunk.firstPosition)
      wrong.push(`${chunkText(ticket, chunk)}: not what ${whose(part)} should have sent`)
    }
  }
  const not = [...skipped].map(([why, n]) => `; ${counted(n, 'chunk')} not comparable by hash: ${reasons[why]}`).join('')
  const says = `${counted(equal, 'chunk')} equal bit for bit${not}`
  const name = `replay, ${part.isLast ? 'logits of ' : ''}stage ${part.index + 1}${part.ticket.generation > 0 ? `, generation ${part.ticket.generation}` : ''}`
  const isOpen = wrong.length === 0 && skipped.has('after a difference')
  return { check: isOpen ? open(name, says) : judged(name, wrong, says), from }
}

/** `stage 2 (12ab34cd), blocks 11 to 20 on wasm,` as a sentence's subject. */
export const whose = ({ index, peer, range, backend }: StagePart): string =>
  `stage ${index + 1} (${shortId(peer)}, blocks ${range.first + 1} to ${range.end} on ${backend})`
