/**
 * Models that someone made to do harm, or broke: from the command each ends in one sentence and an exit code, without a run.
 */
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { canonicalJson } from '../protocol/hash.ts'
import { parseManifest, revisionOf, type Manifest } from '../protocol/manifest.ts'
import { modelOf } from '../testing/sample-graphs.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { runCli } from './cli.ts'
import { GraphBuilder } from './graph-builder.ts'
import { openLibrary, type LibraryModel } from './library.ts'
import type { Graph, Node, Tensor, TensorData } from './onnx/model.ts'
import { writeModel } from './onnx/write.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-hostile-'))
  await writeFile(join(folder, 'secret'), new Uint8Array(64))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function models(...args: string[]) {
  let out = ''
  let err = ''
  const code = await runCli(args, { out: (text) => (out += text), err: (text) => (err += text), live: false })
  return { code, out, err }
}

/** Two products and what stands between them: x -> a -> b -> y. */
function sound(): Graph {
  const g = new GraphBuilder()
  g.input('x', 'float32', [1, 4])
  const w = g.initializer('w', 'float32', [4, 4], { kind: 'raw', bytes: new Uint8Array(64) })
  g.node('MatMul', ['x', w], 'a')
  g.node('Relu', ['a'], 'b')
  g.node('MatMul', ['b', w], 'y')
  g.output('y', 'float32', [1, 4])
  return g.build('sound')
}
const node =
  (at: number, change: Partial<Node>) =>
  (graph: Graph): Graph => ({
    ...graph,
    nodes: graph.nodes.map((each, i) => (i === at ? { ...each, ...change } : each)),
  })
const weight =
  (change: Partial<Tensor>) =>
  (graph: Graph): Graph => ({
    ...graph,
    initializers: graph.initializers.map((each) => ({ ...each, ...change })),
  })
const outside = (location: string, offset = 0, length = 64): TensorData => ({ kind: 'external', location, offset, length })

describe('a hostile graph', () => {
  it.each([
    ['whose nodes wait for one another', node(0, { inputs: ['y', 'w'] }), /circle/],
    ['that makes a tensor twice', node(1, { outputs: ['a'] }), /tensor a is made twice/],
    ['that makes an input', node(1, { outputs: ['x'] }), /tensor x is made twice/],
    ['that reads what nothing makes', node(1, { inputs: ['ghost'] }), /nothing makes the tensor ghost/],
    ['without its weights', (g: Graph) => ({ ...g, initializers: [] }), /nothing makes the tensor w/],
    [
      'with two weights of a name',
      (g: Graph) => ({ ...g, initializers: [...g.initializers, ...g.initializers] }),
      /two initializers are called w/,
    ],
    ['with two inputs of a name', (g: Graph) => ({ ...g, inputs: [...g.inputs, ...g.inputs] }), /two inputs are called x/],
    ['whose result nothing makes', (g: Graph) => ({ ...g, outputs: [{ ...(g.outputs[0] as Graph['outputs'][0]), name: 'z' }] }), /z/],
    ['without a result', (g: Graph) => ({ ...g, outputs: [] }), /computes nothing/],
    ['with nothing in it', () => new GraphBuilder().build('empty'), /computes nothing/],
    ['with a weight of 2^50 bytes in no bytes', weight({ dims: [2 ** 24, 2 ** 24] }), /takes \d+ bytes, but has 64/],
    ['with a weight past the end of its file', weight({ data: outside('secret', 32) }), /ends before its contents do/],
    [
      'with a weight of 2^50 bytes in a small file',
      weight({ dims: [2 ** 24, 2 ** 24], data: outside('secret', 0, 2 ** 50) }),
      /ends before its contents do/,
    ],
    ['with weights in a folder above', weight({ data: outside('../secret') }), /outside its folder/],
    ['with weights at an absolute path', weight({ data: outside('/etc/passwd') }), /outside its folder/],
    ['with weights behind a link that leads out', weight({ data: outside('way-out') }), /outside its folder/],
    ['with weights in a folder', weight({ data: outside('.') }), /outside its folder/],
    ['with weights nowhere', weight({ data: outside('nowhere.bin') }), /not beside it/],
    ['with an operator of nobody', node(1, { opType: 'Explode' }), /Explode/],
    [
      'with an input of 2^40 elements',
      (g: Graph) => {
        const [x, y] = ['x', 'y'].map((name) => ({ name, type: { kind: 'tensor', dtype: 'float32', dims: [2 ** 38, 4] } as const }))
        return { ...g, inputs: x ? [x] : [], outputs: y ? [y] : [] }
      },
      /too large for a check run/,
    ],
  ])('%s', async (what, change, why) => {
    const home = join(folder, what.replaceAll(/\W/g, '-'))
    await openLibrary(home).blobs.put(new Uint8Array())
    await writeFile(join(home, 'secret'), new Uint8Array(64))
    await symlink('/etc', join(home, 'etc'))
    await symlink('/etc/hostname', join(home, 'way-out'))
    const file = join(home, 'model.onnx')
    await writeFile(file, writeModel(modelOf(change(sound()))))
    for (const args of [
      ['add', file],
      ['carve', file, '--stages', '2', '--out', join(home, 'stages')],
    ]) {
      const refused = await models(...args, '--data', join(home, 'library'))
      expect(refused).toMatchObject({ code: 1, out: '' })
      expect(refused.err).toMatch(why)
      expect(refused.err).toMatch(/^[^\n]+\.\n$/)
    }
    expect(await openLibrary(join(home, 'library')).models()).toEqual([])
  })
})

