/**
 * `net.embed`: texts to vectors by a sentence encoder. Tokenised here, computed in batches that are spread over the volunteers
 * (bulk.ts), each batch one `run`; pooled and normalised here as the model's manifest says.
 */
import type { Tensor } from 'onnxruntime-common'
import type { EncoderTokenizer } from '../../models/encoder-tokenizer.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Embedding, Manifest } from '../../protocol/manifest.ts'
import type { Embedded, EmbedOptions, RunResult } from '../types.ts'
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
  const made: RunResult[] = []
  const total = values.length
  const bulk = inBatches(encoder, rows, options)
  try {
    for (let done = 0; ;) {
      options.onProgress?.({ done, total })
      const piece = await bulk.next()
      if (!piece) break
      if (!piece.ok) throw piece.error
      for (const [place, vector] of vectorsOf(encoder, rows, piece.input, piece.result.outputs)) embeddings[place] = vector
      made.push(piece.result)
      done += piece.input.places.length
    }
  } finally {
    bulk.stop()
  }
  const receipts = Promise.all(made.map((result) => result.receipts)).then((all) => all.flat())
  const settled = Promise.all(made.map((result) => result.settled))
  for (const later of [receipts, settled]) later.catch(() => undefined)
  return { embeddings, promptTokens: rows.reduce((sum, ids) => sum + ids.length, 0), cut, receipts, settled }
}

/** By text its ids. */
type Rows = readonly (readonly number[])[]

function inBatches(encoder: Encoder, rows: Rows, { signal, verify, onCorrection }: EmbedOptions): Bulk<Batch, RunResult> {
  const { model, manifest } = encoder
  return new Bulk(
    batchesOf(rows.map((ids) => ids.length)),
    {
      work: (batch, _, { signal, onProgress }) =>
        model.run(encoderFeeds(manifest, rowsOf(rows, batch), batch.tokens), {
          signal,
          onProgress,
          ...(verify === undefined ? {} : { verify }),
          onCorrection: ({ outputs, reason }) => onCorrection?.({ embeddings: new Map(vectorsOf(encoder, rows, batch, outputs)), reason }),
        }),
      wait,
      now: () => performance.now(),
    },
    { first: model.places, most: mostAtOnce, tries, signal },
  )
}

const rowsOf = (rows: Rows, { places }: Batch): Rows => places.map((place) => rows[place] as readonly number[])

/** A batch's vectors, each with its text's place. */
function vectorsOf(
  { manifest, embedding }: Encoder,
  rows: Rows,
  batch: Batch,
  outputs: RunResult['outputs'],
): (readonly [number, Float32Array])[] {
  const { data, dims } = outputs[manifest.outputs[0]?.name ?? ''] as Tensor
  const lengths = rowsOf(rows, batch).map((ids) => ids.length)
  return pooled(data as Float32Array, dims, lengths, embedding).map((vector, i) => [batch.places[i] as number, vector])
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
