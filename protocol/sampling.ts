/**
 * Choosing the next token so that anyone can repeat it: greedy, or Gumbel-max with noise that is a function of (seed,
 * position, token id) alone. No generator has a state, so a replay or an audit draws the same noise. docs/protocol.md [SM].
 */
import * as v from 'valibot'
import { ManyhandsError } from './errors.ts'

/** How tokens are chosen; part of the session's ticket, so that whoever repeats the work chooses alike. */
export const samplingSchema = v.strictObject({
  /** 0 is greedy. */
  temperature: v.pipe(v.number(), v.minValue(0), v.maxValue(10)),
  /** Nucleus: the fewest likeliest tokens that together reach this probability. 1 is off. */
  topP: v.pipe(v.number(), v.gtValue(0), v.maxValue(1)),
  seed: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 32 - 1)),
})
export type Sampling = v.InferOutput<typeof samplingSchema>

/** 32-bit finaliser of MurmurHash3: every input bit reaches every output bit. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** A 32-bit word from (seed, position, id): three rounds of {@link mix}, each fed one of them. */
export function noiseWord(seed: number, position: number, id: number): number {
  return mix((mix((mix((seed ^ 0x9e3779b9) >>> 0) ^ position) >>> 0) ^ id) >>> 0)
}

const ln2 = 0.6931471805599453
const view = new DataView(new ArrayBuffer(8))

/**
 * Natural logarithm of a normal x > 0 by + - * / alone (IEEE-exact operations), so that every engine agrees to the bit:
 * x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh(s), s = (m-1)/(m+1), eleven terms of the series.
 */
export function exactLog(x: number): number {
  view.setFloat64(0, x)
  const high = view.getUint32(0)
  let e = ((high >>> 20) & 0x7ff) - 1023
  view.setUint32(0, (high & 0x000fffff) | 0x3ff00000)
  let m = view.getFloat64(0)
  if (m > 1.4142135623730951) {
    m /= 2
    e += 1
  }
  const s = (m - 1) / (m + 1)
  const z = s * s
  let sum = 0
  for (let k = 21; k >= 1; k -= 2) sum = sum * z + 1 / k
  return e * ln2 + 2 * s * sum
}

/**
 * e^x for -745 < x <= 0 by the same operations: x = k ln 2 + r, |r| <= ln 2 / 2, fourteen terms of the series, halved -k times.
 * Below -700 it is 0.
 */
export function exactExp(x: number): number {
  if (x < -700) return 0
  const k = Math.round(x / ln2)
  const r = x - k * ln2
  let sum = 1
  for (let n = 13; n >= 1; n--) sum = 1 + (sum * r) / n
  view.setUint32(0, (1023 + k) << 20)
  view.setUint32(4, 0)
  return sum * view.getFloat64(0)
}

/** Standard Gumbel noise for one candidate: -ln(-ln u), u = (word + 1/2) / 2^32. */
export const gumbel = (seed: number, position: number, id: number): number =>
  -exactLog(-exactLog((noiseWord(seed, position, id) + 0.5) / 4294967296))

/** The best-scored id; of equals the lowest. @throws ManyhandsError not-finite when a logit is NaN or infinite */
export function argMax(logits: Float32Array): number {
  let best = 0
  let bestScore = -Infinity
  for (let i = 0; i < logits.length; i++) {
    const score = logits[i] as number
    if (score > bestScore) {
      bestScore = score
      best = i
    }
    // NaN fails every comparison, so it must be looked for; infinities are looked for with it.
    if (score - score !== 0) throw new ManyhandsError('not-finite', 'The model produced a logit that is not a finite number.')
  }
  return best
}

/**
 * The token at `position` (the position it will take).
 * @param logits f32 [vocab]
 * @throws ManyhandsError not-finite
 */
export function sampleToken(logits: Float32Array, position: number, { temperature, topP, seed }: Sampling): number {
  const top = argMax(logits)
  if (temperature === 0) return top
  const candidates = topP < 1 ? nucleus(logits, logits[top] as number, temperature, topP) : logits.keys()
  let best = top
  let bestScore = -Infinity
  for (const id of candidates) {
    const score = (logits[id] as number) / temperature + gumbel(seed, position, id)
    if (score > bestScore) {
      bestScore = score
      best = id
    }
  }
  return best
}

/** Ids of the fewest likeliest tokens whose probabilities reach topP, likeliest first, equals by id. */
function nucleus(logits: Float32Array, max: number, temperature: number, topP: number): number[] {
  let total = 0
  const weights = new Float64Array(logits.length)
  for (let i = 0; i < logits.length; i++) total += weights[i] = exactExp(((logits[i] as number) - max) / temperature)
  // Only tokens within e^-30 of the best can matter at topP < 1; sorting those few is cheap.
  const ids: number[] = []
  for (let i = 0; i < weights.length; i++) if ((weights[i] as number) > 1e-13) ids.push(i)
  ids.sort((a, b) => (weights[b] as number) - (weights[a] as number) || a - b)
  let reached = 0
  const kept: number[] = []
  for (const id of ids) {
    kept.push(id)
    reached += weights[id] as number
    if (reached >= topP * total) break
  }
  return kept
}
