import fc from 'fast-check'
import { expect, it } from 'vitest'
import { concatBytes, utf8 } from '../protocol/bytes.ts'
import { tinyEos, tinyLlama, tinyVocab } from '../testing/tiny-llama.ts'
import { createTokenizer } from './chat.ts'
import { parseGguf } from './gguf.ts'
import { byteLevelBytes } from './token-bytes.ts'
import { ggufTokenizer } from './tokenizer.ts'

const { json, config } = ggufTokenizer(parseGguf(tinyLlama()), { vocab: tinyVocab, context: 512 })
const tokenizer = createTokenizer(json, config)

it('a text’s tokens have its bytes between them, also where one is only part of a character', () => {
  expect(tokenizer.encode('猫').map((id) => tokenizer.bytes(id).length)).toEqual([1, 1, 1])
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      expect(concatBytes(tokenizer.encode(text).map((id) => tokenizer.bytes(id)))).toEqual(utf8(text))
    }),
  )
})

it('a control token has its name’s', () => {
  expect(tokenizer.bytes(tinyEos)).toEqual(utf8('<|im_end|>'))
})

it('what is not of the alphabet is itself', () => {
  expect(byteLevelBytes('Ġa猫')).toEqual(utf8(' a猫'))
})
