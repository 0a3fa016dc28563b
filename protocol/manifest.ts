/**
 * The manifest: everything a stranger needs to run a part of a model and to check what it did. Its canonical JSON's hash
 * is the model's revision, the same for every importer; the publisher signs beside it (see `Publication`).
 */
import * as v from 'valibot'
import { ManyhandsError } from './errors.ts'
import { hashJson } from './hash.ts'
import { isHash, type Hash, type Revision } from './ids.ts'
import {
  maxBlocks,
  maxGoldenBytes,
  maxGraphBytes,
  maxPositions,
  maxShardBytes,
  maxShards,
  maxTensorsAtCut,
  maxTokenizerBytes,
} from './limits.ts'
import { dtypes, maxRank } from './tensors.ts'

const hash = v.custom<Hash>(isHash, 'expected 64 hex digits')
const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
const text = (most: number) => v.pipe(v.string(), v.maxLength(most))
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(512))

export const blobRefSchema = v.strictObject({ hash, bytes: count(maxShardBytes) })
/** A content-addressed file: its SHA-256 and its exact size in bytes. */
export type BlobRef = v.InferOutput<typeof blobRefSchema>

const sized = (most: number) => v.strictObject({ hash, bytes: count(most) })

const tensorSpec = {
  name,
  dtype: v.picklist(dtypes),
  /** A number is fixed; text is symbolic (`batch_size`, `sequence_length`). */
  shape: v.pipe(v.array(v.union([count(2 ** 31 - 1), text(128)])), v.maxLength(maxRank)),
}

export const inputSpecSchema = v.strictObject({
  ...tensorSpec,
  /** Where a stage gets it: from the requester, or made on the spot from position and rows, or from its own cache. */
  role: v.picklist(['feed', 'tokens', 'mask', 'positions', 'past']),
})
export const outputSpecSchema = v.strictObject({ ...tensorSpec, role: v.picklist(['result', 'logits', 'present']) })
export type InputSpec = v.InferOutput<typeof inputSpecSchema>
export type OutputSpec = v.InferOutput<typeof outputSpecSchema>

const cutSchema = v.strictObject({
  /** The tensors that cross here, in wire order. */
  tensors: v.pipe(v.array(v.strictObject(tensorSpec)), v.minLength(1), v.maxLength(maxTensorsAtCut)),
})
export type Cut = v.InferOutput<typeof cutSchema>

const blockSchema = v.strictObject({
  /** Indices into `shards`: the weights that this block's nodes read. Several blocks may share one. */
  shards: v.pipe(v.array(count(maxShards)), v.maxLength(maxShards)),
  /** Bytes the block's own weights take in memory when lowered to f32 (shared ones counted in each block). */
  residentBytes: count(Number.MAX_SAFE_INTEGER),
  /** Multiply-accumulates for one row (a decoder) or for the golden input (any other model): the unit of balance. */
  cost: count(Number.MAX_SAFE_INTEGER),
})
export type Block = v.InferOutput<typeof blockSchema>

const decoderSchema = v.strictObject({
  layers: count(1024),
  kvHeads: count(1024),
  headDim: count(4096),
  vocab: count(2 ** 24),
  /** Positions the model was made for. */
  context: v.pipe(count(maxPositions), v.minValue(1)),
  /** Tokens that end an answer. */
  eos: v.pipe(v.array(count(2 ** 24)), v.maxLength(16)),
})
export type Decoder = v.InferOutput<typeof decoderSchema>

const embeddingSchema = v.strictObject({
  /** How a text's vector comes of its tokens' [rows, tokens, width], the only result: the mean over them, or the first token's. */
  pooling: v.picklist(['mean', 'first']),
  /** Whether the vector is brought to length 1. */
  normalize: v.boolean(),
  /** Tokens of a text at most, its marks included; the rest of a longer one is left out. */
  maxTokens: v.pipe(count(maxPositions), v.minValue(4)),
})
export type Embedding = v.InferOutput<typeof embeddingSchema>

const goldenSchema = v.strictObject({
  /**
   * Rows of the runs that made it: a decoder's prefill of 32 rows or more, then single rows; `[1]` for any other model.
   * Made by onnxruntime-web wasm on f32-lowered weights, so that every importer gets the same bytes.
   */
  runs: v.pipe(v.array(v.pipe(count(4096), v.minValue(1))), v.minLength(1), v.maxLength(64)),
  /** Packed feeds (`packTensors` in the order of the inputs whose role is feed or tokens). */
  inputs: sized(maxGoldenBytes),
  /** Packed tensors at each cut, all runs' rows joined along the row axis (axis 1 of a decoder). */
  cuts: v.pipe(v.array(sized(maxGoldenBytes)), v.maxLength(maxBlocks)),
  /** Packed outputs: of a decoder the logits of `outputRows` [n, vocab] alone. */
  outputs: sized(maxGoldenBytes),
  /** Rows (0-based over all runs) whose logits `outputs` holds; empty for any other model. */
  outputRows: v.pipe(v.array(count(4096)), v.maxLength(64)),
})
export type Golden = v.InferOutput<typeof goldenSchema>

