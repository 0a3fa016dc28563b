import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8, type Bytes } from '../protocol/bytes.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import type { TensorValue } from '../protocol/tensors.ts'
import { referenceBert } from '../testing/reference-bert.ts'
import { tinyBert, tinyWords, type TinyBert, type TinyBertOptions } from '../testing/tiny-bert.ts'
import { bertModel } from './bert.ts'
import { besideOf } from './beside.ts'
import { bytesSource } from './byte-source.ts'
import { Carver } from './carve.ts'
import { openSession } from './golden-engine.ts'
import { cutSource } from './import-blocks.ts'
import { lower, type Target } from './lower.ts'
import { writeModel } from './onnx/write.ts'
import { parseSafetensors } from './safetensors.ts'
import type { SourceModel } from './source-model.ts'
import { splitStages } from './split.ts'

const load = ({ weights, beside }: TinyBert) => bertModel(parseSafetensors(weights), bytesSource(weights), besideOf(beside))
const [cls, sep] = [2, 3]
const words = (...ids: number[]) => [cls, ...ids, sep]

function feeds(rows: readonly (readonly number[])[]): Map<string, TensorValue> {
  const length = Math.max(...rows.map((ids) => ids.length))
  const of = (value: (id: number) => number) => {
    const values = rows.flatMap((ids) => Array.from({ length }, (_, i) => (i < ids.length ? value(ids[i] as number) : 0)))
    return { dtype: 'int64', dims: [rows.length, length], bytes: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) } as const
  }
  return new Map([
    ['input_ids', of((id) => id)],
    ['attention_mask', of(() => 1)],
    ['token_type_ids', of(() => 0)],
  ])
}

async function weightsOf(source: SourceModel): Promise<Map<string, Uint8Array>> {
  const weights = new Map<string, Uint8Array>()
  for (const [location, part] of source.parts) {
    const bytes = await part.load()
    expect(bytes.length).toBe(part.bytes)
    weights.set(location, bytes)
  }
  return weights
}

const floats = (value: TensorValue | undefined) => new Float32Array((value as TensorValue).bytes.slice().buffer)

async function compute(graph: Uint8Array, weights: ReadonlyMap<string, Uint8Array>, fed: ReadonlyMap<string, TensorValue>) {
  const session = await openSession(graph, weights)
  try {
    return await session.run(fed)
  } finally {
    await session.close()
  }
}

