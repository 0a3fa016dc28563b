/** Clients made for OpenAI's API in a page, over volunteers: nothing of theirs leaves the page but to them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { connect } from '../sdk/node.ts'
import { startTinyNetwork, tinyDecoder, tinyEncoder } from '../testing/tiny-network.ts'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { otherSite } from './harness/other-site.ts'

const answerMs = 60_000

test('OpenAI’s client and the AI SDK ask from a page: streams, logprobs, vectors, refusals', async () => {
  const page = fileURLToPath(new URL('fixtures/openai-page', import.meta.url))
  const built = await mkdtemp(join(tmpdir(), 'manyhands-openai-page-'))
  await build({ configFile: false, root: page, logLevel: 'error', build: { outDir: built, emptyOutDir: true, target: 'es2022' } })
  const network = await startTinyNetwork([tinyDecoder, tinyEncoder])
  const site = await otherSite(built)
  const browser = await startBrowser()
  const net = await connect({ server: network.url })
  try {
    const requested: string[] = []
    browser.page.on('request', (request) => requested.push(new URL(request.url()).origin))
    await browser.page.goto(`${site.origin}/#${network.url}`)
    const body = browser.page.locator('body')
    await expect(body).toHaveText(/^\{/, { timeout: answerMs })
    const told = JSON.parse((await body.textContent()) ?? '') as Record<string, unknown>
    const { text } = await net.generate(tinyDecoder, [{ role: 'user', content: 'Many hands' }], { maxTokens: 12 })
    const { embeddings } = await net.embed(tinyEncoder, ['many hands'])
    const vector = [...(embeddings[0] as Float32Array)]
    expect(told).toMatchObject({ streamed: text, whole: text, byAiSdk: text, used: 12, vector, embedding: vector })
    expect(told['logprobs']).toBeGreaterThan(0)
    expect(told['refused']).toContain("'tools' can't be kept")
    expect(new Set(requested)).toEqual(new Set([site.origin, new URL(network.url).origin]))
    expect(browser.problems).toEqual([])
  } finally {
    await net.close()
    await browser.close()
    await site.close()
    await network.close()
    await rm(built, { recursive: true, force: true })
  }
})
