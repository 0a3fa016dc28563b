/**
 * What a llama-architecture GGUF says about itself, checked: the numbers that the graph is made from. Anything that our
 * graph would compute wrongly (experts, partial rotation, exotic rope scaling) is refused here, by name.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import { maxPositions } from '../protocol/limits.ts'
import type { Gguf } from './gguf.ts'

export interface LlamaConfig {
  readonly layers: number
  readonly hidden: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly ffn: number
  readonly vocab: number
  /** Positions it was trained for, at most our own limit. */
  readonly context: number
  readonly epsilon: number
  readonly ropeBase: number
  /** Positions are divided by this (`linear` rope scaling); 1 for none. */
  readonly ropeDivisor: number
  /** The head is the embedding again. */
  readonly tied: boolean
}

/** No known model of this architecture is larger; it keeps every product of two sizes an exact number. */
const maxSize = 2 ** 20
/** Rotation of head halves: even, and what attention kernels are made for. */
const maxHeadDim = 512

/** @throws ManyhandsError bad-model or unsupported */
export function llamaConfig(gguf: Gguf): LlamaConfig {
  const architecture = gguf.metadata.get('general.architecture')
  if (architecture !== 'llama') throw unsupported(`architecture ${JSON.stringify(architecture)}; llama is read`)
  const integer = (key: string, most: number, fallback?: number): number => {
    const value = gguf.metadata.get(`llama.${key}`) ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most)
      throw badGguf(`llama.${key} is ${String(value)}`)
    return value
  }
  const real = (key: string, fallback?: number): number => {
    const value = gguf.metadata.get(`llama.${key}`) ?? fallback
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) throw badGguf(`llama.${key} is ${String(value)}`)
    return value
  }

  const hidden = integer('embedding_length', maxSize)
  const heads = integer('attention.head_count', 1024)
  const kvHeads = integer('attention.head_count_kv', 1024, heads)
  const headDim = integer('attention.key_length', maxHeadDim, hidden / heads)
  if (heads % kvHeads !== 0) throw badGguf(`${heads} heads can't share ${kvHeads} key-value heads`)
  if (headDim % 2 !== 0) throw badGguf(`heads of ${headDim} can't be rotated in halves`)
  if (integer('attention.value_length', maxHeadDim, headDim) !== headDim) throw unsupported('values of another size than keys')
  if (integer('rope.dimension_count', maxHeadDim, headDim) !== headDim) throw unsupported('rotation of a part of a head')
  if ((gguf.metadata.get('llama.expert_count') ?? 0) !== 0) throw unsupported('a mixture of experts')
  if (gguf.metadata.get('llama.attention.sliding_window')) throw unsupported('sliding-window attention')

  const embedding = gguf.tensors.get('token_embd.weight')
  if (!embedding) throw badGguf('it has no token_embd.weight')
  return {
    layers: integer('block_count', 1024),
    hidden,
    heads,
    kvHeads,
    headDim,
    ffn: integer('feed_forward_length', maxSize),
    vocab: embedding.dims[0] as number,
    context: Math.min(integer('context_length', 2 ** 31), maxPositions),
    epsilon: real('attention.layer_norm_rms_epsilon'),
    ropeBase: real('rope.freq_base', 10_000),
    ropeDivisor: ropeDivisor(gguf, real),
    tied: !gguf.tensors.has('output.weight'),
  }
}

function ropeDivisor(gguf: Gguf, real: (key: string, fallback?: number) => number): number {
  const scaling = gguf.metadata.get('llama.rope.scaling.type') ?? 'none'
  if (scaling === 'none') return real('rope.scale_linear', 1)
  if (scaling === 'linear') return real('rope.scaling.factor')
  throw unsupported(`rope scaling ${JSON.stringify(scaling)}; none and linear are read`)
}

export const badGguf = (what: string) => new ManyhandsError('bad-model', `GGUF refused: ${what}.`)
export const unsupported = (what: string) => new ManyhandsError('unsupported', `This GGUF can't be imported yet: it has ${what}.`)