describe('a hostile GGUF', () => {
  const whole = tinyLlama({ layers: 1 })
  it.each([
    ['that is cut off in its weights', whole.subarray(0, whole.length - 1), /cut off/],
    ['that is cut off in its header', whole.subarray(0, 1000), /ends inside its header/],
    ['of four bytes', whole.subarray(0, 4), /ends inside its header/],
    [
      'of another architecture',
      Uint8Array.from(Buffer.from(whole).toString('latin1').replace('llama', 'mamba'), (c) => c.charCodeAt(0)),
      /mamba/,
    ],
  ])('%s', async (what, bytes, why) => {
    const file = join(folder, `${what.replaceAll(/\W/g, '-')}.gguf`)
    await writeFile(file, bytes)
    const refused = await models('add', file, '--data', join(folder, 'none'))
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toMatch(why)
    expect(refused.err).toMatch(/^[^\n]+\.\n$/)
  })
})

describe('a damaged library', () => {
  let data = ''
  let model: LibraryModel
  beforeAll(async () => {
    data = join(folder, 'library')
    model = await openLibrary(data).addFile(tinyLlama({ layers: 2 }), { name: 'tiny' })
  })

  /** The manifest changed, under the name that its hash then is. */
  async function withManifest(change: (manifest: Manifest) => Manifest) {
    const changed = change(model.manifest)
    const library = openLibrary(data)
    const revision = await revisionOf(changed)
    await writeFile(library.manifestPath(revision), canonicalJson(changed))
    await writeFile(library.manifestPath(revision).replace('.json', '.publication.json'), canonicalJson({ ...model.publication, revision }))
    const result = await models('carve', revision, '--stages', '2', '--out', join(folder, 'out'), '--data', data)
    await rm(library.manifestPath(revision))
    return result
  }
  const [first, second] = [0, 1]

  it.each([
    ['no blocks', (m: Manifest) => ({ ...m, blocks: [], cuts: [], golden: { ...m.golden, cuts: [] } }), /blocks/],
    ['more blocks than cuts', (m: Manifest) => ({ ...m, cuts: m.cuts.slice(1) }), /need \d+ cuts/],
    [
      'the same cut twice',
      (m: Manifest) => ({ ...m, cuts: m.cuts.map((cut, i) => (i === second ? (m.cuts[first] as typeof cut) : cut)) }),
      /./,
    ],
    ['its cuts in the wrong order', (m: Manifest) => ({ ...m, cuts: m.cuts.toReversed() }), /./],
    [
      'a cut through a tensor that is not there',
      (m: Manifest) => ({ ...m, cuts: m.cuts.map((cut) => ({ tensors: cut.tensors.map((t) => ({ ...t, name: `${t.name}?` })) })) }),
      /\?/,
    ],
    [
      'shards that it does not have',
      (m: Manifest) => ({ ...m, blocks: m.blocks.map((block) => ({ ...block, shards: [99] })) }),
      /shard 99/,
    ],
    [
      'fewer shards than its graph reads',
      (m: Manifest) => ({ ...m, shards: [], blocks: m.blocks.map((b) => ({ ...b, shards: [] })) }),
      /names shard-\d+/,
    ],
  ])('has a manifest with %s', async (_, change, why) => {
    const refused = await withManifest(change)
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toMatch(why)
    expect(refused.err).toMatch(/^[^\n]+\.\n$/)
  })

  it.each([
    ['changed', (bytes: Uint8Array) => bytes.fill(7, 0, 1)],
    ['cut short', (bytes: Uint8Array) => bytes.subarray(1)],
    ['emptied', () => new Uint8Array()],
  ])('has a shard that was %s', async (_, spoil) => {
    const { blobs } = openLibrary(data)
    const { hash } = model.manifest.shards[0] as Manifest['shards'][0]
    const bytes = (await blobs.get(hash)).slice()
    await writeFile(blobs.path(hash), spoil(bytes.slice()))
    const refused = await models('carve', 'tiny', '--stages', '2', '--out', join(folder, 'out'), '--data', data)
    await writeFile(blobs.path(hash), bytes)
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toMatch(/^The library's file [0-9a-f]{64} is damaged: .*\.\n$/)
  })

  it('has a manifest that is no JSON, or not what its name says', async () => {
    const path = openLibrary(data).manifestPath(model.revision)
    for (const text of ['{', canonicalJson({ ...parseManifest(model.manifest), title: 'Another' })]) {
      await writeFile(path, text)
      const refused = await models('list', '--data', data)
      expect(refused).toMatchObject({ code: 1, out: '' })
      expect(refused.err).toMatch(/is damaged \(.*\): delete it and add the model again\.\n$/)
    }
    await writeFile(path, canonicalJson(model.manifest))
    expect(await models('list', '--data', data)).toMatchObject({ code: 0 })
  })
})
