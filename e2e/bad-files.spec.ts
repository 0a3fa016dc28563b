/** Files that are not what they should be: a volunteer says so and serves nothing, and its page stays alive. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLibrary, type Library, type LibraryModel } from '../models/library.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { expect, test } from './harness/fixtures.ts'
import { startServerProcess } from './harness/server-process.ts'
import { joinAsVolunteer } from './harness/volunteer-tab.ts'

let whole: string
let model: LibraryModel

test.beforeAll(async () => {
  whole = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  model = await openLibrary(whole).addFile(tinyLlama({ layers: 2 }), { name: 'tiny-llama' })
})

test.afterAll(() => rm(whole, { recursive: true, force: true }))

const spoilings: Readonly<Record<string, (library: Library) => Promise<void>>> = {
  'a shard with a byte changed': async (library) => {
    const path = library.blobPath(model.manifest.shards[0]?.hash as never)
    const bytes = await readFile(path)
    bytes[100] = (bytes[100] as number) ^ 1
    await writeFile(path, bytes)
  },
  'a shard cut short': async (library) => {
    const path = library.blobPath(model.manifest.shards[1]?.hash as never)
    await writeFile(path, (await readFile(path)).subarray(0, -10))
  },
  'another graph than the one published': async (library) => {
    await writeFile(library.blobPath(model.manifest.graph.hash), new Uint8Array(model.manifest.graph.bytes))
  },
  'a shard that is gone': (library) => rm(library.blobPath(model.manifest.shards[0]?.hash as never)),
}

for (const [what, spoil] of Object.entries(spoilings)) {
  test(`${what}: the volunteer says so, and serves once it is mended`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'manyhands-spoilt-'))
    await cp(whole, folder, { recursive: true })
    await spoil(openLibrary(folder))
    const server = await startServerProcess({ data: folder, stages: 1 })
    const tab = await joinAsVolunteer(server.url)
    try {
      const phase = tab.browser.page.locator('[data-testid=phase][data-phase=failed]')
      await phase.waitFor({ timeout: 60_000 })
      expect((await tab.state()).reason).toMatch(/trying again/i)
      await cp(whole, folder, { recursive: true, force: true })
      await tab.browser.page.locator('[data-testid=phase][data-phase=serving]').waitFor({ timeout: 120_000 })
    } finally {
      await tab.browser.close()
      await server.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
}
