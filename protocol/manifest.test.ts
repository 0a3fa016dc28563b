import { describe, expect, it } from 'vitest'
import { toyManifest } from '../testing/toy-engine.ts'
import { parseManifest, type Manifest, type OutputSpec } from './manifest.ts'

const { decoder: _, ...toy } = toyManifest(2)
const blob = toy.graph
const result: OutputSpec = { name: 'last_hidden_state', dtype: 'float32', shape: ['texts', 'tokens', 8], role: 'result' }
const encoder: Manifest = {
  ...toy,
  task: 'feature-extraction',
  outputs: [result],
  tokenizer: { json: blob, config: blob },
  embedding: { pooling: 'mean', normalize: true, maxTokens: 256 },
}

describe('[MF8] the manifest of a sentence encoder', () => {
  it('says how a text’s vector comes of its result', () => {
    expect(parseManifest(encoder).embedding).toEqual(encoder.embedding)
  })

  it.each([
    ['of another task', { task: 'other' }],
    ['without a tokenizer', { tokenizer: undefined }],
    ['without a result', { outputs: [] }],
    ['with two results', { outputs: [result, { ...result, name: 'pooled' }] }],
    ['with a result of one vector a text', { outputs: [{ ...result, shape: ['texts', 8] }] }],
    ['with a result of whole numbers', { outputs: [{ ...result, dtype: 'int32' }] }],
    ['with a way of pooling that is not known', { embedding: { ...encoder.embedding, pooling: 'max' } }],
    ['with no room for a token between its marks', { embedding: { ...encoder.embedding, maxTokens: 2 } }],
    ['with more than that', { embedding: { ...encoder.embedding, prefix: 'query: ' } }],
  ])('is refused %s', (_, change) => {
    const changed = JSON.parse(JSON.stringify({ ...encoder, ...change })) as unknown
    expect(() => parseManifest(changed)).toThrow(expect.objectContaining({ code: 'bad-model' }))
  })
})
