import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import { Generating } from '../requester/generation.ts'
import type { SessionSource } from '../requester/session-source.ts'
import type { Network } from '../types.ts'
import { openaiFetch } from './fetch.ts'

/** Whatever passes is answered by this; whatever does not is the request's own fault. */
const nobody = () => Promise.reject(new ManyhandsError('no-volunteers', 'Nobody is there.'))
const generate: Network['generate'] = (_model, _input, options = {}) => new Generating({} as SessionSource, nobody(), options)
const network = { embed: nobody, generate } as unknown as Network

const json = fc.jsonValue({ maxDepth: 3 })
/** Fields that mean something, with values that are right, nearly right, or anything. */
const value = fc.oneof(
  json,
  fc.constantFrom<unknown>('letters', 'x', '', 0, 1, 2, -1, 0.5, true, false, null, [], {}, ['x'], [1], { type: 'text' }),
)
const message = fc.oneof(
  json,
  fc.record({
    role: fc.constantFrom('system', 'user', 'assistant', 'tool', 'x'),
    content: fc.oneof(value, fc.array(fc.record({ type: value, text: value }))),
  }),
)
const chatFields = (
  'temperature top_p n seed stop stream stream_options max_tokens max_completion_tokens logprobs top_logprobs tools tool_choice ' +
  'response_format logit_bias presence_penalty store metadata user modalities x'
).split(' ')

/** Right but for what a few of its fields are. */
const nearly = (right: Record<string, unknown>, names: readonly string[]) =>
  fc.dictionary(fc.constantFrom(...names, ...Object.keys(right)), value, { maxKeys: 2 }).map((odd) => ({ ...right, ...odd }))

const messages = fc.array(message, { minLength: 1, maxLength: 3 })
const requests = fc.oneof(
  fc.tuple(fc.constant('chat/completions'), nearly({ model: 'm', messages: [{ role: 'user', content: 'x' }] }, chatFields)),
  fc.tuple(fc.constant('chat/completions'), fc.record({ model: fc.constant('m'), messages })),
  fc.tuple(fc.constant('completions'), nearly({ model: 'm', prompt: 'x' }, [...chatFields, 'echo', 'suffix', 'best_of'])),
  fc.tuple(fc.constant('embeddings'), nearly({ model: 'm', input: 'x' }, ['encoding_format', 'dimensions', 'user', 'x'])),
  fc.tuple(fc.constantFrom('chat/completions', 'completions', 'embeddings'), json),
)

it('no request makes a fault of ours: it is refused with a sentence in OpenAI’s shape, or asked', async () => {
  let asked = 0
  await fc.assert(
    fc.asyncProperty(requests, async ([path, body]) => {
      const response = await openaiFetch(network, `https://any.example/v1/${path}`, { method: 'POST', body: JSON.stringify(body) })
      const { error } = (await response.json()) as { error: { message: string; type: string; param: unknown; code: unknown } }
      expect([400, 503], JSON.stringify(body)).toContain(response.status)
      if (response.status === 503) asked += 1
      expect(Object.keys(error).toSorted()).toEqual(['code', 'message', 'param', 'type'])
      expect(error.message.length).toBeGreaterThan(10)
      expect(error.message.length).toBeLessThan(1000)
    }),
    { numRuns: 1000 },
  )
  expect(asked).toBeGreaterThan(100)
})
