import { describe, expect, it } from 'vitest'
import { tinyLlama, tinyVocab } from '../testing/tiny-llama.ts'
import { createTokenizer } from './chat.ts'
import { parseGguf } from './gguf.ts'
import { ggufTokenizer } from './tokenizer.ts'

/** Merges across every border that a pre-tokenizer may or may not put between two characters. */
const merges = "' s,Ġ Â,Ġ ï,ï »,ï» ¿,Â ħ,Ċ Ċ,Ġ Ġ,1 2,Ġ 1,! !,Ã ©,Ġ Ã,Ù ¡,â Ģ,Ġ â".split(',')

/** Texts with their ids by Rust's tokenizers 0.23 (its own Digits and ByteLevel) over this vocabulary: for smollm, then for gpt-2 where those differ. */
const cases: readonly (readonly [text: string, smollm: readonly number[], gpt2?: readonly number[]])[] = [
  ["it's", [276, 320]],
  ["\ufeff's", [324, 42, 118]],
  ['a\ufeff the', [100, 324, 265]],
  [' \ufeff', [322, 190, 194]],
  [' \u0085x', [35, 325, 123]],
  ['\u0085\u0085', [325, 325]],
  ['x \u0085 y', [123, 321, 136, 314]],
  ['\n\n\n', [326, 13]],
  ['a\n\nb', [100, 13, 13, 101]],
  ['  a   b', [35, 262, 327, 281]],
  ['a  ', [100, 327]],
  ['12 12', [52, 53, 35, 52, 53], [328, 35, 328]],
  ['12a', [52, 53, 100], [328, 100]],
  ['1212', [52, 53, 52, 53], [328, 328]],
  [' 12', [35, 52, 53], [35, 328]],
  ['\u0661\u0661', [333, 333]],
  ['\u00bd12', [197, 192, 52, 53], [197, 192, 328]],
  ['!!!', [330, 36]],
  [' !!', [35, 330]],
  ['café éé', [102, 100, 105, 331, 35, 331, 331]],
  ['e\u0301e\u0301', [104, 207, 132, 104, 207, 132]],
  ['\u200b\u200b', [334, 142, 334, 142]],
  [' \u2003the', [35, 334, 134, 119, 260]],
  ['\u00a0 the\u00a0', [197, 163, 265, 197, 163]],
  ['\u3000 \u3000a', [230, 131, 131, 35, 230, 131, 131, 100]],
  ['the<|im_end|>the', [119, 260, 2, 119, 260]],
  ['<|im_start|> the', [1, 265]],
  ['\t\tthe', [12, 12, 119, 260]],
  ['x\r\n\r\ny', [123, 16, 13, 16, 13, 124]],
  ["THE'S don't we'll", [87, 75, 72, 42, 86, 289, 264, 42, 119, 273, 104, 42, 294]],
  ['\u{1f469}\u200d\u{1f467}', [243, 162, 148, 172, 334, 144, 243, 162, 148, 170]],
  ['\u{1d7d9}\u{1d7d9}12', [243, 160, 162, 156, 243, 160, 162, 156, 52, 53], [243, 160, 162, 156, 243, 160, 162, 156, 328]],
  ['\u2028 \u2029a', [334, 171, 35, 334, 172, 100]],
]

function tokenizer(pre: string) {
  const gguf = parseGguf(tinyLlama({ layers: 1 }))
  const metadata = new Map(gguf.metadata).set('tokenizer.ggml.pre', pre)
  const add = (key: string, values: readonly (string | number)[]) =>
    metadata.set(`tokenizer.ggml.${key}`, [...(metadata.get(`tokenizer.ggml.${key}`) as (string | number)[]), ...values])
  add(
    'tokens',
    merges.map((merge) => merge.replace(' ', '')),
  )
  add(
    'token_type',
    merges.map(() => 1),
  )
  add('merges', merges)
  const { json, config } = ggufTokenizer({ ...gguf, metadata }, { vocab: tinyVocab + merges.length, context: 512 })
  return createTokenizer(json, config)
}

describe("a GGUF's tokenizer", () => {
  it('splits text as an independent implementation does', () => {
    const [smollm, gpt2] = [tokenizer('smollm'), tokenizer('gpt-2')]
    for (const [text, ids, others = ids] of cases) {
      expect(smollm.encode(text), JSON.stringify(text)).toEqual(ids)
      expect(gpt2.encode(text), JSON.stringify(text)).toEqual(others)
      expect(gpt2.decode(others)).toBe(text.replace(/<\|.*?\|>/g, ''))
    }
  })

  it('of a kind that is not read is refused by its name', () => {
    expect(() => tokenizer('llama-bpe')).toThrow('"llama-bpe"')
  })
})
