/**
 * Text to the token ids that a sentence encoder reads, with the model's own marks around them ([CLS] and [SEP] of a BERT). Runs at the
 * requester, in a page as in Node.
 */
import { Tokenizer } from '@huggingface/tokenizers'
import { fromUtf8 } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'

export interface EncoderTokenizer {
  /**
   * The ids of a text, `maxTokens` at most: of a longer one its beginning, marked as if it ended there.
   * @returns also whether something was left out
   */
  encode(text: string, maxTokens: number): { readonly ids: readonly number[]; readonly cut: boolean }
}

/** Any word; where its ids lie between the marks is asked of it once. */
const probe = 'a'

/**
 * @param json bytes of tokenizer.json; what it says of truncation and padding is the caller's business and not followed
 * @param config bytes of tokenizer_config.json
 * @throws ManyhandsError bad-model
 */
export function createEncoderTokenizer(json: Uint8Array, config: Uint8Array): EncoderTokenizer {
  const tokenizer = parse(json, config)
  const bare = (text: string) => (text === '' ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids)
  const { before, after } = marks(tokenizer.encode(probe).ids, bare(probe))
  return {
    encode(text, maxTokens) {
      const ids = bare(text)
      const room = Math.max(0, maxTokens - before.length - after.length)
      return { ids: [...before, ...ids.slice(0, room), ...after], cut: ids.length > room }
    },
  }
}

function marks(marked: readonly number[], bare: readonly number[]) {
  const at = marked.findIndex((_, i) => bare.length > 0 && bare.every((id, k) => marked[i + k] === id))
  if (at < 0) throw new ManyhandsError('bad-model', 'The tokenizer marks texts in a way that is not known here: import another model.')
  return { before: marked.slice(0, at), after: marked.slice(at + bare.length) }
}

function parse(json: Uint8Array, config: Uint8Array): Tokenizer {
  try {
    const file = JSON.parse(fromUtf8(json)) as object
    return new Tokenizer({ ...file, truncation: null, padding: null }, JSON.parse(fromUtf8(config)) as object)
  } catch (cause) {
    throw new ManyhandsError('bad-model', "The model's tokenizer files can't be read: import the model again.", { cause })
  }
}
