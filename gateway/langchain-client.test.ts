/** LangChain's OpenAI models over a real network, in this process by `net.fetch` and over HTTP by the gateway. */
import { HumanMessage, SystemMessage } from '@langchain/core/messages'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGatewayNetwork, type GatewayNetwork } from '../testing/gateway-network.ts'
import { tinyDecoder, tinyEncoder } from '../testing/tiny-network.ts'

let network: GatewayNetwork
beforeAll(async () => {
  network = await startGatewayNetwork()
})
afterAll(() => network?.close())

const messages = [new SystemMessage('be brief'), new HumanMessage('Many hands')]
const greedy = async () => {
  const said = [
    { role: 'system' as const, content: 'be brief' },
    { role: 'user' as const, content: 'Many hands' },
  ]
  return (await network.net.generate(tinyDecoder, said, { maxTokens: 12 })).text
}

describe.each([
  ['net.fetch', () => ({ apiKey: 'unused', configuration: { fetch: network.net.fetch, baseURL: 'https://nowhere.invalid/v1' } })],
  ['the gateway', () => ({ apiKey: network.key, configuration: { baseURL: network.baseUrl } })],
])('by %s', (_, way) => {
  const chat = () => new ChatOpenAI({ ...way(), model: tinyDecoder, temperature: 0, maxTokens: 12, maxRetries: 0 })

  it('an answer whole, with what was used', async () => {
    const { content, usage_metadata: used } = await chat().invoke(messages)
    expect({ content, used }).toMatchObject({ content: await greedy(), used: { output_tokens: 12 } })
  })

  it('an answer as a stream', async () => {
    let text = ''
    for await (const piece of await chat().stream(messages)) text += piece.content as string
    expect(text).toBe(await greedy())
  })

  it('embeddings', async () => {
    const vectors = await new OpenAIEmbeddings({ ...way(), model: tinyEncoder, maxRetries: 0 }).embedDocuments(['many hands', 'light work'])
    expect(vectors).toEqual((await network.net.embed(tinyEncoder, ['many hands', 'light work'])).embeddings.map((vector) => [...vector]))
  })

  it('an abort, and tools that are refused', async () => {
    await expect(chat().invoke(messages, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
    const tools = [{ type: 'function' as const, function: { name: 'f', parameters: { type: 'object', properties: {} } } }]
    await expect(chat().bindTools(tools).invoke(messages)).rejects.toMatchObject({ status: 400, param: 'tools' })
  })
})
