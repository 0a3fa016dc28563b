/**
 * `net.embed`: texts to vectors by a sentence encoder. Tokenised here, computed in batches that several pipelines share out among
 * them, each batch one `run`; pooled and normalised here as the model's manifest says.
 */
import type { Tensor } from 'onnxruntime-common'
import type { EncoderTokenizer } from '../../models/encoder-tokenizer.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import type { Embedding, Manifest } from '../../protocol/manifest.ts'
import { packTensors } from '../../protocol/tensors.ts'
import type { Embedded, EmbedOptions, RunResult } from '../types.ts'
import { abortable } from './abortable.ts'
import { batchesOf, encoderFeeds, pooled } from './embed-batches.ts'
import { inLanes } from './lanes.ts'
import type { RequesterNetwork } from './network.ts'
import { runJob } from './run.ts'
import type { SessionSource } from './session-source.ts'
import { pipelinesFor } from './verification.ts'

/** A book's paragraphs are ten thousand; more are better asked in parts, of which each can be tried again. */
export const maxTexts = 100_000
/** As for a prompt: far past what any encoder reads of one text. */
export const maxTextChars = 1_000_000
/** Texts tokenised before the page gets a turn: a few milliseconds' work. */
const tokenisedAtOnce = 64

/** An encoder, ready to be asked. */
export interface Encoder {
  readonly revision: Revision
  readonly manifest: Manifest
  readonly embedding: Embedding
  readonly tokenizer: EncoderTokenizer
}

export async function embed(network: RequesterNetwork, model: string, values: readonly string[], options: EmbedOptions): Promise<Embedded> {
  checkTexts(values, options)
  const revision = await network.revision(model, options.signal)
  const manifest = await network.manifest(revision, options.signal)
  const { embedding, tokenizer: files } = manifest
  if (!embedding || !files)
    throw new ManyhandsError(
      'bad-input',
      `${manifest.name} does not make vectors of texts. Use ${manifest.decoder ? 'generate' : 'run'}().`,
    )
  const tokenizer = await abortable(network.encoderTokenizer(files), options.signal)
  return embedTexts(network, { revision, manifest, embedding, tokenizer }, values, options)
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

export async function embedTexts(
  source: SessionSource,
  encoder: Encoder,
  values: readonly string[],
  options: EmbedOptions,
): Promise<Embedded> {
  const { revision, manifest, embedding } = encoder
  const { rows, cut } = await tokenised(encoder, values, options)
  const results = manifest.outputs.filter(({ role }) => role === 'result')
  const embeddings: Float32Array[] = []
  const made: RunResult[] = []
  let done = 0
  options.onProgress?.({ done, total: values.length })
  await inLanes(
    batchesOf(rows.map((ids) => ids.length)),
    async ({ places, tokens }, signal) => {
      const batch = places.map((place) => rows[place] as readonly number[])
      const vectors = (outputs: RunResult['outputs']) => {
        const { data, dims } = outputs[results[0]?.name ?? ''] as Tensor
        const lengths = batch.map((ids) => ids.length)
        return pooled(data as Float32Array, dims, lengths, embedding).map((vector, i) => [places[i] as number, vector] as const)
      }
      const feeds = encoderFeeds(manifest, batch, tokens)
      const result = await runJob(source, {
        revision,
        feeds: packTensors(feeds),
        feedTensors: feeds.length,
        results,
        pipelines: pipelinesFor(options.verify),
        options: {
          signal,
          onCorrection: ({ outputs, reason }) => options.onCorrection?.({ embeddings: new Map(vectors(outputs)), reason }),
        },
      })
      for (const [place, vector] of vectors(result.outputs)) embeddings[place] = vector
      made.push(result)
      options.onProgress?.({ done: (done += places.length), total: values.length })
    },
    options.signal,
  )
  const receipts = Promise.all(made.map((result) => result.receipts)).then((all) => all.flat())
  const settled = Promise.all(made.map((result) => result.settled))
  for (const later of [receipts, settled]) later.catch(() => undefined)
  return { embeddings, promptTokens: rows.reduce((sum, ids) => sum + ids.length, 0), cut, receipts, settled }
}

/** By text its ids; and the places of those that were cut. @throws ManyhandsError context-overflow, aborted */
async function tokenised({ tokenizer, embedding, manifest }: Encoder, values: readonly string[], { tooLong, signal }: EmbedOptions) {
  const { maxTokens } = embedding
  const rows: (readonly number[])[] = []
  const cut: number[] = []
  for (const [place, text] of values.entries()) {
    if (place % tokenisedAtOnce === tokenisedAtOnce - 1) await abortable(new Promise((resolve) => setTimeout(resolve)), signal)
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
