/**
 * Who audits a stage-job, and who decides when two disagree: drawn by chance among those that hold the same blocks, never one
 * of the session's own, nor anyone from their networks. Pure; chance is handed in.
 */
import { newcomersCompared, provenAuditorShare } from './policy.ts'
import { rankOf, type Known } from './standing.ts'

export interface Candidate extends Known {
  /** Its results are compared by hash with other wasm peers'. */
  readonly wasm: boolean
}

/** @param session those who took part in it, the requester too */
export function chooseAuditor<C extends Candidate>(
  candidates: readonly C[],
  session: readonly Known[],
  now: number,
  random: () => number,
): C | undefined {
  const proven: C[] = []
  const newcomers: C[] = []
  for (const c of strangersTo(candidates, session, now)) (rankOf(c, now) === 'new' ? newcomers : proven).push(c)
  const byProven = proven.length > 0 && (newcomers.length === 0 || random() < provenAuditorShare)
  return byProven ? lots(proven)(random) : furthest(newcomers, random)
}

/** Nobody can tell who it will be, but those who stay get through. */
function furthest<C extends Candidate>(newcomers: readonly C[], random: () => number): C | undefined {
  const draw = lots(newcomers)
  let best = draw(random)
  for (let i = 1; best && i < newcomersCompared; i++) {
    const next = draw(random) as C
    if (next.standing.agreements > best.standing.agreements) best = next
  }
  return best
}

/**
 * Anchors before proven peers before newcomers, each from a network of its own, one of them with wasm where there is any:
 * its results repeat to the bit.
 * @param involved who took part in the session, and who has voted
 */
export function chooseReferees<C extends Candidate>(
  candidates: readonly C[],
  involved: readonly Known[],
  count: number,
  now: number,
  random: () => number,
): C[] {
  const chosen: C[] = []
  for (let i = 0; i < count; i++) {
    const fit = strangersTo(candidates, [...involved, ...chosen], now)
    const wasm = chosen.some((c) => c.wasm) ? [] : fit.filter((c) => c.wasm)
    const ranked = (['anchor', 'proven', 'new'] as const).flatMap((rank) =>
      [wasm, fit].map((among) => among.filter((c) => rankOf(c, now) === rank)),
    )
    const next = lots(ranked.find((among) => among.length > 0) ?? [])(random)
    if (!next) break
    chosen.push(next)
  }
  return chosen
}

function strangersTo<C extends Candidate>(candidates: readonly C[], others: readonly Known[], now: number): C[] {
  const isOther = (c: C) => others.some((other) => other.peer === c.peer || (c.prefix !== undefined && other.prefix === c.prefix))
  return candidates.filter((c) => !isOther(c) && rankOf(c, now) !== 'barred')
}

/** To draw from by chance: all from one prefix together count as one, and each key barred there halves its part. */
function lots<C extends Candidate>(among: readonly C[]): (random: () => number) => C | undefined {
  const crowd = new Map<string, number>()
  for (const { prefix } of among) if (prefix !== undefined) crowd.set(prefix, (crowd.get(prefix) ?? 0) + 1)
  let total = 0
  const upTo = among.map(({ prefix, prefixBars }) => {
    total += 2 ** -prefixBars / (prefix === undefined ? 1 : (crowd.get(prefix) as number))
    return total
  })
  return (random) => {
    const at = random() * total
    return among[upTo.findIndex((end) => at < end)] ?? among.at(-1)
  }
}
