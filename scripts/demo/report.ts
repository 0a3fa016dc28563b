/** What the demo shows at its end: a table for people, one line of JSON for programs. */
import { table } from '../../models/cli-text.ts'
import type { Answer } from './ask.ts'

/** One of `values`, ordered: half of them are smaller at 0.5. */
export function quantile(values: readonly number[], q: number): number {
  const ordered = values.toSorted((a, b) => a - b)
  return ordered[Math.min(ordered.length - 1, Math.floor(q * ordered.length))] ?? 0
}

export function reportTable({ stages, tokensPerSecond, firstTokenMs, hopMs, tokenIds, receipt }: Answer): string {
  const stageRows = stages.map(({ peer, blocks: [first, end], backend }, i) => [
    String(i + 1),
    `${first + 1} to ${end}`,
    peer.slice(0, 8),
    backend,
  ])
  const speed =
    tokenIds.length > 1 ? `${tokensPerSecond.toFixed(1)} tokens/s, the first after ${seconds(firstTokenMs)}` : seconds(firstTokenMs)
  const facts = [['speed', speed]]
  if (hopMs.length > 0)
    facts.push(['a hop adds', `${quantile(hopMs, 0.5).toFixed(2)} ms (median), ${quantile(hopMs, 0.95).toFixed(2)} ms (p95)`])
  facts.push(['custody', `${receipt.custody.checked} link-chunks checked, ${receipt.custody.failed} failed`])
  facts.push(['receipt', `${receipt.status}, signed by the server`])
  return `${table(['stage', 'blocks', 'peer', 'backend'], stageRows)}\n${facts.map(([name, value]) => `${name?.padEnd(12)}${value}\n`).join('')}`
}

export function reportJson(model: string, answer: Answer): string {
  const { text, tokenIds, finish, stages, tokensPerSecond, hopMs, receipt } = answer
  const hops = hopMs.length > 0 ? { median: round(quantile(hopMs, 0.5)), p95: round(quantile(hopMs, 0.95)) } : { median: null, p95: null }
  const { checked, failed } = receipt.custody
  return JSON.stringify({
    model,
    text,
    tokenIds,
    finish,
    stages: stages.map(({ peer, blocks, backend }) => ({ peer, blocks, backend })),
    tokensPerSecond: round(tokensPerSecond),
    hopMs: hops,
    custody: { checked, failed },
    receipt,
  })
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`
const round = (x: number) => Math.round(x * 1000) / 1000
