/** Several answers at once over the same three browsers: all right, and past the bound a typed refusal. */
import { readFile } from 'node:fs/promises'
import { ManyhandsError } from '../protocol/errors.ts'
import { connect } from '../sdk/node.ts'
import type { Message } from '../sdk/types.ts'
import { expect, test } from './harness/fixtures.ts'

interface Reference {
  readonly messages: readonly Message[]
  readonly ids: readonly number[]
}

const references = JSON.parse(await readFile(new URL('fixtures/greedy.json', import.meta.url), 'utf8')) as readonly Reference[]
const model = 'smollm2-135m-instruct'

test('four answers at once are each as they would be alone', async ({ asking }) => {
  const four = references.slice(0, 3).concat(references.slice(4, 5))
  const answers = await Promise.all(four.map(({ messages }) => asking.generate(model, messages, { maxTokens: 64 })))
  expect(answers.map((answer) => answer.tokenIds)).toEqual(four.map((reference) => reference.ids))
})

test('a tenth answer is as right as the first', async ({ asking }) => {
  const { messages, ids } = references[0] as Reference
  for (let i = 0; i < 10; i++) expect((await asking.generate(model, messages, { maxTokens: 64 })).tokenIds).toEqual(ids)
})

test('past the bound a request hears busy and when to come again; those in line get their answer', async ({ chat }) => {
  const { messages, ids } = references[0] as Reference
  const network = await connect({ server: chat.url })
  try {
    const asked = Array.from({ length: 24 }, () => network.generate(model, messages, { maxTokens: 64 }).then((answer) => answer.tokenIds))
    const outcomes = await Promise.allSettled(asked)
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected').map((outcome) => outcome.reason as unknown)
    const answered = outcomes.filter((outcome) => outcome.status === 'fulfilled').map((outcome) => outcome.value)
    expect(refused.length).toBeGreaterThan(0)
    for (const error of refused) {
      expect(error).toBeInstanceOf(ManyhandsError)
      expect(error).toMatchObject({ code: 'busy', retryable: true })
      expect((error as ManyhandsError).retryAfterMs).toBeGreaterThan(0)
    }
    expect(answered.length).toBeGreaterThanOrEqual(8)
    for (const tokenIds of answered) expect(tokenIds).toEqual(ids)
  } finally {
    await network.close()
  }
})
