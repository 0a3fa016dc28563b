/** A sentence encoder over two browsers: a text's vector is what the model makes of it elsewhere, and finds what is meant. */
import { execFile } from 'node:child_process'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type * as Sdk from '../sdk/index.ts'
import { connect } from '../sdk/node.ts'
import type { Network } from '../sdk/types.ts'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test as base } from './harness/fixtures.ts'
import { catalogueModel, sharedLibrary, startNetwork, type TestNetwork } from './harness/network.ts'
import { pack, projectWith, root } from './harness/packed.ts'

const model = 'all-minilm-l6-v2'

interface Reference {
  readonly text: string
  /** By Rust's tokenizers, cut at 256. */
  readonly ids: readonly number[]
  /** By an independent implementation in float64. */
  readonly vector: readonly number[]
}

const references = JSON.parse(await readFile(new URL('fixtures/embeddings.json', import.meta.url), 'utf8')) as readonly Reference[]

const test = base.extend<{ network: Network }, { encoding: TestNetwork }>({
  encoding: [
    async ({}, use) => {
      const network = await startNetwork({ model: await catalogueModel(model), library: sharedLibrary, volunteers: ['tab', 'tab'] })
      await use(network)
      await network.close()
    },
    // Fetching the model, and two browsers that load it.
    { scope: 'worker', timeout: 600_000 },
  ],
  network: async ({ encoding }, use) => {
    const network = await connect({ server: encoding.url })
    await use(network)
    await network.close()
  },
})

function expectVectors(embeddings: readonly ArrayLike<number>[], wanted: readonly Reference[]): void {
  expect(embeddings).toHaveLength(wanted.length)
  for (const [i, { text, vector }] of wanted.entries()) {
    const worst = vector.reduce((most, want, k) => Math.max(most, Math.abs(want - (embeddings[i]?.[k] ?? NaN))), 0)
    expect(worst, text).toBeLessThan(1e-5)
  }
}

test('[MF8] vectors over two browsers are those of an independent implementation', async ({ encoding, network }) => {
  const progress: number[] = []
  const embedded = await network.embed(
    model,
    references.map(({ text }) => text),
    { onProgress: ({ done }) => progress.push(done) },
  )
  expectVectors(embedded.embeddings, references)
  expect(embedded.promptTokens).toBe(references.reduce((sum, { ids }) => sum + ids.length, 0))
  expect(progress.at(-1)).toBe(references.length)
  const receipts = await embedded.receipts
  for (const { revision, stages, custody } of receipts) {
    expect(revision).toBe(encoding.model.revision)
    expect(new Set(stages.map(({ peer }) => peer)).size).toBe(2)
    expect(custody.failed).toBe(0)
  }
  expect(receipts.length).toBeGreaterThan(1)
})

test('each text alone has the vector that it has among others', async ({ network }) => {
  const few = references.slice(0, 3)
  const alone: Float32Array[] = []
  for (const { text } of few) alone.push(...(await network.embed(model, [text])).embeddings)
  expectVectors(alone, few)
})

test('an encoder does not chat, and says so', async ({ network }) => {
  await expect(Promise.resolve(network.generate(model, 'Hello'))).rejects.toMatchObject({
    code: 'bad-input',
    message: expect.stringContaining('Use embed()'),
  })
})

test('embedding stops at the signal', async ({ network }) => {
  const stop = new AbortController()
  const embedded = network.embed(model, ['many hands'], { signal: stop.signal, onProgress: () => stop.abort() })
  await expect(embedded).rejects.toMatchObject({ code: 'aborted' })
})

test('a page asks for vectors as Node does', async ({ encoding }) => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  const few = references.slice(0, 8)
  const asked = { sdk: `${encoding.url}/sdk/${version}/manyhands.js`, server: encoding.url, model, texts: few.map(({ text }) => text) }
  const { page, problems, close } = await startBrowser()
  try {
    await page.goto(encoding.url)
    const vectors = await page.evaluate(async ({ sdk, server, model, texts }) => {
      const { connect } = (await import(sdk)) as typeof Sdk
      const network = await connect({ server })
      const { embeddings } = await network.embed(model, texts)
      await network.close()
      return embeddings.map((vector) => [...vector])
    }, asked)
    expectVectors(vectors, few)
    expect(problems).toEqual([])
  } finally {
    await close()
  }
})

test('the example of a search by meaning finds what is meant, in other words', async ({ encoding }) => {
  const packed = await pack()
  const project = await projectWith(packed, ['@roamhq/wrtc'])
  try {
    await copyFile(join(root, 'examples/semantic-search/search.js'), join(project.folder, 'search.mjs'))
    await writeFile(
      join(project.folder, 'text.txt'),
      ['The harbour freezes over in January.', 'A load that several carry weighs little on each.', 'Bread is baked before dawn.'].join(
        '\n\n',
      ),
    )
    const search = promisify(execFile)(process.execPath, ['search.mjs', 'text.txt', 'Who shares a burden?'], {
      cwd: project.folder,
      env: { ...process.env, MANYHANDS_SERVER: encoding.url },
    })
    const { stdout, stderr } = await search
    expect(stdout).toMatch(/^0\.\d\d {2}A load that several carry/)
    expect(stderr).toContain('3 of 3 passages')
  } finally {
    await project.remove()
    await packed.remove()
  }
})
