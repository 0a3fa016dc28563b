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
  const { tokenizer, lowers } = parse(json, config)
  // Lowered alone a final sigma is one like any other, and so it was when the vocabulary was made; JavaScript lowers it by its place.
  const bare = (text: string) =>
    text === '' ? [] : tokenizer.encode(lowers ? text.replaceAll('Σ', 'σ') : text, { add_special_tokens: false }).ids
  const { before, after } = marks(tokenizer.encode(probe).ids, bare(probe))
  return {
    encode(text, maxTokens) {
      const room = Math.max(0, maxTokens - before.length - after.length)
      for (let chars = firstChars; ; chars *= 4) {
        const end = wordEnd(text, chars)
        const ids = bare(text.slice(0, end))
        if (ids.length <= room && end < text.length) continue
        return { ids: [...before, ...ids.slice(0, room), ...after], cut: ids.length > room }
      }
    },
  }
}

/** Of a long text a part is looked at first: this is more than most models read. No tokenizer of words looks across a space. */
const firstChars = 4096

function wordEnd(text: string, from: number): number {
  const space = /\s/g
  space.lastIndex = from
  return space.exec(text)?.index ?? text.length
}

function marks(marked: readonly number[], bare: readonly number[]) {
  const at = marked.findIndex((_, i) => bare.length > 0 && bare.every((id, k) => marked[i + k] === id))
  if (at < 0) throw new ManyhandsError('bad-model', 'The tokenizer marks texts in a way that is not known here: import another model.')
  return { before: marked.slice(0, at), after: marked.slice(at + bare.length) }
}

interface Normalizer {
  readonly type: string
  readonly lowercase?: boolean
  readonly normalizers?: readonly Normalizer[]
}

const lowersText = (normalizer: Normalizer | null | undefined): boolean =>
  normalizer?.type === 'Lowercase' || normalizer?.lowercase === true || (normalizer?.normalizers ?? []).some(lowersText)

function parse(json: Uint8Array, config: Uint8Array): { tokenizer: Tokenizer; lowers: boolean } {
  try {
    const file = JSON.parse(fromUtf8(json)) as { readonly normalizer?: Normalizer | null }
    const tokenizer = new Tokenizer({ ...file, truncation: null, padding: null }, JSON.parse(fromUtf8(config)) as object)
    return { tokenizer, lowers: lowersText(file.normalizer) }
  } catch (cause) {
    throw new ManyhandsError('bad-model', "The model's tokenizer files can't be read: import the model again.", { cause })
  }
}
