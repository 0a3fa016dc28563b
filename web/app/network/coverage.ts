/** Who serves which blocks, as a picture and as a sentence: the runs that the server tells, in so many bars at most. Pure. */
import { m } from '../../paraglide/messages.js'
import type { Coverage } from '../../../protocol/overview.ts'
import { blocks, count } from '../words/numbers.ts'

/** More bars than this are lines. */
export const mostBars = 64

/** Runs of blocks, a longer row of them drawn together: each bar shows its weakest run, since that is what a model depends on. */
export function barsOf(runs: readonly Coverage[], most = mostBars): Coverage[] {
  if (runs.length <= most) return [...runs]
  const end = runs.at(-1)?.blocks[1] ?? 0
  const bars: Coverage[] = []
  for (let i = 0; i < most; i++) {
    const [from, to] = [Math.floor((i * end) / most), Math.floor(((i + 1) * end) / most)]
    if (to === from) continue
    const inside = runs.filter((run) => run.blocks[0] < to && run.blocks[1] > from)
    const weakest = inside.reduce((a, b) => (b.ready < a.ready || (b.ready === a.ready && b.holders < a.holders) ? b : a))
    bars.push({ ...weakest, blocks: [from, to] })
  }
  return bars
}

/** Shares of the full height, by the logarithm: one volunteer is seen beside a thousand. */
export function heightsOf({ holders, ready, proven }: Coverage, mostHolders: number): { proven: number; ready: number; loading: number } {
  if (holders === 0) return { proven: 0, ready: 0, loading: 0 }
  const height = Math.log2(1 + holders) / Math.log2(1 + Math.max(1, mostHolders))
  const share = (n: number) => (height * n) / holders
  return { proven: share(proven), ready: share(ready - proven), loading: share(holders - ready) }
}

/** How well a model is covered, for those who do not see the picture. */
export function coverageSentence(title: string, runs: readonly Coverage[]): string {
  const most = Math.max(0, ...runs.map(({ ready }) => ready))
  const least = Math.min(...runs.map(({ ready }) => ready))
  if (most === 0) return m.network_coverage_label({ title, words: m.network_coverage_nobody() })
  if (least > 0) return m.network_coverage_label({ title, words: m.network_coverage_whole({ n: least, most: count(most) }) })
  const missing = joined(runs.filter(({ ready }) => ready === 0))
  const named = missing.slice(0, 3).map(blocks).join(', ') + (missing.length > 3 ? ' …' : '')
  return m.network_coverage_label({ title, words: m.network_coverage_missing({ blocks: named, most: count(most) }) })
}

/** Neighbours as one. */
function joined(runs: readonly Coverage[]): [number, number][] {
  const whole: [number, number][] = []
  for (const {
    blocks: [from, to],
  } of runs) {
    const last = whole.at(-1)
    if (last && last[1] === from) last[1] = to
    else whole.push([from, to])
  }
  return whole
}
