/** WebGPU for real, beside wasm in a browser and wasm in Node, in one pipeline: the same tokens as the whole model. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTokenizer } from '../models/chat.ts'
import { openLibrary } from '../models/library.ts'
import type { Manifest } from '../protocol/manifest.ts'
import { connect } from '../sdk/node.ts'
import { referenceGreedy } from '../testing/reference-llama.ts'
import { tinyEos, tinyLlama } from '../testing/tiny-llama.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'

/** Small, since a software GPU takes some milliseconds a dispatch. */
const file = tinyLlama({ layers: 3, seed: 5 })
/** More than a chunk's 32 rows, and more than a run on a software GPU may have. */
const prompt = 'It is in the end the many that carry what no one could: the rest is patience, and a good deal of it, again and again.'
const answerTokens = 24

let network: TestNetwork
let folder: string

test.beforeAll(async () => {
  test.setTimeout(400_000)
  folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  const model = await openLibrary(folder).addFile(file, { name: 'tiny-llama' })
  network = await startNetwork({ model, library: folder, volunteers: ['gpu tab', 'tab', 'node'] })
})

test.afterAll(async () => {
  await network?.close()
  await rm(folder, { recursive: true, force: true })
})

test('a software GPU, wasm in a browser and Node together give the tokens of the whole model', async () => {
  const asking = await connect({ server: network.url })
  try {
    const generation = asking.generate('tiny-llama', prompt, { maxTokens: answerTokens })
    const answer = await generation
    expect((await generation.receipt).custody.failed).toBe(0)
    expect(answer.stages.map((stage) => stage.backend)).toEqual(['webgpu', 'wasm', 'wasm'])
    expect(answer.promptTokens).toBeGreaterThan(32)
    const { json, config } = network.model.manifest.tokenizer as NonNullable<Manifest['tokenizer']>
    const { blobs } = openLibrary(folder)
    const promptIds = createTokenizer(await blobs.get(json.hash), await blobs.get(config.hash)).encode(prompt)
    expect(answer.promptTokens).toBe(promptIds.length)
    expect(answer.tokenIds).toEqual(referenceGreedy(file, promptIds, answerTokens, [tinyEos]))
  } finally {
    await asking.close()
  }
})

test('the page of a volunteer shows the backend that it truly uses', async () => {
  const [gpu, wasm] = await Promise.all(network.tabs.map((tab) => tab.state()))
  expect(gpu?.backend).toMatch(/gpu/i)
  expect(wasm?.backend).not.toMatch(/gpu/i)
})
