/** Medians of interleaved runs: what is compared runs turn by turn, so that a busy moment of the machine hits both. */

export function median(values: readonly number[]): number {
  const ordered = values.toSorted((a, b) => a - b)
  const middle = ordered.length >> 1
  const [low, high] = [ordered[ordered.length % 2 === 0 ? middle - 1 : middle], ordered[middle]]
  if (low === undefined || high === undefined) throw new Error('no values')
  return (low + high) / 2
}

export function quantile(values: readonly number[], q: number): number {
  const ordered = values.toSorted((a, b) => a - b)
  return ordered[Math.min(ordered.length - 1, Math.floor(q * ordered.length))] ?? Number.NaN
}

/** Median of the rounds' own ratios. */
export const medianRatio = (over: readonly number[], under: readonly number[]): number =>
  median(over.map((value, i) => value / (under[i] as number)))

/** Smallest to largest, for a table. */
export const spread = (values: readonly number[], digits = 1): string =>
  `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`

/** Each contender once a round, in an order that turns by one each round; a first round is run and thrown away. */
export async function interleaved<T, Name extends string>(
  rounds: number,
  contenders: Readonly<Record<Name, () => Promise<T>>>,
  say: (line: string) => void,
): Promise<Record<Name, T[]>> {
  const names = Object.keys(contenders) as Name[]
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, T[]>
  for (let round = -1; round < rounds; round++) {
    if (round >= 0) say(`round ${round + 1} of ${rounds}`)
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + Math.max(0, round)) % names.length] as Name
      const result = await contenders[name]()
      if (round >= 0) results[name].push(result)
    }
  }
  return results
}
