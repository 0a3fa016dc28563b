/** `manyhands gateway` as an operator runs it: a process of its own, against a real network. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { ProcessGroup } from '../e2e/harness/process-group.ts'
import { startTinyNetwork, tinyDecoder, type TinyNetwork } from '../testing/tiny-network.ts'

const startMs = 60_000
let network: TinyNetwork
let folder: string
const started: ProcessGroup[] = []

beforeAll(async () => {
  network = await startTinyNetwork([tinyDecoder])
  folder = await mkdtemp(join(tmpdir(), 'manyhands-gateway-'))
})
afterEach(async () => {
  for (const group of started.splice(0)) await group.end()
})
afterAll(async () => {
  await network?.close()
  await rm(folder, { recursive: true })
})

function command(...args: readonly string[]): ProcessGroup {
  return commandWith({}, ...args)
}

function commandWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): ProcessGroup {
  const group = new ProcessGroup('The gateway', process.execPath, ['--import', 'tsx', 'gateway/main.ts', ...args], env)
  started.push(group)
  return group
}

const upPattern = /up at (http:\/\/127\.0\.0\.1:\d+\/v1), for (.*)\./

it('a key is made, its holder is answered, and nobody else', async () => {
  const keys = join(folder, 'keys')
  const made = command('--keys', keys, '--new-key', 'ann')
  const [key] = await made.says(/^mg_\S{43}$/m, startMs)
  await made.ended
  expect(await readFile(keys, 'utf8')).toMatch(/^ann [0-9a-f]{64}\n$/)
  const gateway = command('--server', network.url, '--port', '0', '--keys', keys)
  const [, url, who] = await gateway.says(upPattern, startMs)
  expect(who).toBe('whoever has a key (1 in the file)')
  const ask = (authorization: string) => fetch(`${url}/models`, { headers: { authorization } })
  expect([(await ask(`Bearer ${key}`)).status, (await ask('Bearer mg_other')).status]).toEqual([200, 401])
  await gateway.says(/ann GET \/v1\/models 200 \d+ ms/, startMs)
  expect(gateway.output).not.toContain(key)
})

it('told to stop, it takes nothing new, and an answer under way ends first', async () => {
  const gateway = command('--server', network.url, '--port', '0')
  const [, url] = await gateway.says(upPattern, startMs)
  const body = JSON.stringify({ model: tinyDecoder, messages: [{ role: 'user', content: 'hi' }], max_tokens: 300, stream: true })
  const response = await fetch(`${url}/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const first = await reader.read()
  gateway.signal('SIGTERM')
  const decoder = new TextDecoder()
  let text = decoder.decode(first.value, { stream: true })
  for (let read = await reader.read(); !read.done; read = await reader.read()) text += decoder.decode(read.value, { stream: true })
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
  await gateway.ended
  await expect(fetch(`${url}/models`)).rejects.toThrow()
})

it('what it can’t do it says, with what would help', async () => {
  const open = command('--server', network.url, '--host', '0.0.0.0')
  await open.says(/say with --keys FILE who may ask/, startMs)
  await open.ended
  const nowhere = command('--server', 'http://localhost:9')
  await nowhere.says(/localhost:9/, startMs)
  await nowhere.ended
  const strange = commandWith({ MANYHANDS_API_KEY: 'mh_nobodys' }, '--server', network.url, '--port', '0')
  await strange.says(/project/, startMs)
  await strange.ended
})
