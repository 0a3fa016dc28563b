/**
 * What a run is asked for, and the world that it assumes (facts: verification.md, issue 4).
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Attack } from './attackers.ts'

export interface Options {
  readonly attack: Attack
  readonly peers: number
  readonly seed: number
  /** Stage-jobs that are counted. */
  readonly jobs: number
  /** Counted from the first minute, when nobody but the anchors is known; else after `warmUpMinutes`. */
  readonly young: boolean
  /** Who is barred comes back with a fresh key from the same address, or from a fresh one too. */
  readonly freshAddresses: boolean
}

export const world = {
  stages: 3,
  /** Stage-jobs under way per peer online: idle tabs, mostly. */
  load: 0.25,
  /** Of all peers: run by the operator, always there. */
  anchors: 0.01,
  /** Minutes: log-normal with these; nobody longer than the clock's wheel, four and a half days. */
  stayMedian: 2.7,
  stay90: 60,
  returnRate: 0.6,
  /** Minutes between visits, exponential. */
  awayMean: 12 * 60,
  /** Of stage-jobs, audits too: honest, and wrong. */
  honestFaults: 2e-4,
  /** Of comparisons of equal work. */
  falseMismatches: 1e-4,
  /** Rows of a request, log-normal; the mean takes a minute. */
  rowsMedian: 150,
  rowsSpread: 0.9,
  /** Of peers: compared by hash with each other; the others round. */
  wasm: 0.5,
  /** An ended session's rows are kept so long (design: histories of ended sessions). */
  keptMinutes: 3,
  /** Networks that people come from, per peer. */
  prefixes: 2.5,
  /** Network time before anything is counted: two days, from nobody known but the anchors. */
  warmUpMinutes: 48 * 60,
} as const

/** A day and a third at the usual load, as many as the earlier simulation. */
const jobsPerPeer = 480

export function parseOptions(args: readonly string[]): Options {
  const given = new Map<string, string>()
  for (let i = 0; i < args.length; i++) {
    const name = (args[i] as string).replace(/^--/, '')
    if (['json', 'young', 'fresh-addresses'].includes(name)) given.set(name, '')
    else if (['attackers', 'peers', 'seed', 'jobs'].includes(name) && args[i + 1] !== undefined) given.set(name, args[++i] as string)
    else throw new ManyhandsError('bad-input', `${args[i] as string}? ${usage}`)
  }
  const peers = whole(given.get('peers') ?? '20000', 'peers', 100, 1_000_000)
  return {
    attack: parseAttack(given.get('attackers') ?? 'none'),
    peers,
    seed: whole(given.get('seed') ?? '1', 'seed', 0, 2 ** 32 - 1),
    jobs: whole(given.get('jobs') ?? String(jobsPerPeer * peers), 'jobs', 1000, 1e9),
    young: given.has('young'),
    freshAddresses: given.has('fresh-addresses'),
  }
}

const usage =
  'npm run sim -- --attackers none|mixed:F|sleepers:F|cartel:F [--peers N] [--seed S] [--jobs J] [--young] [--fresh-addresses] [--json]'

function parseAttack(text: string): Attack {
  const [kind = '', share] = text.split(':')
  if (kind === 'none' && share === undefined) return { kind, share: 0 }
  const f = Number(share)
  if ((kind === 'mixed' || kind === 'sleepers' || kind === 'cartel') && share && f >= 0 && f <= 0.9) return { kind, share: f }
  throw new ManyhandsError('bad-input', `--attackers ${text}? ${usage}`)
}

function whole(text: string, name: string, least: number, most: number): number {
  const n = Number(text)
  if (Number.isSafeInteger(n) && n >= least && n <= most) return n
  throw new ManyhandsError('bad-input', `--${name} is a whole number from ${least} to ${most}, not ${text}.`)
}
