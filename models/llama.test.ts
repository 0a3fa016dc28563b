import { describe, expect, it } from 'vitest'
import { parseGguf } from './gguf.ts'
import { bytesSource } from './byte-source.ts'
import { llamaModel } from './llama.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { writeGguf } from '../testing/gguf-writer.ts'
import { tinyLlama, type TinyLlamaOptions } from '../testing/tiny-llama.ts'
import { openDecoder } from '../testing/whole-model.ts'
import { referenceLlama } from '../testing/reference-llama.ts'

const load = (file: Uint8Array) => llamaModel(parseGguf(file), bytesSource(file))

describe('a llama GGUF as an ONNX decoder', () => {
  it('has the names that transformers.js and Optimum give', async () => {
    const { inputs, outputs, decoder } = await load(tinyLlama({ layers: 2 }))
    expect(inputs.map((i) => i.name)).toEqual([
      'input_ids',
      'attention_mask',
      'position_ids',
      'past_key_values.0.key',
      'past_key_values.0.value',
      'past_key_values.1.key',
      'past_key_values.1.value',
    ])
    expect(outputs.map((o) => o.name)).toEqual(['logits', 'present.0.key', 'present.0.value', 'present.1.key', 'present.1.value'])
    expect(inputs[3]?.shape).toEqual(['batch_size', 2, 'past_sequence_length', 16])
    expect(decoder).toEqual({ layers: 2, kvHeads: 2, headDim: 16, vocab: 320, context: 512, eos: [2] })
  })

  it('takes hardly more bytes than the file', async () => {
    const file = tinyLlama({ context: 64, layers: 8 })
    const { parts } = await load(file)
    let bytes = 0
    for (const part of parts.values()) {
      expect((await part.load()).length).toBe(part.bytes)
      bytes += part.bytes
    }
    expect(bytes).toBeLessThan(1.1 * file.length)
  })

  const variants: readonly TinyLlamaOptions[] = [
    {},
    { matrices: 'Q4_0', seed: 2 },
    { matrices: 'Q8_0', embedding: 'F16' },
    { matrices: 'F16', embedding: 'F32' },
    { matrices: 'F32', embedding: 'F16', untied: true },
    { untied: true, heads: 8, kvHeads: 1, hidden: 128 },
  ]
  it.each(variants)('computes what the file says, prefill and decode: %j', { timeout: 60_000 }, async (options) => {
    const file = tinyLlama(options)
    const decoder = await openDecoder(await load(file))
    const reference = referenceLlama(file)
    let worst = 0
    for (const ids of [[1, 40, 50, 60, 300, 310, 99, 100], [7], [8, 9], [10]]) {
      const rows = await decoder.run(ids)
      ids.forEach((id, i) => (worst = Math.max(worst, relativeError(rows[i] as Float32Array, reference.step(id)))))
    }
    await decoder.close()
    expect(worst).toBeLessThan(3e-6)
  })

  it.each([
    ['another architecture', [{ key: 'general.architecture', type: 'text', value: 'mamba' }], 'mamba'],
    ['no embedding', [{ key: 'general.architecture', type: 'text', value: 'llama' }], 'llama.embedding_length'],
  ] as const)('refuses %s', async (_, entries, why) => {
    await expect(load(writeGguf([...entries], []))).rejects.toThrow(why)
  })

  it('refuses a tensor of a type that it can not keep exact, by name and type', async () => {
    const file = tinyLlama({ layers: 1 })
    const gguf = parseGguf(file)
    const tensors = new Map(gguf.tensors)
    const odd = tensors.get('blk.0.ffn_up.weight')
    if (!odd) throw new Error('no such tensor')
    tensors.set(odd.name, { ...odd, type: { name: 'Q6_K', blockElements: 256, blockBytes: 210 } })
    const refused = llamaModel({ ...gguf, tensors }, bytesSource(file))
    await expect(refused).rejects.toThrow('blk.0.ffn_up.weight of type Q6_K')
    await expect(refused).rejects.toMatchObject({ code: 'unsupported' })
  })

  it('refuses a tensor that the graph has no place for', async () => {
    const file = tinyLlama({ layers: 1 })
    const gguf = parseGguf(file)
    const norm = gguf.tensors.get('output_norm.weight')
    if (!norm) throw new Error('no such tensor')
    const tensors = new Map(gguf.tensors).set('blk.0.attn_q.bias', { ...norm, name: 'blk.0.attn_q.bias' })
    await expect(llamaModel({ ...gguf, tensors }, bytesSource(file))).rejects.toThrow('blk.0.attn_q.bias')
  })

  it('refuses a tensor of another shape than the metadata says', async () => {
    const file = tinyLlama({ layers: 1 })
    const gguf = parseGguf(file)
    const metadata = new Map(gguf.metadata).set('llama.feed_forward_length', 256)
    await expect(llamaModel({ ...gguf, metadata }, bytesSource(file))).rejects.toBeInstanceOf(ManyhandsError)
  })
})

function relativeError(got: Float32Array, want: Float64Array): number {
  let difference = 0
  let size = 0
  want.forEach((w, i) => {
    difference += ((got[i] as number) - w) ** 2
    size += w ** 2
  })
  return Math.sqrt(difference / size)
}
