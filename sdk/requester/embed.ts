/**
 * `net.embed`: texts to vectors by a sentence encoder. Tokenised here, computed in batches that are spread over the volunteers
 * (bulk.ts), each batch one `run`; pooled and normalised here as the model's manifest says.
 */
import type { Tensor } from 'onnxruntime-common'
import type { EncoderTokenizer } from '../../models/encoder-tokenizer.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Embedding, Manifest } from '../../protocol/manifest.ts'
import type { Embedded, EmbedOptions, RunOptions, RunResult } from '../types.ts'
import { abortable } from './abortable.ts'
import { Bulk } from './bulk.ts'
import { batchesOf, encoderFeeds, pooled, type Batch } from './embed-batches.ts'
import { mapModel, type MapModel } from './map.ts'
import type { RequesterNetwork } from './network.ts'
import { pipelinesFor } from './verification.ts'
import { wait } from './wait.ts'

/** A book's paragraphs are ten thousand; more are better asked in parts, of which each can be tried again. */
export const maxTexts = 100_000
/** As for a prompt: far past what any encoder reads of one text. */
export const maxTextChars = 1_000_000
/** Tokenising stops after so long for the page to get a turn, ms. */
const turnMs = 50
/** Batches under way at most: each is some hundred milliseconds' work, so that places hardly stand empty between two. */
const mostAtOnce = 8
/** Times that a batch is tried which fails in a way that may pass. */
const tries = 5

/** An encoder, ready to be asked. */
export interface Encoder {
  readonly model: MapModel
  readonly manifest: Manifest
  readonly embedding: Embedding
  readonly tokenizer: EncoderTokenizer
}

export async function embed(network: RequesterNetwork, name: string, values: readonly string[], options: EmbedOptions): Promise<Embedded> {
  checkTexts(values, options)
  const { signal } = options
  const manifest = await network.manifest(name, signal)
  const { embedding, tokenizer: files } = manifest
  if (!embedding || !files)
    throw new ManyhandsError(
      'bad-input',
      `${manifest.name} does not make vectors of texts. Use ${manifest.decoder ? 'generate' : 'run'}().`,
    )
  const tokenizer = await abortable(network.encoderTokenizer(files), signal)
  return embedTexts({ model: await mapModel(network, name, signal), manifest, embedding, tokenizer }, values, options)
}

/** @throws ManyhandsError bad-input */
function checkTexts(values: readonly string[], { tooLong = 'cut', verify }: EmbedOptions): void {
  pipelinesFor(verify)
  if (!['cut', 'refuse'].includes(tooLong)) throw new ManyhandsError('bad-input', "tooLong takes 'cut' or 'refuse'.")
  if (!Array.isArray(values)) throw new ManyhandsError('bad-input', 'embed takes a list of texts.')
  if (values.length > maxTexts)
    throw new ManyhandsError('bad-input', `${values.length} texts were given; at most ${maxTexts} are taken at once. Ask in parts.`)
  for (const [place, text] of values.entries()) {
    if (typeof text !== 'string') throw new ManyhandsError('bad-input', `embed takes texts; number ${place} of the list is none.`)
    if (text.length > maxTextChars)
      throw new ManyhandsError('bad-input', `Text number ${place} has ${text.length} characters; at most ${maxTextChars} are taken.`)
  }
}

export async function embedTexts(encoder: Encoder, values: readonly string[], options: EmbedOptions): Promise<Embedded> {
  const { rows, cut } = await tokenised(encoder, values, options)
  const embeddings: Float32Array[] = []
  const runs: RunResult[] = []
  const total = values.length
  const bulk = inBatches(encoder, rows, options)
  try {
    for (let done = 0; ;) {
      options.onProgress?.({ done, total })
      const piece = await bulk.next()
      if (!piece) break
      if (!piece.ok) throw piece.error
      for (const { vectors, run } of piece.result) {
        for (const [place, vector] of vectors) embeddings[place] = vector
        runs.push(run)
      }
      done += piece.input.places.length
    }
  } finally {
    bulk.stop()
  }
  const receipts = Promise.all(runs.map((run) => run.receipts)).then((all) => all.flat())
  const settled = Promise.all(runs.map((run) => run.settled))
  for (const later of [receipts, settled]) later.catch(() => undefined)
  return { embeddings, promptTokens: rows.reduce((sum, ids) => sum + ids.length, 0), cut, receipts, settled }
}

