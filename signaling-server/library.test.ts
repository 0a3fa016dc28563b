/** The library's models as the server offers them, while the folder changes under it. */
import { mkdtemp, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openLibrary, type Library, type LibraryModel } from '../models/library.ts'
import type { Hash, Revision } from '../protocol/ids.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { OfferedModels } from './library.ts'

let folder: string
let library: Library
let model: LibraryModel

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-library-'))
  library = openLibrary(folder)
  model = await library.addFile(tinyLlama(), { name: 'first' })
})
afterAll(() => rm(folder, { recursive: true }))

let offered: OfferedModels
let lines: string[]
let told: string[][]
let refuse: Error | undefined

beforeEach(() => {
  lines = []
  told = []
  refuse = undefined
  offered = new OfferedModels(
    library,
    async (models) => {
      if (refuse) throw refuse
      told.push(models.map((m) => m.manifest.name))
    },
    (line) => lines.push(line),
  )
})
afterEach(() => offered.close())

const publicationPath = (revision: Revision) => library.manifestPath(revision).replace(/\.json$/, '.publication.json')

it('offers what is there, with its manifest as it was hashed, and its files by their hashes', async () => {
  await offered.look()
  expect(told).toEqual([['first']])
  expect(offered.models).toEqual([model])
  expect(await offered.manifest(model.revision)).toBe(await readFile(library.manifestPath(model.revision), 'utf8'))
  const { hash, bytes } = model.manifest.graph
  expect(await offered.blob(hash)).toEqual({ path: library.blobPath(hash), bytes })
  expect(await offered.manifest('0'.repeat(64) as Revision)).toBeUndefined()
  expect(await offered.blob('0'.repeat(64) as Hash)).toBeUndefined()
})

it('a model added while it runs is offered, one removed is not any more, and nobody is told twice', async () => {
  await offered.look()
  const second = await library.addFile(tinyLlama({ layers: 1 }), { name: 'second' })
  // It looks by itself.
  await expect.poll(() => offered.models.length, { timeout: 60_000 }).toBe(2)
  offered.close()
  await library.remove(second.revision)
  await offered.look(true)
  await offered.look(true)
  expect(told).toEqual([['first'], ['first', 'second'], ['first']])
  expect(await offered.manifest(second.revision)).toBeUndefined()
  expect(lines).toEqual([])
})

describe('a damaged model is complained of once and left out, the others are offered', () => {
  let second: LibraryModel
  beforeEach(async () => {
    second = await library.addFile(tinyLlama({ layers: 1 }), { name: 'second' })
  })
  afterEach(async () => {
    for (const path of [library.manifestPath(second.revision), publicationPath(second.revision)]) await unlink(path).catch(() => undefined)
  })

  it.each([
    ['its manifest is cut short', () => truncate(library.manifestPath(second.revision), 100)],
    [
      'its manifest is another’s',
      async () => writeFile(library.manifestPath(second.revision), await readFile(library.manifestPath(model.revision))),
    ],
    ['its publication is missing', () => unlink(publicationPath(second.revision))],
  ])('%s', async (_, spoil) => {
    await spoil()
    await offered.look()
    await offered.look(true)
    expect(told).toEqual([['first']])
    expect(lines).toEqual([expect.stringContaining(second.revision)])
  })

  it('[MF1] its publisher’s signature is wrong', async () => {
    const saved = JSON.parse(await readFile(publicationPath(second.revision), 'utf8')) as { issuedAt: number }
    await writeFile(publicationPath(second.revision), JSON.stringify({ ...saved, issuedAt: saved.issuedAt + 1 }))
    await offered.look()
    expect(told).toEqual([['first']])
    expect(lines).toEqual([expect.stringContaining("publisher's signature is wrong")])
  })
})

it('a damaged file is not given out, is complained of once, and is given out again when it is mended', async () => {
  await offered.look()
  const { hash } = model.manifest.graph
  const path = library.blobPath(hash)
  const whole = await readFile(path)
  await truncate(path, 10)
  for (let i = 0; i < 2; i++) expect(await offered.blob(hash)).toBeUndefined()
  expect(lines).toEqual([expect.stringContaining('damaged: 10 bytes')])
  await writeFile(path, whole)
  expect(await offered.blob(hash)).toBeDefined()
})

it('what can’t be taken over is said, and tried again', async () => {
  refuse = new Error('The database is away.')
  await offered.look()
  expect(offered.models).toEqual([])
  expect(lines).toEqual(['The database is away.'])
  refuse = undefined
  await offered.look()
  expect(told).toEqual([['first']])
  expect(offered.models).toEqual([model])
})

it('an empty folder offers nothing, and is no mistake', async () => {
  const empty = new OfferedModels(
    openLibrary(join(folder, 'nowhere')),
    async () => undefined,
    (line) => lines.push(line),
  )
  await empty.look()
  empty.close()
  expect(empty.models).toEqual([])
  expect(lines).toEqual([])
})
