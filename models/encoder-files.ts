/**
 * What lies beside a sentence encoder's weights, besides its sizes: the tokenizer, and how its publisher makes a text's vector of its
 * tokens' (the files of sentence-transformers: modules.json, 1_Pooling/config.json, sentence_bert_config.json).
 */
import * as v from 'valibot'
import { utf8, type Bytes } from '../protocol/bytes.ts'
import type { Embedding } from '../protocol/manifest.ts'
import { unsupported } from './bert-config.ts'
import { badFile, neededBeside, parseBeside, type Beside } from './beside.ts'

export interface EncoderFiles {
  readonly tokenizer: { readonly json: Bytes; readonly config: Bytes }
  readonly embedding: Embedding
}

const tokenizerSchema = v.looseObject({
  model: v.looseObject({ type: v.string(), vocab: v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))) }),
  added_tokens: v.optional(v.array(v.looseObject({ id: v.pipe(v.number(), v.integer(), v.minValue(0)) })), []),
})
const moduleKind = 'sentence_transformers.models.'
const modulesSchema = v.array(v.looseObject({ type: v.string() }))
const poolingSchema = v.record(v.string(), v.unknown())
const lengthSchema = v.looseObject({ max_seq_length: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(4)))) })

/** @throws ManyhandsError not-found, bad-model or unsupported */
export async function encoderFiles(beside: Beside, model: { readonly vocab: number; readonly positions: number }): Promise<EncoderFiles> {
  const json = await neededBeside(beside, 'tokenizer.json', 'its tokenizer')
  const { model: tokens, added_tokens: added } = parseBeside('tokenizer.json', json, tokenizerSchema)
  const largest = [...Object.values(tokens.vocab), ...added.map(({ id }) => id)].reduce((most, id) => Math.max(most, id), 0)
  if (largest >= model.vocab) throw badFile('tokenizer.json', `token ${largest} is not among the model's ${model.vocab}`)
  const config = (await beside('tokenizer_config.json')) ?? utf8('{}')
  parseBeside('tokenizer_config.json', config, v.record(v.string(), v.unknown()))
  return { tokenizer: { json, config }, embedding: await embeddingOf(beside, model.positions) }
}

/** Where its publisher says nothing: the mean, of length 1, of as many tokens as it has positions for. */
async function embeddingOf(beside: Beside, positions: number): Promise<Embedding> {
  const [modules, pooling, length] = await Promise.all([
    optional(beside, 'modules.json', modulesSchema),
    optional(beside, '1_Pooling/config.json', poolingSchema),
    optional(beside, 'sentence_bert_config.json', lengthSchema),
  ])
  const kinds = modules?.map(({ type }) => type.replace(moduleKind, ''))
  const odd = kinds?.find((kind) => !['Transformer', 'Pooling', 'Normalize'].includes(kind))
  if (odd !== undefined) throw unsupported(`a module ${JSON.stringify(odd)} after the encoder (modules.json)`)
  return {
    pooling: pooling ? poolingOf(pooling) : 'mean',
    normalize: kinds?.includes('Normalize') ?? true,
    maxTokens: Math.min(length?.max_seq_length ?? positions, positions),
  }
}

function poolingOf(config: Readonly<Record<string, unknown>>): Embedding['pooling'] {
  const modes = Object.keys(config).filter((key) => key.startsWith('pooling_mode_') && config[key] === true)
  const [mode = 'none'] = modes
  if (modes.length === 1 && mode === 'pooling_mode_mean_tokens') return 'mean'
  if (modes.length === 1 && mode === 'pooling_mode_cls_token') return 'first'
  throw unsupported(`pooling by ${modes.join(' and ') || mode} (1_Pooling/config.json); the mean and the first token are read`)
}

async function optional<T>(beside: Beside, name: string, schema: v.GenericSchema<unknown, T>): Promise<T | undefined> {
  const bytes = await beside(name)
  return bytes && parseBeside(name, bytes, schema)
}
