/** `npm run volunteer`: a volunteer in a terminal serves what it was told to, and says why when it does not. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLibrary } from '../models/library.ts'
import { connect } from '../sdk/node.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { ProcessGroup } from './harness/process-group.ts'

const servingMs = 120_000

let folder: string
let network: TestNetwork

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  const model = await openLibrary(folder).addFile(tinyLlama({ layers: 2 }), { name: 'tiny-llama' })
  network = await startNetwork({ model, library: folder, stages: 1, volunteers: [] })
})
test.afterAll(async () => {
  await network?.close()
  await rm(folder, { recursive: true, force: true })
})

function volunteer(...args: readonly string[]): ProcessGroup {
  const all = ['--import', 'tsx', 'scripts/volunteer.ts', '--server', network.url, '--data', join(folder, 'weights'), ...args]
  const group = new ProcessGroup('A volunteer', process.execPath, all)
  network.onClose(() => group.end())
  return group
}

test('a model is chosen by its name; an interrupt lets it finish and ends it', async () => {
  const group = volunteer('--model', 'tiny-llama')
  await group.says(/^serving: Tiny llama.*on wasm/m, servingMs)
  const asking = await connect({ server: network.url })
  try {
    expect((await asking.generate('tiny-llama', 'Many hands', { maxTokens: 4 })).tokenIds.length).toBeGreaterThan(0)
  } finally {
    await asking.close()
  }
  group.signal('SIGINT')
  await group.ended
  expect(group.output).toMatch(/^stopped:/m)
})

test('a model that the server lacks is named, and looked for again', async () => {
  await volunteer('--model', 'no-such-model').says(/^failed:.*no model 'no-such-model'.*Trying again/m, servingMs)
})

test('too little memory is a reason that is said', async () => {
  await volunteer('--memory', '0.01').says(/^waiting:.*memory/m, servingMs)
})

test('a server that is not there is said, and looked for again', async () => {
  const group = new ProcessGroup('A volunteer', process.execPath, [
    '--import',
    'tsx',
    'scripts/volunteer.ts',
    '--server',
    'http://localhost:9',
  ])
  try {
    await group.says(/^failed:.*Trying again/m, servingMs)
  } finally {
    await group.end()
  }
})