describe('a BERT from safetensors as an ONNX encoder', () => {
  const variants: readonly TinyBertOptions[] = [
    {},
    { dtype: 'F16', seed: 2 },
    { dtype: 'BF16', seed: 3, prefix: 'bert.' },
    { hidden: 288, heads: 2, ffn: 300, layers: 1, seed: 4 },
  ]
  it.each(variants)('computes what the file says, each text of a batch as if it were alone: %j', { timeout: 60_000 }, async (options) => {
    const file = tinyBert(options)
    const source = await load(file)
    const rows = [
      words(40, 50, 60, 61, 62, 63, 64, 90, 91, 92),
      words(),
      words(17),
      words(...Array.from({ length: 38 }, (_, i) => 20 + 2 * i)),
    ]
    const made = (await compute(writeModel(source.model), await weightsOf(source), feeds(rows))).get('last_hidden_state')
    const hidden = options.hidden ?? 64
    expect(made?.dims).toEqual([4, 40, hidden])
    const reference = referenceBert(file)
    const got = floats(made)
    let worst = 0
    for (const [text, ids] of rows.entries()) {
      for (const [token, state] of reference.states(ids).entries()) {
        const at = (text * 40 + token) * hidden
        state.forEach((want, i) => (worst = Math.max(worst, Math.abs((got[at + i] as number) - want))))
      }
    }
    // States are of a size near 1.
    expect(worst).toBeLessThan(5e-6)
  })

  it('is cut between and within its layers, and computes in stages what it computes whole', { timeout: 60_000 }, async () => {
    const source = await load(tinyBert({ layers: 4 }))
    const cut = await cutSource(source, {})
    const crossing = cut.layout.cuts.map(({ tensors }) => tensors.map(({ shape }) => shape.join()))
    expect(crossing.length).toBeGreaterThanOrEqual(7)
    // What every layer reads of the mask, and the layer's own result; behind the last attention that alone.
    const [mask, hidden] = ['batch_size,1,1,sequence_length', 'batch_size,sequence_length,64']
    for (const shapes of crossing.slice(1, -1)) expect(shapes).toEqual([mask, hidden])
    expect(crossing.at(-1)).toEqual([hidden])
    const fed = feeds([words(20, 21, 22), words(30, 31, 32, 33, 34, 35)])
    const weights = await weightsOf(source)
    const carver = new Carver(source.model, cut.layout)
    const staged = async (ranges: readonly BlockRange[], target: Target) => {
      let held: ReadonlyMap<string, TensorValue> = fed
      for (const range of ranges) {
        const stage = carver.stage(range)
        const own = new Map(stage.inputs.map((name) => [name, held.get(name) as TensorValue]))
        held = await compute(writeModel(lower(stage.model, target).model), weights, own)
      }
      return floats(held.get('last_hidden_state'))
    }
    const end = cut.blocks.length
    const whole = await staged([{ first: 0, end }], 'wasm')
    expect(whole).toEqual(floats((await compute(writeModel(source.model), weights, fed)).get('last_hidden_state')))
    // To the bit: pipelines of a quorum may be cut at different places.
    for (const at of crossing.keys())
      expect(
        await staged(
          [
            { first: 0, end: at + 1 },
            { first: at + 1, end },
          ],
          'wasm',
        ),
        `cut ${at}`,
      ).toEqual(whole)
    expect(await staged(splitStages(cut.blocks, 4), 'wasm')).toEqual(whole)
    expect(await staged(splitStages(cut.blocks, 3), 'portable')).toEqual(whole)
  })

  it('says how vectors come of it, as the files beside it say', async () => {
    expect((await load(tinyBert())).embedding).toEqual({ pooling: 'mean', normalize: true, maxTokens: 48 })
    const first = tinyBert({ pooling: 'first', normalize: false, maxTokens: 512 })
    expect((await load(first)).embedding).toEqual({ pooling: 'first', normalize: false, maxTokens: 160 })
    const silent = tinyBert()
    const { 'config.json': config, 'tokenizer.json': tokenizer } = silent.beside as Record<string, Bytes>
    const bare = { ...silent, beside: { 'config.json': config as Bytes, 'tokenizer.json': tokenizer as Bytes } }
    expect((await load(bare)).embedding).toEqual({ pooling: 'mean', normalize: true, maxTokens: 160 })
  })

  const tiny = tinyBert({ layers: 1 })
  const without = (name: string): TinyBert => ({
    ...tiny,
    beside: Object.fromEntries(Object.entries(tiny.beside).filter(([n]) => n !== name)),
  })
  const changed = (name: string, change: object): TinyBert => {
    const value = JSON.parse(fromUtf8(tiny.beside[name] as Uint8Array)) as object
    return { ...tiny, beside: { ...tiny.beside, [name]: utf8(JSON.stringify({ ...value, ...change })) } }
  }
  const replaced = (name: string, text: string): TinyBert => ({ ...tiny, beside: { ...tiny.beside, [name]: utf8(text) } })
  it.each([
    ['no config.json', without('config.json'), 'not-found', 'put the model’s config.json'.replace('’', "'")],
    ['no tokenizer.json', without('tokenizer.json'), 'not-found', 'tokenizer.json beside it'],
    ['another architecture', changed('config.json', { model_type: 'roberta' }), 'unsupported', '"roberta"'],
    ['another activation', changed('config.json', { hidden_act: 'relu' }), 'unsupported', '"relu"'],
    ['relative positions', changed('config.json', { position_embedding_type: 'relative_key' }), 'unsupported', 'relative_key'],
    ['a decoder', changed('config.json', { is_decoder: true }), 'unsupported', 'a decoder'],
    ['heads that do not fit', changed('config.json', { num_attention_heads: 3 }), 'bad-model', '3 heads'],
    ['sizes that are none', changed('config.json', { hidden_size: 1e9 }), 'bad-model', 'hidden_size'],
    [
      'other sizes than its tensors',
      changed('config.json', { intermediate_size: 257 }),
      'bad-model',
      'has the shape [256, 64], not [257, 64]',
    ],
    ['more layers than it has', changed('config.json', { num_hidden_layers: 2 }), 'bad-model', 'no tensor encoder.layer.1'],
    [
      'fewer layers than it has',
      changed('config.json', { num_hidden_layers: 1, vocab_size: 9 }),
      'bad-model',
      `token ${tinyWords.length - 1}`,
    ],
    ['a config.json that is none', replaced('config.json', 'nothing'), 'bad-model', 'config.json refused: it is not JSON'],
    ['a tokenizer.json that is none', replaced('tokenizer.json', '{"model": 7}'), 'bad-model', 'tokenizer.json refused'],
    ['a layer after the pooling', replaced('modules.json', '[{"type": "sentence_transformers.models.Dense"}]'), 'unsupported', '"Dense"'],
    [
      'pooling by the largest',
      replaced('1_Pooling/config.json', '{"pooling_mode_max_tokens": true}'),
      'unsupported',
      'pooling_mode_max_tokens',
    ],
  ])('refuses %s', async (_, file, code, why) => {
    const refused = load(file)
    await expect(refused).rejects.toMatchObject({ code })
    await expect(refused).rejects.toThrow(why)
  })

  it('refuses a tensor that the graph has no place for, or of numbers that it can not compute with', async () => {
    const { weights, beside } = tiny
    const file = parseSafetensors(weights)
    const [name, tensor] = [...file.tensors].at(-1) as [string, typeof file.tensors extends ReadonlyMap<string, infer T> ? T : never]
    const more = new Map(file.tensors).set('adapter.weight', { ...tensor, name: 'adapter.weight' })
    await expect(bertModel({ ...file, tensors: more }, bytesSource(weights), besideOf(beside))).rejects.toThrow('adapter.weight')
    expect(name).toBe('embeddings.position_ids')
    const word = 'embeddings.word_embeddings.weight'
    const odd = new Map(file.tensors).set(word, { ...(file.tensors.get(word) ?? tensor), type: 'I8' })
    await expect(bertModel({ ...file, tensors: odd }, bytesSource(weights), besideOf(beside))).rejects.toThrow(`${word} of type I8`)
  })
})
