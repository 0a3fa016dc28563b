/**
 * Texts, as token ids, into batches that are computed together, and what comes back into one vector for each. Pure; the
 * asking is in embed.ts.
 */
import { Tensor } from 'onnxruntime-common'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Embedding, Manifest } from '../../protocol/manifest.ts'
import { feedSpecs } from '../../worker/ring/step-tensors.ts'

/** A batch's ids with padding: a second's work for a small processor, whose worker hears nothing meanwhile; 0.8 MB at each cut for 384 numbers a token. */
export const maxBatchTokens = 512
/** Past that a batch is hardly computed faster for each text, and a progress bar stands still. */
export const maxBatchTexts = 32
/** Any id does where the mask says that nothing stands. */
const padding = 0

/** Places of the texts that are computed together, and the longest one's tokens: the others are filled up to it. */
export interface Batch {
  readonly places: readonly number[]
  readonly tokens: number
}

/** Neighbours in length go together, the longest first, so that the last ones to be done are short. */
export function batchesOf(lengths: readonly number[]): Batch[] {
  const byLength = lengths.map((_, place) => place).sort((a, b) => (lengths[b] as number) - (lengths[a] as number) || a - b)
  const batches: { places: number[]; tokens: number }[] = []
  for (const place of byLength) {
    const last = batches.at(-1)
    const fits = last && last.places.length < maxBatchTexts && (last.places.length + 1) * last.tokens <= maxBatchTokens
    if (fits) last.places.push(place)
    else batches.push({ places: [place], tokens: lengths[place] as number })
  }
  return batches
}

type Rows = readonly (readonly number[])[]

/**
 * What an encoder is fed, by its inputs' names, as BERT's and its kin's are everywhere: `input_ids`, `attention_mask` and
 * `token_type_ids`, int64 [texts, tokens].
 * @throws ManyhandsError unsupported for an encoder that wants something else
 */
export function encoderFeeds(manifest: Manifest, rows: Rows, tokens: number): Record<string, Tensor> {
  const named = feedSpecs(manifest).map(({ name, dtype }) => {
    const value = feeds[name]
    if (!value || dtype !== 'int64')
      throw new ManyhandsError('unsupported', `${manifest.name} wants the input ${name}, which embed() does not know. Use run().`)
    const values = BigInt64Array.from(
      rows.flatMap((ids) => Array.from({ length: tokens }, (_, i) => (i < ids.length ? value(ids[i] as number) : padding))),
      BigInt,
    )
    return [name, new Tensor('int64', values, [rows.length, tokens])] as const
  })
  return Object.fromEntries(named)
}

/** What an input holds where a token stands; where none does it is 0. */
const feeds: Readonly<Record<string, (id: number) => number>> = {
  input_ids: (id) => id,
  attention_mask: () => 1,
  token_type_ids: () => 0,
}

/**
 * @param states f32 [texts, tokens, width], of which a text's own tokens come first
 * @param lengths by text: how many those are
 * @throws ManyhandsError bad-message when the result has another shape
 */
export function pooled(
  states: Float32Array,
  dims: readonly number[],
  lengths: readonly number[],
  { pooling, normalize }: Embedding,
): Float32Array[] {
  const [texts = 0, tokens = 0, width = 0] = dims
  if (dims.length !== 3 || texts !== lengths.length || lengths.some((length) => length > tokens))
    throw new ManyhandsError('bad-message', `The model answered with [${dims.join(', ')}] for ${lengths.length} texts.`)
  return lengths.map((length, text) => {
    const vector = new Float64Array(width)
    const counted = pooling === 'mean' ? length : 1
    for (let token = 0; token < counted; token++) {
      const at = (text * tokens + token) * width
      for (let i = 0; i < width; i++) vector[i] = (vector[i] as number) + (states[at + i] as number) / counted
    }
    // As sentence-transformers does it: never divided by nothing.
    const size = normalize ? Math.max(Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0)), smallest) : 1
    return Float32Array.from(vector, (x) => x / size)
  })
}

const smallest = 1e-12
