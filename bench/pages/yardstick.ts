/** What every engine under measurement can be told, ours and others'. Times are the engine's alone: no tokenizer, no network. */

export interface YardstickSetup {
  /** Base URL of everything, ending in a slash; see bench/site.ts for what lies there. */
  readonly base: string
  readonly threads: number
}

export interface PassTimes {
  readonly promptTokens: number
  readonly promptMs: number
  readonly answerTokens: number
  readonly answerMs: number
}

export interface Yardstick {
  /** @returns what it is, with versions and the threads in use */
  load(setup: YardstickSetup): Promise<string>
  /** Reads a prompt of that many tokens, then decodes greedily, whatever the tokens say. */
  pass(promptTokens: number, answerTokens: number): Promise<PassTimes>
}

/** A prompt of exactly `count` ids; what it says does not change how long it takes. */
export async function promptIds(base: string, count: number): Promise<number[]> {
  const ids = (await (await fetch(`${base}material/prompt.json`)).json()) as number[]
  return Array.from({ length: count }, (_, i) => ids[i % ids.length] as number)
}

export function likeliest(logits: ArrayLike<number>, from: number): number {
  let best = from
  for (let i = from + 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i
  return best - from
}
