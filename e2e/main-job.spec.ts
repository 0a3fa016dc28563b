/** The main job: a real chat model over three browsers answers as the model answers, token for token. */
import { readFile } from 'node:fs/promises'
import { checkReceipt } from '../protocol/receipt.ts'
import type { Message } from '../sdk/types.ts'
import { expect, test } from './harness/fixtures.ts'

interface Reference {
  readonly name: string
  readonly messages: readonly Message[]
  readonly promptIds: readonly number[]
  /** Greedy, by an independent implementation in float64; with the end token where there is one. */
  readonly ids: readonly number[]
  readonly text: string
}

const references = JSON.parse(await readFile(new URL('fixtures/greedy.json', import.meta.url), 'utf8')) as readonly Reference[]
/** The length at which the references were cut. */
const referenceTokens = 64

for (const { name, messages, promptIds, ids, text } of references) {
  test(`a chat model over three browsers answers token for token: ${name}`, async ({ asking, chat }) => {
    const generation = asking.generate('smollm2-135m-instruct', messages, { maxTokens: referenceTokens })
    let streamed = ''
    for await (const piece of generation) streamed += piece
    const answer = await generation
    expect(answer.tokenIds).toEqual(ids)
    expect(answer.promptTokens).toBe(promptIds.length)
    expect(answer.text).toBe(text)
    expect(streamed).toBe(text)
    expect(answer.finish).toBe(ids.length < referenceTokens ? 'stop' : 'length')

    expect(answer.stages.map((stage) => stage.backend)).toEqual(['wasm', 'wasm', 'wasm'])
    expect(new Set(answer.stages.map((stage) => stage.peer)).size).toBe(3)
    const ends = answer.stages.map((stage) => stage.blocks[1])
    expect(answer.stages.map((stage) => stage.blocks[0])).toEqual([0, ...ends.slice(0, -1)])
    expect(ends.at(-1)).toBe(chat.model.manifest.blocks.length)
  })
}

test('its receipt is signed, and every hand-over in it agreed', async ({ asking, chat }) => {
  const generation = asking.generate('smollm2-135m-instruct', 'Once upon a time', { maxTokens: 40 })
  const answer = await generation
  const receipt = await generation.receipt
  expect(await checkReceipt(receipt)).toBe(true)
  expect(receipt.revision).toBe(chat.model.revision)
  expect(receipt.stages.map((stage) => stage.peer)).toEqual(answer.stages.map((stage) => stage.peer))
  expect(receipt.custody.failed).toBe(0)
  // Four links and the requester's, each with at least one chunk.
  expect(receipt.custody.checked).toBeGreaterThanOrEqual(5)
})

test('the same seed gives the same text, another one another', async ({ asking }) => {
  const options = { maxTokens: 24, temperature: 1.2, seed: 7 }
  const ask = (seed: number) =>
    asking.generate('smollm2-135m-instruct', [{ role: 'user', content: 'Tell me a story.' }], { ...options, seed })
  const [first, again, other] = [await ask(7), await ask(7), await ask(8)]
  expect(again.tokenIds).toEqual(first.tokenIds)
  expect(other.tokenIds).not.toEqual(first.tokenIds)
})

test('a stop string ends the answer before it, and nothing of it is streamed', async ({ asking }) => {
  const reference = references.find((r) => r.name === 'list') as Reference
  const stop = reference.text.slice(20, 26)
  const generation = asking.generate('smollm2-135m-instruct', reference.messages, { maxTokens: referenceTokens, stop })
  let streamed = ''
  for await (const piece of generation) streamed += piece
  const answer = await generation
  expect(answer.text).toBe(reference.text.slice(0, reference.text.indexOf(stop)))
  expect(streamed).toBe(answer.text)
  expect(answer.finish).toBe('stop')
})

test('an aborted answer stops, and the next one is as it should be', async ({ asking }) => {
  const reference = references[0] as Reference
  const stop = new AbortController()
  const generation = asking.generate('smollm2-135m-instruct', 'Write a very long story.', { maxTokens: 500, signal: stop.signal })
  const pieces: string[] = []
  await expect(async () => {
    for await (const piece of generation) {
      pieces.push(piece)
      if (pieces.length === 3) stop.abort()
    }
  }).rejects.toMatchObject({ code: 'aborted' })
  const next = await asking.generate('smollm2-135m-instruct', reference.messages, { maxTokens: 64 })
  expect(next.tokenIds).toEqual(reference.ids)
})
