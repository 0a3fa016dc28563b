/** What the scenarios found, for people and as JSON. */

export interface Found {
  readonly scenario: string
  /** What was done, in a few words. */
  readonly what: string
  readonly runs: number
  /** Runs whose text was the undisturbed one; of settlement, rounds after which nothing was lost or doubled. */
  readonly right: number
  /** Milliseconds; 0 where there is no pause to measure. */
  readonly medianPauseMs: number
  readonly p95PauseMs: number
  readonly longestPauseMs: number
  /** What went wrong, the first few. */
  readonly problems: readonly string[]
}

const keptProblems = 5

export function found(
  scenario: string,
  what: string,
  pauses: readonly number[],
  right: number,
  runs: number,
  problems: readonly string[],
): Found {
  const sorted = pauses.toSorted((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0)
  return {
    scenario,
    what,
    runs,
    right,
    medianPauseMs: at(0.5),
    p95PauseMs: at(0.95),
    longestPauseMs: Math.round(sorted.at(-1) ?? 0),
    problems: problems.slice(0, keptProblems),
  }
}

export function reportLine({ scenario, what, runs, right, medianPauseMs, p95PauseMs, longestPauseMs, problems }: Found): string {
  const pause = longestPauseMs > 0 ? `; pause ${medianPauseMs} ms median, ${p95PauseMs} p95, ${longestPauseMs} longest` : ''
  return [`${scenario}: ${what}: ${right} of ${runs} right${pause}`, ...problems.map((problem) => `  ${problem}`)].join('\n')
}
