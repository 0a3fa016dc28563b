/**
 * A tiny sentence encoder from a seed, as its publisher would put it in a folder: model.safetensors with what lies beside it, and a
 * WordPiece vocabulary of letters and a few words. Its vectors mean nothing, but they do so deterministically.
 */
import { utf8, type Bytes } from '../protocol/bytes.ts'
import { writeSafetensors, type SafeTensorToWrite } from './safetensors-writer.ts'
import { mulberry32 } from './tiny-llama.ts'

export interface TinyBertOptions {
  readonly seed?: number
  readonly layers?: number
  readonly hidden?: number
  readonly heads?: number
  readonly ffn?: number
  readonly dtype?: 'F32' | 'F16' | 'BF16'
  /** Before every tensor's name: `bert.` in a checkpoint with a head. */
  readonly prefix?: string
  readonly maxTokens?: number
  readonly pooling?: 'mean' | 'first'
  readonly normalize?: boolean
}

export interface TinyBert {
  readonly weights: Bytes
  /** config.json, tokenizer.json … by name. */
  readonly beside: Readonly<Record<string, Bytes>>
}

const letters = Array.from('abcdefghijklmnopqrstuvwxyz0123456789')
const words = 'the many hands make light work of a burden shared is halved un ##able ##ing ##ed ##s stock market fell on tuesday'
/** Four marks, punctuation, letters alone and inside a word, words. */
export const tinyWords: readonly string[] = [
  ...'[PAD] [UNK] [CLS] [SEP] [MASK] . , ! ? - ( ) + :'.split(' '),
  ...new Set([...letters, ...letters.map((letter) => `##${letter}`), ...words.split(' ')]),
]
const positions = 160

export function tinyBert(options: TinyBertOptions = {}): TinyBert {
  const { seed = 1, layers = 3, hidden = 64, heads = 4, ffn = 256, dtype = 'F32', prefix = '' } = options
  const { maxTokens = 48, pooling = 'mean', normalize = true } = options
  const random = mulberry32(seed)
  const tensor = (name: string, shape: readonly number[], value: () => number): SafeTensorToWrite => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value)
    return { name: prefix + name, dtype, shape, bytes: stored(values, dtype) }
  }
  const spread = (deviation: number) => () => (random() - 0.5) * 3.46 * deviation
  const table = (name: string, rows: number) => tensor(`embeddings.${name}.weight`, [rows, hidden], spread(1))
  const linear = (name: string, rows: number, columns: number) => [
    tensor(`${name}.weight`, [rows, columns], spread(1.5 / Math.sqrt(columns))),
    tensor(`${name}.bias`, [rows], spread(0.1)),
  ]
  const norm = (name: string) => [
    tensor(`${name}.LayerNorm.weight`, [hidden], () => 0.75 + random() / 2),
    tensor(`${name}.LayerNorm.bias`, [hidden], spread(0.1)),
  ]
  const tensors = [table('word_embeddings', tinyWords.length), table('position_embeddings', positions), table('token_type_embeddings', 2)]
  tensors.push(...norm('embeddings'))
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layer.${i}`
    for (const part of ['query', 'key', 'value']) tensors.push(...linear(`${layer}.attention.self.${part}`, hidden, hidden))
    tensors.push(...linear(`${layer}.attention.output.dense`, hidden, hidden), ...norm(`${layer}.attention.output`))
    tensors.push(...linear(`${layer}.intermediate.dense`, ffn, hidden))
    tensors.push(...linear(`${layer}.output.dense`, hidden, ffn), ...norm(`${layer}.output`))
  }
  // What files carry along and vectors of text do without.
  tensors.push(...linear('pooler.dense', hidden, hidden))
  tensors.push({
    name: `${prefix}embeddings.position_ids`,
    dtype: 'I64',
    shape: [1, positions],
    bytes: new Uint8Array(BigInt64Array.from({ length: positions }, (_, i) => BigInt(i)).buffer),
  })
  const config = {
    model_type: 'bert',
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    intermediate_size: ffn,
    vocab_size: tinyWords.length,
    max_position_embeddings: positions,
  }
  const modules = ['Transformer', 'Pooling', ...(normalize ? ['Normalize'] : [])]
  const files = {
    'config.json': config,
    'tokenizer.json': tokenizer(),
    'modules.json': modules.map((name, idx) => ({ idx, name: String(idx), type: `sentence_transformers.models.${name}` })),
    '1_Pooling/config.json': {
      word_embedding_dimension: hidden,
      pooling_mode_cls_token: pooling === 'first',
      pooling_mode_mean_tokens: pooling === 'mean',
      pooling_mode_max_tokens: false,
    },
    'sentence_bert_config.json': { max_seq_length: maxTokens, do_lower_case: false },
  }
  const beside = Object.fromEntries(Object.entries(files).map(([name, value]) => [name, utf8(JSON.stringify(value))]))
  return { weights: writeSafetensors(tensors, { format: 'pt' }), beside }
}

function tokenizer() {
  const id = (token: string) => tinyWords.indexOf(token)
  const mark = (token: string) => ({
    id: id(token),
    content: token,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } })
  const a = { Sequence: { id: 'A', type_id: 0 } }
  return {
    version: '1.0',
    // As published ones have it, and as nobody who embeds wants it.
    truncation: { direction: 'Right', max_length: 8, strategy: 'LongestFirst', stride: 0 },
    padding: { strategy: { Fixed: 8 }, direction: 'Right', pad_to_multiple_of: null, pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' },
    added_tokens: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map(mark),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]'), a, special('[SEP]')],
      pair: [special('[CLS]'), a, special('[SEP]'), { Sequence: { id: 'B', type_id: 1 } }, { SpecialToken: { id: '[SEP]', type_id: 1 } }],
      special_tokens: Object.fromEntries(['[CLS]', '[SEP]'].map((t) => [t, { id: t, ids: [id(t)], tokens: [t] }])),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tinyWords.map((token, i) => [token, i])),
    },
  }
}

/** Cut off, not rounded: what is written is exact in its type, whatever it is. */
function stored(values: Float32Array<ArrayBuffer>, dtype: 'F32' | 'F16' | 'BF16'): Bytes {
  if (dtype === 'F32') return new Uint8Array(values.buffer)
  const bits = new Uint32Array(values.buffer)
  return new Uint8Array(Uint16Array.from(bits, (word) => (dtype === 'BF16' ? word >>> 16 : half(word))).buffer)
}

/** An f32's bits as an f16's: its size is between 2^-14 and 2^15, or it becomes 0. */
function half(word: number): number {
  const exponent = ((word >>> 23) & 255) - 127
  if (exponent < -14) return 0
  return ((word >>> 16) & 0x8000) | ((exponent + 15) << 10) | ((word >>> 13) & 1023)
}