/** By text its ids. */
type Rows = readonly (readonly number[])[]

/** A run, and its texts' vectors by their places. */
interface Computed {
  readonly vectors: readonly (readonly [number, Float32Array])[]
  readonly run: RunResult
}

function inBatches(encoder: Encoder, rows: Rows, { signal, verify, onCorrection }: EmbedOptions): Bulk<Batch, readonly Computed[]> {
  const { model, manifest, embedding } = encoder
  const compute = async (batch: Batch, options: Pick<RunOptions, 'signal' | 'onProgress'>): Promise<Computed> => {
    const { places, tokens } = batch
    const own = places.map((place) => rows[place] as readonly number[])
    const vectorsOf = (outputs: RunResult['outputs']) => {
      const { data, dims } = outputs[manifest.outputs[0]?.name ?? ''] as Tensor
      const lengths = own.map((ids) => ids.length)
      return pooled(data as Float32Array, dims, lengths, embedding).map((vector, i) => [places[i] as number, vector] as const)
    }
    const run = await model.run(encoderFeeds(manifest, own, tokens), {
      ...options,
      ...(verify === undefined ? {} : { verify }),
      onCorrection: ({ outputs, reason }) => onCorrection?.({ embeddings: new Map(vectorsOf(outputs)), reason }),
    })
    return { vectors: vectorsOf(run.outputs), run }
  }
  /** Tokens that nobody has refused yet. */
  let most = Infinity
  const computeAll = async (batch: Batch, options: Pick<RunOptions, 'signal' | 'onProgress'>): Promise<readonly Computed[]> => {
    const { places, tokens } = batch
    const half = Math.ceil(places.length / 2)
    try {
      if (places.length * tokens <= most || places.length === 1) return [await compute(batch, options)]
    } catch (thrown) {
      // A slow volunteer takes no more than it can compute before others take it for lost.
      if (asError(thrown).code !== 'bad-input' || places.length === 1) throw thrown
      most = Math.min(most, half * tokens)
    }
    const first = await computeAll({ places: places.slice(0, half), tokens }, options)
    return [...first, ...(await computeAll({ places: places.slice(half), tokens }, options))]
  }
  return new Bulk(
    batchesOf(rows.map((ids) => ids.length)),
    { work: (batch, _, options) => computeAll(batch, options), wait, now: () => performance.now() },
    { first: model.places, most: mostAtOnce, tries, signal },
  )
}

/** By text its ids; and the places of those that were cut. @throws ManyhandsError context-overflow, aborted */
async function tokenised(
  { tokenizer, embedding, manifest }: Encoder,
  values: readonly string[],
  { tooLong, signal }: EmbedOptions,
): Promise<{ rows: Rows; cut: number[] }> {
  const { maxTokens } = embedding
  const rows: (readonly number[])[] = []
  const cut: number[] = []
  let since = performance.now()
  for (const [place, text] of values.entries()) {
    if (performance.now() - since > turnMs) {
      await wait(0, signal)
      since = performance.now()
    }
    const { ids, cut: isCut } = tokenizer.encode(text, maxTokens)
    if (isCut && tooLong === 'refuse')
      throw new ManyhandsError(
        'context-overflow',
        `Text number ${place} has more than the ${maxTokens} tokens that ${manifest.name} takes. Shorten it, or let it be cut.`,
      )
    rows.push(ids)
    if (isCut) cut.push(place)
  }
  return { rows, cut }
}