export const manifestSchema = v.strictObject({
  v: v.literal(1),
  /** Lower-case, as in a URL: `smollm2-135m-instruct`. */
  name: v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,79}$/)),
  title: text(120),
  /** In the hub's words. */
  task: v.picklist(['text-generation', 'feature-extraction', 'image-to-text', 'other']),
  /** SPDX. */
  license: text(80),
  /** Where the weights came from, for people. */
  origin: text(400),
  graph: sized(maxGraphBytes),
  inputs: v.pipe(v.array(inputSpecSchema), v.minLength(1), v.maxLength(4096)),
  outputs: v.pipe(v.array(outputSpecSchema), v.minLength(1), v.maxLength(4096)),
  blocks: v.pipe(v.array(blockSchema), v.minLength(1), v.maxLength(maxBlocks)),
  /** `cuts[i]` lies between block i and block i + 1. */
  cuts: v.pipe(v.array(cutSchema), v.maxLength(maxBlocks)),
  /** Shard i is called `shard-i` in the graph's external data. */
  shards: v.pipe(v.array(sized(maxShardBytes)), v.maxLength(maxShards)),
  decoder: v.optional(decoderSchema),
  /** Of a sentence encoder: what stands between its result and a text's vector. */
  embedding: v.optional(embeddingSchema),
  tokenizer: v.optional(v.strictObject({ json: sized(maxTokenizerBytes), config: sized(maxTokenizerBytes) })),
  /** Small files that a task's own code reads, by name: an OCR model's character list. */
  files: v.optional(v.record(v.pipe(v.string(), v.maxLength(80)), sized(maxTokenizerBytes))),
  golden: goldenSchema,
})
export type Manifest = v.InferOutput<typeof manifestSchema>

/**
 * Parses and checks what the schema alone can't say: as many cuts and goldens as blocks ask for, shard indices that exist.
 * @throws ManyhandsError bad-model, naming the first thing wrong
 */
export function parseManifest(value: unknown): Manifest {
  const parsed = v.safeParse(manifestSchema, value)
  if (!parsed.success) throw badModel(`${v.getDotPath(parsed.issues[0]) ?? 'manifest'}: ${parsed.issues[0].message}`)
  const m = parsed.output
  if (m.cuts.length !== m.blocks.length - 1)
    throw badModel(`${m.blocks.length} blocks need ${m.blocks.length - 1} cuts, not ${m.cuts.length}`)
  if (m.golden.cuts.length !== m.cuts.length) throw badModel(`${m.cuts.length} cuts, but goldens for ${m.golden.cuts.length}`)
  for (const block of m.blocks) {
    const missing = block.shards.find((s) => s >= m.shards.length)
    if (missing !== undefined) throw badModel(`a block names shard ${missing} of ${m.shards.length}`)
  }
  if ((m.task === 'text-generation') !== (m.decoder !== undefined)) throw badModel('text-generation and the decoder part go together')
  if (m.embedding && (m.task !== 'feature-extraction' || !m.tokenizer || !isTokenStates(m.outputs)))
    throw badModel(
      'an encoder of sentences is of the task feature-extraction, has a tokenizer, and one result [rows, tokens, width] of f32',
    )
  return m
}

function isTokenStates(outputs: readonly OutputSpec[]): boolean {
  const [result] = outputs
  return outputs.length === 1 && result?.role === 'result' && result.dtype === 'float32' && result.shape.length === 3
}

export const revisionOf = async (m: Manifest): Promise<Revision> => (await hashJson(m)) as string as Revision

/** Every file of the model that a volunteer or requester may fetch. */
export function manifestBlobs(m: Manifest): BlobRef[] {
  const tokenizer = m.tokenizer ? [m.tokenizer.json, m.tokenizer.config] : []
  return [m.graph, ...m.shards, ...tokenizer, ...Object.values(m.files ?? {}), m.golden.inputs, ...m.golden.cuts, m.golden.outputs]
}

/** Blocks `first` up to, not including, `end`: a stage. */
export interface BlockRange {
  readonly first: number
  readonly end: number
}

/** Shards that a stage needs, each once, in ascending order. */
export function shardsOf(m: Manifest, range: BlockRange): number[] {
  const wanted = new Set<number>()
  for (const block of m.blocks.slice(range.first, range.end)) for (const s of block.shards) wanted.add(s)
  return [...wanted].sort((a, b) => a - b)
}

const badModel = (what: string) => new ManyhandsError('bad-model', `Manifest refused: ${what}.`)
