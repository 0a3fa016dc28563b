/**
 * OpenAI's own client for Python over a real network. It is fetched once into a folder that is kept; where there is no pip, or no
 * package index, the test says so and is skipped.
 */
import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startGatewayNetwork, type GatewayNetwork } from '../testing/gateway-network.ts'
import { tinyDecoder, tinyEncoder } from '../testing/tiny-network.ts'

const run = promisify(execFile)
const kept = fileURLToPath(new URL('../node_modules/.cache/manyhands/openai-python', import.meta.url))
const python = join(kept, 'bin/python')
const client = 'openai>=2,<3'
const fetchMs = 300_000

let network: GatewayNetwork | undefined
/** Why it can't be tested here. */
let missing: string | undefined

beforeAll(async () => {
  missing = await fetchClient()
  if (missing === undefined) network = await startGatewayNetwork()
}, fetchMs)
afterAll(() => network?.close())

async function fetchClient(): Promise<string | undefined> {
  const ready = join(kept, 'ready')
  if (
    await access(ready).then(
      () => true,
      () => false,
    )
  )
    return undefined
  try {
    await run('python3', ['-m', 'venv', '--clear', kept])
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', client])
    await run(python, ['-c', `import openai, pathlib; pathlib.Path(${JSON.stringify(ready)}).touch()`])
    return undefined
  } catch (thrown) {
    return `OpenAI's Python client can't be had here: ${(thrown as Error).message.slice(0, 300)}`
  }
}

it('whole and streamed, seeded, with logprobs, vectors, models and its own kinds of errors', async ({ skip }) => {
  if (!network) return skip(missing)
  const { net, baseUrl, key, log } = network
  const script = fileURLToPath(new URL('openai_client.py', import.meta.url))
  const { stdout } = await run(python, [script], { env: { ...process.env, BASE_URL: baseUrl, KEY: key } })
  const told = JSON.parse(stdout) as Record<string, unknown> & { seeded: string[][]; vectors: number[][] }
  const { text } = await net.generate(tinyDecoder, [{ role: 'user', content: 'Many hands' }], { maxTokens: 12 })
  const { embeddings } = await net.embed(tinyEncoder, ['many hands', 'light work'])
  expect(told).toMatchObject({ whole: text, streamed: text, finish: 'length', used: 12, streamUsed: 12 })
  expect(new Set(told['tops'] as number[])).toEqual(new Set([2]))
  expect(told.seeded[0]).toEqual(told.seeded[1])
  expect(told['completion']).toBe((await net.generate(tinyDecoder, 'Many hands', { maxTokens: 6 })).text)
  expect(told.vectors).toEqual(embeddings.map((vector) => [...vector]))
  expect(told['models']).toEqual([tinyEncoder, tinyDecoder])
  expect(told).toMatchObject({
    noModel: ['NotFoundError', 404, 'model_not_found', 'model', true],
    tools: ['BadRequestError', 400, 'unsupported_parameter', 'tools', true],
    format: ['BadRequestError', 400, 'unsupported_parameter', 'response_format', true],
    badKey: ['AuthenticationError', 401, 'invalid_api_key', null, true],
  })
  await expect.poll(() => log.at(-1)).toMatch(/ann POST .* 200 cut off/)
})
