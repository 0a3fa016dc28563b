/**
 * Who audits a stage-job, and who decides when two disagree: drawn by chance among those that hold the same blocks, never one
 * of the session's own, nor anyone from their networks. Pure; chance is handed in.
 */
import { provenAuditorShare } from './policy.ts'
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
  const fit = strangersTo(candidates, session, now)
  const isNew = (c: C) => rankOf(c, now) === 'new'
  const proven = fit.filter((c) => !isNew(c))
  const [first, second] = random() < provenAuditorShare ? [proven, fit.filter(isNew)] : [fit.filter(isNew), proven]
  return draw(first, random) ?? draw(second, random)
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
    const next = draw(ranked.find((among) => among.length > 0) ?? [], random)
    if (!next) break
    chosen.push(next)
  }
  return chosen
}

function strangersTo<C extends Candidate>(candidates: readonly C[], others: readonly Known[], now: number): C[] {
  const peers = new Set(others.map(({ peer }) => peer))
  const prefixes = new Set(others.map(({ prefix }) => prefix).filter((prefix) => prefix !== undefined))
  return candidates.filter((c) => !peers.has(c.peer) && !(c.prefix !== undefined && prefixes.has(c.prefix)) && rankOf(c, now) !== 'barred')
}

/** By chance; all from one prefix together count as one, and each key barred there halves its part. */
function draw<C extends Candidate>(among: readonly C[], random: () => number): C | undefined {
  const crowd = new Map<string, number>()
  for (const { prefix } of among) if (prefix !== undefined) crowd.set(prefix, (crowd.get(prefix) ?? 0) + 1)
  const weight = ({ prefix, prefixBars }: C) => 2 ** -prefixBars / (prefix === undefined ? 1 : (crowd.get(prefix) as number))
  let left = random() * among.reduce((sum, c) => sum + weight(c), 0)
  return among.find((c) => (left -= weight(c)) < 0) ?? among.at(-1)
}
