/** `POST …/chat/completions`: a conversation's next message, whole or as a stream. */
import { maxTopLogprobs } from '../../protocol/limits.ts'
import type { Generated, Message, Network } from '../types.ts'
import { jsonAnswer, randomId, streamAnswer, type RequestContext } from './answers.ts'
import { refused } from './api-error.ts'
import { defaultChatTokens } from './bounds.ts'
import { streamedChoices, wholeChoices, type Ask } from './choices.ts'
import { Fields, isEmpty } from './fields.ts'
import { chatLogprobs } from './logprobs.ts'
import { readMessages } from './messages.ts'
import { readSampling, seedOf, type Sampled } from './sampling-fields.ts'
import { finishOf, fingerprintOf, usageOf } from './told.ts'

interface ChatRequest extends Sampled {
  readonly model: string
  readonly messages: readonly Message[]
  readonly maxTokens: number
  /** Of each token the likeliest; absent where no odds are wanted. */
  readonly logprobs: number | undefined
}

export async function answerChat(network: Network, body: unknown, context: RequestContext): Promise<Response> {
  const request = readChat(body)
  const { model, messages, maxTokens, temperature, topP, stop, seed, logprobs, n } = request
  const ask: Ask = (choice, options) =>
    network.generate(model, messages, {
      ...options,
      maxTokens,
      temperature,
      topP,
      stop,
      ...seedOf(seed, choice),
      ...(logprobs === undefined ? {} : { logprobs }),
    })
  if (request.stream) return streamAnswer(chunks(request, ask, context), context)
  const all = await wholeChoices(n, ask, context.signal)
  return jsonAnswer(
    {
      id: randomId('chatcmpl-'),
      object: 'chat.completion',
      created: context.created,
      model,
      system_fingerprint: fingerprintOf(all[0]),
      choices: all.map((generated, index) => ({
        index,
        message: { role: 'assistant', content: generated.text, refusal: null },
        logprobs: generated.tokens ? chatLogprobs(generated.tokens) : null,
        finish_reason: finishOf(generated),
      })),
      usage: usageOf([all]),
    },
    context,
  )
}

async function* chunks({ model, n, streamUsage, logprobs }: ChatRequest, ask: Ask, { created, signal }: RequestContext) {
  const head = { id: randomId('chatcmpl-'), object: 'chat.completion.chunk', created, model }
  const usage = streamUsage ? { usage: null } : {}
  const begun = new Set<number>()
  const all: Generated[] = []
  for await (const news of streamedChoices(n, ask, signal)) {
    const index = news.choice
    const chunk = (delta: object, more: object) => ({
      ...head,
      choices: [{ index, delta, logprobs: null, finish_reason: null, ...more }],
      ...usage,
    })
    if (!begun.has(index)) yield chunk({ role: 'assistant', content: '', refusal: null }, {})
    begun.add(index)
    if ('piece' in news) {
      const { text, tokens } = news.piece
      yield chunk({ content: text }, logprobs === undefined ? {} : { logprobs: chatLogprobs(tokens) })
    } else {
      all[index] = news.done
      yield { ...chunk({}, { finish_reason: finishOf(news.done) }), system_fingerprint: fingerprintOf(news.done) }
    }
  }
  if (streamUsage) yield { ...head, choices: [], usage: usageOf([all]) }
}

function readChat(body: unknown): ChatRequest {
  const fields = new Fields(body)
  const model = fields.needed('model', fields.text('model'))
  const messages = readMessages(fields)
  const request = { model, messages, ...readSampling(fields), maxTokens: readMaxTokens(fields), logprobs: readLogprobs(fields) }
  const noTools = 'the models here are asked for text alone, and call no tools.'
  fields.cannot('tools', noTools, isEmpty)
  fields.cannot('tool_choice', noTools, (value) => value === 'none' || value === 'auto')
  fields.cannot('functions', noTools, isEmpty)
  fields.cannot('function_call', noTools, (value) => value === 'none' || value === 'auto')
  fields.harmless('parallel_tool_calls')
  fields.cannot('web_search_options', noTools)
  fields.cannot('response_format', 'nothing holds an answer to a format. Ask for it in words, and check what comes.', asksForText)
  fields.cannot('modalities', 'answers are text.', (value) => Array.isArray(value) && value.every((one) => one === 'text'))
  fields.cannot('audio', 'answers are text.')
  fields.cannot('prediction', 'answers are not guessed ahead.')
  fields.cannot('reasoning_effort', 'the models here do not take one.', (value) => value === 'none')
  fields.cannot('verbosity', 'the models here do not take one. Say in words how long the answer should be.', (value) => value === 'medium')
  fields.end()
  return request
}

const asksForText = (value: unknown): boolean => typeof value === 'object' && (value as { type?: unknown }).type === 'text'

function readMaxTokens(fields: Fields): number {
  const old = fields.whole('max_tokens', 1, Number.MAX_SAFE_INTEGER)
  const most = fields.whole('max_completion_tokens', 1, Number.MAX_SAFE_INTEGER)
  if (old !== undefined && most !== undefined && old !== most)
    throw refused("'max_tokens' and 'max_completion_tokens' say different things: leave one out.", 'max_tokens', 'invalid_value')
  return most ?? old ?? defaultChatTokens
}

function readLogprobs(fields: Fields): number | undefined {
  const wanted = fields.flag('logprobs') ?? false
  const top = fields.whole('top_logprobs', 0, maxTopLogprobs)
  if (!wanted && top) throw refused("'top_logprobs' is told with 'logprobs': true alone.", 'top_logprobs', 'invalid_value')
  return wanted ? (top ?? 0) : undefined
}
