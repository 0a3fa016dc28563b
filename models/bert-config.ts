/**
 * What config.json says of a BERT, checked: the numbers that the graph is made from. Anything that our graph would compute
 * wrongly (relative positions, a decoder, another activation) is refused here, by name.
 */
import * as v from 'valibot'
import { ManyhandsError } from '../protocol/errors.ts'
import { maxPositions } from '../protocol/limits.ts'
import { badFile, neededBeside, parseBeside, type Beside } from './beside.ts'

export interface BertConfig {
  readonly layers: number
  readonly hidden: number
  readonly heads: number
  readonly headDim: number
  readonly ffn: number
  readonly vocab: number
  /** Positions that it has a vector for. */
  readonly positions: number
  /** Kinds of token: a first and a second sentence. */
  readonly types: number
  readonly epsilon: number
}

/** No known model of this architecture is larger; it keeps every product of two sizes an exact number. */
const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 20))
const few = v.pipe(size, v.maxValue(1024))

/** Defaults are those of the original; files leave them out. */
const configSchema = v.looseObject({
  model_type: v.string(),
  hidden_size: size,
  num_hidden_layers: few,
  num_attention_heads: few,
  intermediate_size: size,
  vocab_size: size,
  max_position_embeddings: v.optional(v.pipe(size, v.maxValue(maxPositions)), 512),
  type_vocab_size: v.optional(few, 2),
  layer_norm_eps: v.optional(v.pipe(v.number(), v.gtValue(0), v.ltValue(1)), 1e-12),
  hidden_act: v.optional(v.string(), 'gelu'),
  position_embedding_type: v.optional(v.string(), 'absolute'),
  is_decoder: v.optional(v.boolean(), false),
})

/** @throws ManyhandsError not-found, bad-model or unsupported */
export async function bertConfig(beside: Beside): Promise<BertConfig> {
  const config = parseBeside('config.json', await neededBeside(beside, 'config.json', 'its architecture'), configSchema)
  if (config.model_type !== 'bert') throw unsupported(`architecture ${JSON.stringify(config.model_type)}; bert is read`)
  if (config.hidden_act !== 'gelu') throw unsupported(`activation ${JSON.stringify(config.hidden_act)}; gelu is read`)
  if (config.position_embedding_type !== 'absolute')
    throw unsupported(`positions of kind ${JSON.stringify(config.position_embedding_type)}`)
  if (config.is_decoder) throw unsupported('a decoder')
  const { hidden_size: hidden, num_attention_heads: heads } = config
  if (hidden % heads !== 0) throw badFile('config.json', `${hidden} numbers can't be shared out among ${heads} heads`)
  return {
    layers: config.num_hidden_layers,
    hidden,
    heads,
    headDim: hidden / heads,
    ffn: config.intermediate_size,
    vocab: config.vocab_size,
    positions: config.max_position_embeddings,
    types: config.type_vocab_size,
    epsilon: config.layer_norm_eps,
  }
}

export const unsupported = (what: string) =>
  new ManyhandsError('unsupported', `This safetensors model can't be imported yet: it has ${what}.`)
