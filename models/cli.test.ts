import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tinyBert } from '../testing/tiny-bert.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { runCli } from './cli.ts'
import { openLibrary } from './library.ts'

let folder = ''
let data = ''
let gguf = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-cli-'))
  data = join(folder, 'library')
  gguf = join(folder, 'tiny.gguf')
  await writeFile(gguf, tinyLlama({ layers: 1 }))
  await openLibrary(data).addFile(gguf, { name: 'tiny' })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The command as a shell would see it. */
async function models(...args: string[]) {
  let out = ''
  let err = ''
  const code = await runCli([...args, '--data', data], { out: (text) => (out += text), err: (text) => (err += text), live: false })
  return { code, out, err }
}

describe('manyhands models', () => {
  it('lists what is there, and what can be added by name', async () => {
    const { code, out } = await models('list')
    expect(code).toBe(0)
    expect(out).toMatch(/^tiny +[0-9a-f]{12} +text-generation /m)
    expect(out).toMatch(/To be added by name:\n {2}smollm2-135m-instruct /)
  })

  it('tells all about a model, by its name or the first digits of its revision', async () => {
    const named = await models('inspect', 'tiny')
    expect(named).toMatchObject({ code: 0, err: '' })
    expect(named.out).toContain('1 layers, 2 key-value heads of 16, 320 tokens, 512 positions, ends at 2')
    const revision = /^revision +([0-9a-f]{64})$/m.exec(named.out)?.[1] ?? ''
    expect(await models('inspect', revision.slice(0, 8))).toEqual(named)
  })

  it('carves a model of the library as it carves its file', async () => {
    const out = join(folder, 'stages')
    expect(await models('carve', 'tiny', '--stages', '2', '--out', out)).toMatchObject({ code: 0, err: '' })
    expect((await readdir(out)).sort()).toEqual(['stage-1.onnx', 'stage-1.onnx.data', 'stage-2.onnx', 'stage-2.onnx.data'])
    const again = join(folder, 'again')
    expect(await models('carve', gguf, '--stages', '2', '--out', again)).toMatchObject({ code: 0, err: '' })
    for (const name of await readdir(out)) expect(await readFile(join(again, name))).toEqual(await readFile(join(out, name)))
  })

  it('adds a sentence encoder by its safetensors file, named by its folder, with what lies beside it', async () => {
    const { weights, beside } = tinyBert({ layers: 2 })
    const at = join(folder, 'Tiny Encoder')
    await mkdir(join(at, '1_Pooling'), { recursive: true })
    await writeFile(join(at, 'model.safetensors'), weights)
    const bare = await models('add', join(at, 'model.safetensors'))
    expect(bare).toMatchObject({ code: 1, err: expect.stringMatching(/^A safetensors file says nothing of its architecture: put/) })
    for (const [name, bytes] of Object.entries(beside)) await writeFile(join(at, name), bytes)
    expect(await models('add', join(at, 'model.safetensors'))).toMatchObject({ code: 0, out: expect.stringMatching(/^tiny-encoder /) })
    const { out } = await models('inspect', 'tiny-encoder')
    expect(out).toMatch(/^task +feature-extraction$/m)
    expect(out).toMatch(/^vectors +of a text the mean of its tokens, of length 1; 48 tokens at most$/m)
    expect(await models('carve', join(at, 'model.safetensors'), '--stages', '2', '--out', join(folder, 'encoder'))).toMatchObject({
      code: 0,
    })
    expect(await models('remove', 'tiny-encoder')).toMatchObject({ code: 0 })
  })

  it('removes a model with the files that nothing else uses', async () => {
    await writeFile(join(folder, 'other.gguf'), tinyLlama({ layers: 1, seed: 2 }))
    const before = await readdir(join(data, 'blobs'))
    expect(await models('add', join(folder, 'other.gguf'), '--name', 'other')).toMatchObject({ code: 0 })
    expect(await models('remove', 'other')).toMatchObject({ code: 0, err: '' })
    expect((await readdir(join(data, 'blobs'))).sort()).toEqual(before.sort())
    expect((await models('inspect', 'other')).code).toBe(1)
  })

  it.each([
    [['inspect', 'nobody'], 1, /has no model nobody/],
    [['remove', 'nobody'], 1, /has no model nobody/],
    [['carve', 'nobody', '--stages', '2', '--out', 'x'], 1, /has no model nobody/],
    [['add', 'nobody'], 1, /neither in the catalogue \(.*\) nor a file/],
    [['carve', 'tiny', '--out', 'x'], 2, /--stages N, 1 or more/],
    [['carve', 'tiny', '--stages', '0', '--out', 'x'], 2, /--stages N, 1 or more/],
    [['carve', 'tiny', '--stages', 'x', '--out', 'x'], 2, /--stages N, 1 or more/],
    [['carve', 'tiny', '--stages', '1000', '--out', 'x'], 1, /tiny has \d+ blocks: ask for that many stages at most/],
    [['carve', 'tiny', '--stages', '2'], 2, /--out DIR/],
    [['dance', 'tiny'], 2, /dance is no command/],
    [['inspect'], 2, /inspect takes one model/],
    [['list', '--colour'], 2, /--colour/],
  ] as const)('%j is refused in a sentence', async (args, code, why) => {
    const refused = await models(...args)
    expect(refused).toMatchObject({ code, out: '' })
    expect(refused.err).toMatch(why)
    expect(refused.err).toMatch(/^[^\n]+\.( See manyhands models --help)?\n$/)
  })

  it('says so when the folder for the stages can not be made', async () => {
    const refused = await models('carve', 'tiny', '--stages', '1', '--out', join(gguf, 'stages'))
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toMatch(/^The folder .*stages can't be made \(.*\): choose another one\.\n$/)
  })

  it('carves a carved stage again, in the folder where it lies', async () => {
    const out = join(folder, 'in-place')
    const carve = (subject: string) => models('carve', subject, '--stages', '1', '--out', out, '--dim', 'batch_size=1')
    expect(await carve('tiny')).toMatchObject({ code: 0 })
    const before = await readFile(join(out, 'stage-1.onnx.data'))
    expect(await carve(join(out, 'stage-1.onnx'))).toMatchObject({ code: 0, err: '' })
    expect((await readFile(join(out, 'stage-1.onnx.data'))).length).toBe(before.length)
    expect((await readdir(out)).sort()).toEqual(['stage-1.onnx', 'stage-1.onnx.data'])
  })
})

describe('the library', () => {
  it('replaces what an older version made of an entry of the catalogue', { timeout: 60_000 }, async () => {
    const library = openLibrary(join(folder, 'old'))
    const old = await library.addFile(gguf, { name: 'pp-ocrv4-rec' })
    await writeFile(join(folder, 'old', 'models', `${old.revision}.source.json`), '{}')
    const added = await library.add('pp-ocrv4-rec')
    expect((await library.models()).map((model) => model.revision)).toEqual([added.revision])
    expect(await library.add('pp-ocrv4-rec')).toEqual(added)
  })
})
