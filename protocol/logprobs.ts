/**
 * How likely the model found a token, and what it found likeliest in its place: told beside a token by the last stage, of the
 * model's own distribution (temperature 1, no nucleus). Nobody signs or repeats it. docs/protocol.md [LP].
 */
import * as v from 'valibot'
import { ManyhandsError } from './errors.ts'
import { maxTopLogprobs } from './limits.ts'

/** A natural logarithm of a probability: finite, and never above 0. */
const logprob = v.pipe(v.number(), v.finite(), v.maxValue(0))
const tokenId = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 31 - 1))

export const tokenOddsSchema = v.strictObject({
  /** Of the token that was chosen. */
  logprob,
  /** The likeliest ids, likeliest first; the chosen one may be among them. */
  top: v.pipe(v.array(v.strictTuple([tokenId, logprob])), v.maxLength(maxTopLogprobs)),
})
export type TokenOdds = v.InferOutput<typeof tokenOddsSchema>

/**
 * @param logits f32 [vocab], all finite
 * @param id the token that was chosen from them
 * @param count of the likeliest to tell
 */
export function tokenOdds(logits: Float32Array, id: number, count: number): TokenOdds {
  const top = likeliest(logits, count)
  let max = -Infinity
  for (const x of logits) if (x > max) max = x
  let sum = 0
  for (const x of logits) sum += Math.exp(x - max)
  const logSum = Math.log(sum)
  const odds = (of: number) => Math.min(0, (logits[of] as number) - max - logSum)
  return { logprob: odds(id), top: top.map((of) => [of, odds(of)]) }
}

/** What a requester asked for, of a model's vocabulary. */
export interface OddsWanted {
  readonly count: number
  readonly vocab: number
}

/** @throws ManyhandsError bad-message where they are missing, of another number of tokens, or of none of the vocabulary's */
export function checkOdds(odds: TokenOdds | undefined, { count, vocab }: OddsWanted): TokenOdds {
  const fits = odds?.top.length === Math.min(count, vocab) && odds.top.every(([id]) => id < vocab)
  if (odds && fits) return odds
  throw new ManyhandsError('bad-message', 'A token came without the odds that were asked for.')
}

/** Ids of the largest logits, largest first; of equals the lowest id first. */
function likeliest(logits: Float32Array, count: number): number[] {
  const ids: number[] = []
  for (let id = 0; id < logits.length && count > 0; id++) {
    const x = logits[id] as number
    if (ids.length === count && !(x > (logits[ids[count - 1] as number] as number))) continue
    let at = ids.length
    while (at > 0 && x > (logits[ids[at - 1] as number] as number)) at--
    ids.splice(at, 0, id)
    if (ids.length > count) ids.pop()
  }
  return ids
}
