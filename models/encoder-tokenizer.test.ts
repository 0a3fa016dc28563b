import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../protocol/bytes.ts'
import { tinyBert, tinyWords } from '../testing/tiny-bert.ts'
import { createEncoderTokenizer } from './encoder-tokenizer.ts'

const tokenizer = createEncoderTokenizer(tinyBert().beside['tokenizer.json'] as Uint8Array, utf8('{}'))
const read = (text: string, most = 512) => {
  const { ids, cut } = tokenizer.encode(text, most)
  return { words: ids.map((id) => tinyWords[id]).join(' '), cut }
}

describe('the tokenizer of a sentence encoder', () => {
  it.each([
    ['', '[CLS] [SEP]'],
    ['Many hands', '[CLS] many hands [SEP]'],
    ['  many\t\nhands ', '[CLS] many hands [SEP]'],
    ['handed, unworkable!', '[CLS] h ##a ##n ##d ##ed , un ##w ##o ##r ##k ##able ! [SEP]'],
    ['é', '[CLS] e [SEP]'],
    ['手 x', '[CLS] [UNK] x [SEP]'],
    ['[SEP]', '[CLS] [SEP] [SEP]'],
    ['\ud800 a\u0000b', '[CLS] a ##b [SEP]'],
  ])('reads %j as %s', (text, words) => {
    expect(read(text)).toEqual({ words, cut: false })
  })

  it('follows no length in the file, keeps to the one it is told, and marks the end all the same', () => {
    const text = 'many hands make light work of a burden shared is halved'
    expect(read(text)).toEqual({ words: `[CLS] ${text} [SEP]`, cut: false })
    expect(read(text, 13)).toEqual({ words: `[CLS] ${text} [SEP]`, cut: false })
    expect(read(text, 12)).toEqual({ words: `[CLS] ${text.replace(' halved', '')} [SEP]`, cut: true })
    expect(read(text, 4)).toEqual({ words: '[CLS] many hands [SEP]', cut: true })
  })

  it('lowers a sigma at the end of a word as any other', () => {
    const file = JSON.parse(fromUtf8(tinyBert().beside['tokenizer.json'] as Uint8Array)) as { model: { vocab: object } }
    const model = { ...file.model, vocab: { ...file.model.vocab, οσ: 150, οσς: 151 } }
    const greek = createEncoderTokenizer(utf8(JSON.stringify({ ...file, model })), utf8('{}'))
    expect(greek.encode('ΟΣ οσς', 8).ids).toEqual([2, 150, 151, 3])
  })

  it('reads of a long text as much as counts, and of one that is long by its spaces all', () => {
    const words = 'many hands make light work of a burden shared is halved '
    expect(read(words.repeat(1000), 14).words).toBe(`[CLS] ${words}many [SEP]`)
    expect(read(`${' '.repeat(50_000)}many${' '.repeat(50_000)}hands`, 14)).toEqual({ words: '[CLS] many hands [SEP]', cut: false })
    expect(read('x'.repeat(100_000), 14)).toEqual({ words: '[CLS] [UNK] [SEP]', cut: false })
  })

  it('refuses files that are none', () => {
    const refused = expect.objectContaining({ code: 'bad-model' })
    expect(() => createEncoderTokenizer(utf8('{'), utf8('{}'))).toThrow(refused)
    expect(() => createEncoderTokenizer(utf8('{}'), utf8('{}'))).toThrow(refused)
  })
})
