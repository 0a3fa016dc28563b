/** `POST …/completions`: texts continued, whole or as a stream; several prompts are several answers. */
import type { Generated, Network } from '../types.ts'
import { jsonAnswer, randomId, streamAnswer, type RequestContext } from './answers.ts'
import { refused } from './api-error.ts'
import { maxChoices } from './bounds.ts'
import { streamedChoices, wholeChoices, type Ask } from './choices.ts'
import { Fields } from './fields.ts'
import { TextLogprobs } from './logprobs.ts'
import { readSampling, seedOf, type Sampled } from './sampling-fields.ts'
import { finishOf, fingerprintOf, usageOf } from './told.ts'

/** OpenAI's own bounds. */
const defaultTokens = 16
const maxLogprobs = 5

interface CompletionRequest extends Sampled {
  readonly model: string
  readonly prompts: readonly string[]
  readonly maxTokens: number
  readonly logprobs: number | undefined
  /** The answer begins with its prompt. */
  readonly echo: boolean
}

export async function answerCompletion(network: Network, body: unknown, context: RequestContext): Promise<Response> {
  const request = readCompletion(body)
  const { model, prompts, maxTokens, temperature, topP, stop, seed, logprobs, n, echo } = request
  const promptOf = (choice: number) => prompts[Math.floor(choice / n)] as string
  const ask: Ask = (choice, options) =>
    network.generate(model, promptOf(choice), {
      ...options,
      maxTokens,
      temperature,
      topP,
      stop,
      ...seedOf(seed, choice % n),
      ...(logprobs === undefined ? {} : { logprobs }),
    })
  const before = (choice: number) => (echo ? promptOf(choice) : '')
  if (request.stream) return streamAnswer(chunks(request, ask, before, context), context)
  const all = await wholeChoices(prompts.length * n, ask, context.signal)
  return jsonAnswer(
    {
      id: randomId('cmpl-'),
      object: 'text_completion',
      created: context.created,
      model,
      system_fingerprint: fingerprintOf(all[0]),
      choices: all.map((generated, index) => ({
        index,
        text: before(index) + generated.text,
        logprobs: generated.tokens ? new TextLogprobs().add(generated.tokens) : null,
        finish_reason: finishOf(generated),
      })),
      usage: usageOf(byPrompt(all, n)),
    },
    context,
  )
}

const byPrompt = (all: readonly Generated[], n: number) =>
  Array.from({ length: Math.ceil(all.length / n) }, (_, i) => all.slice(i * n, (i + 1) * n))

async function* chunks(request: CompletionRequest, ask: Ask, before: (choice: number) => string, { created, signal }: RequestContext) {
  const { model, prompts, n, streamUsage, logprobs } = request
  const head = { id: randomId('cmpl-'), object: 'text_completion', created, model }
  const usage = streamUsage ? { usage: null } : {}
  const columns = new Map<number, TextLogprobs>()
  const all: Generated[] = []
  for await (const news of streamedChoices(prompts.length * n, ask, signal)) {
    const index = news.choice
    const chunk = (text: string, more: object) => ({
      ...head,
      choices: [{ index, text, logprobs: null, finish_reason: null, ...more }],
      ...usage,
    })
    const first = columns.get(index) === undefined
    const column = columns.get(index) ?? new TextLogprobs()
    columns.set(index, column)
    const lead = first ? before(index) : ''
    if ('piece' in news) {
      const { text, tokens } = news.piece
      yield chunk(lead + text, logprobs === undefined ? {} : { logprobs: column.add(tokens) })
    } else {
      all[index] = news.done
      yield { ...chunk(lead, { finish_reason: finishOf(news.done) }), system_fingerprint: fingerprintOf(news.done) }
    }
  }
  if (streamUsage) yield { ...head, choices: [], usage: usageOf(byPrompt(all, n)) }
}

function readCompletion(body: unknown): CompletionRequest {
  const fields = new Fields(body)
  const model = fields.needed('model', fields.text('model'))
  const sampled = readSampling(fields)
  const prompts = readPrompts(fields, sampled.n)
  const maxTokens = fields.whole('max_tokens', 1, Number.MAX_SAFE_INTEGER) ?? defaultTokens
  const logprobs = fields.whole('logprobs', 0, maxLogprobs)
  const echo = fields.flag('echo') ?? false
  if (echo && logprobs !== undefined)
    throw refused(
      "'echo' with 'logprobs' can't be kept: how likely a prompt's own tokens are is not told.",
      'echo',
      'unsupported_parameter',
    )
  fields.cannot('suffix', 'texts are continued at their end alone.', (value) => value === '')
  fields.cannot('best_of', 'all answers are given, none is chosen from more.', (value) => value === sampled.n)
  fields.end()
  return { model, prompts, ...sampled, maxTokens, logprobs, echo }
}

function readPrompts(fields: Fields, n: number): readonly string[] {
  const prompt = fields.needed('prompt', fields.any('prompt'))
  const prompts: readonly unknown[] = Array.isArray(prompt) ? prompt : [prompt]
  if (prompts.some((one) => typeof one === 'number' || Array.isArray(one)))
    throw refused("'prompt' can't be token ids: they are the model's own. Give its text.", 'prompt', 'unsupported_value')
  if (prompts.length === 0 || !prompts.every((one) => typeof one === 'string'))
    throw refused("'prompt' takes a text or a list of texts.", 'prompt', 'invalid_value')
  if (prompts.length * n > maxChoices)
    throw refused(`'prompt' and 'n' ask for ${prompts.length * n} answers; one request takes ${maxChoices}.`, 'prompt', 'invalid_value')
  return prompts
}
