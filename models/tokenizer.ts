/**
 * The tokenizer and chat template of a GGUF as tokenizer.json and tokenizer_config.json, the files that @huggingface/tokenizers,
 * transformers.js and Rust's tokenizers read. Only byte-level BPE vocabularies; which texts were compared is in the tests.
 */
import { utf8, type Bytes } from '../protocol/bytes.ts'
import type { Gguf } from './gguf.ts'
import { badGguf, unsupported } from './llama-config.ts'

export interface GgufTokenizer {
  readonly json: Bytes
  readonly config: Bytes
  /** Tokens that end an answer. */
  readonly eos: readonly number[]
}

/** `tokenizer.ggml.token_type`: never text / always one token, whatever surrounds it. */
const controlType = 3
const userDefinedType = 4

const split = (regex: string) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false })
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
/** GPT-2's pattern, spelled out: as a `Split` its white space is Unicode's everywhere, while JavaScript's own `ByteLevel` takes U+FEFF for a space and U+0085 for none. */
const gpt2 = split("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+")
/** Every digit of any script by itself. The `Digits` pre-tokenizer would do in Rust but is ASCII only in JavaScript. */
const digits = split('\\p{N}')
const sequence = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers })
/** How text is split before merging, by `tokenizer.ggml.pre`. */
const preTokenizers: Readonly<Record<string, object>> = {
  smollm: sequence(digits, gpt2, byteLevel),
  'gpt-2': sequence(gpt2, byteLevel),
}

/** @throws ManyhandsError bad-model, or unsupported for a vocabulary of another kind */
export function ggufTokenizer(gguf: Gguf, model: { readonly vocab: number; readonly context: number }): GgufTokenizer {
  const meta = (key: string) => gguf.metadata.get(`tokenizer.${key}`)
  if (meta('ggml.model') !== 'gpt2')
    throw unsupported(`a tokenizer of kind ${JSON.stringify(meta('ggml.model'))}; gpt2 (byte-level BPE) is read`)
  const pre = meta('ggml.pre')
  const preTokenizer = typeof pre === 'string' && Object.hasOwn(preTokenizers, pre) ? preTokenizers[pre] : undefined
  if (!preTokenizer)
    throw unsupported(`a tokenizer that splits text as ${JSON.stringify(pre)}; ${Object.keys(preTokenizers).join(' and ')} are read`)

  const tokens = texts(meta('ggml.tokens'), 'tokens')
  const types = meta('ggml.token_type')
  if (tokens.length !== model.vocab) throw badGguf(`${tokens.length} tokens for an embedding of ${model.vocab} rows`)
  if (new Set(tokens).size !== tokens.length) throw badGguf('a token appears twice')
  if (!Array.isArray(types) || types.length !== tokens.length) throw badGguf('as many token types as tokens are needed')

  const tokenAt = (key: string): string | undefined => tokens[meta(`ggml.${key}_token_id`) as number]
  const addBos = meta('ggml.add_bos_token') === true && tokenAt('bos') !== undefined
  const added = tokens.flatMap((content, id) => {
    const special = types[id] === controlType
    return special || types[id] === userDefinedType
      ? [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }]
      : []
  })
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: preTokenizer,
    post_processor: addBos ? beginWith(tokenAt('bos') as string, meta('ggml.bos_token_id') as number) : null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: checkedMerges(texts(meta('ggml.merges'), 'merges')),
    },
  }
  const template = meta('chat_template')
  const config = {
    // Not GPT2Tokenizer, for which transformers 5 makes a pre-tokenizer of its own.
    tokenizer_class: 'PreTrainedTokenizerFast',
    add_prefix_space: false,
    add_bos_token: addBos,
    clean_up_tokenization_spaces: false,
    model_max_length: model.context,
    bos_token: tokenAt('bos') ?? null,
    eos_token: tokenAt('eos') ?? null,
    unk_token: tokenAt('unknown') ?? null,
    pad_token: tokenAt('padding') ?? null,
    ...(typeof template === 'string' ? { chat_template: template } : {}),
  }
  const ends = ['eos', 'eot', 'eom'].map((key) => meta(`ggml.${key}_token_id`))
  const eos = [...new Set(ends)].filter((id): id is number => typeof id === 'number' && tokens[id] !== undefined)
  if (eos.length === 0) throw badGguf('it names no token that ends an answer (tokenizer.ggml.eos_token_id)')
  return { json: utf8(JSON.stringify(json)), config: utf8(JSON.stringify(config)), eos }
}

function beginWith(token: string, id: number) {
  const special = { SpecialToken: { id: token, type_id: 0 } }
  return {
    type: 'TemplateProcessing',
    single: [special, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [special, { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  }
}

function texts(value: unknown, what: string): readonly string[] {
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value
  throw badGguf(`its tokenizer has no list of ${what}`)
}

function checkedMerges(merges: readonly string[]): readonly string[] {
  const odd = merges.find((merge) => merge.split(' ').length !== 2)
  if (odd !== undefined) throw badGguf(`${JSON.stringify(odd.slice(0, 80))} is no merge of two tokens`)
  return merges
}
