/**
 * What `net.generate` was called with, checked, and as token ids: the same for every pipeline that computes the answer, and
 * for every time it is asked again.
 */
import type { ChatTokenizer } from '../../models/chat.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import { maxTopLogprobs } from '../../protocol/limits.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { GenerateOptions, Message } from '../types.ts'
import type { RequesterNetwork } from './network.ts'
import { StopMatcher } from './stop-strings.ts'
import type { Prompt } from './token-pipeline.ts'
import { pipelinesFor } from './verification.ts'

const defaultMaxTokens = 256
const maxMessages = 1000
const maxPromptChars = 1_000_000

export interface Question extends Prompt {
  readonly revision: Revision
  readonly tokenizer: ChatTokenizer
  readonly eos: readonly number[]
  /** How many must agree. */
  readonly pipelines: number
  readonly startedAt: number
  readonly options: GenerateOptions
}

/** @throws ManyhandsError bad-input, unknown-model, context-overflow … */
export async function prepare(
  network: RequesterNetwork,
  model: string,
  input: string | readonly Message[],
  options: GenerateOptions,
): Promise<Question> {
  const startedAt = performance.now()
  // What can't be matched is refused before anybody computes.
  void new StopMatcher(options.stop)
  const pipelines = pipelinesFor(options.verify)
  const sampling = checkSampling(options)
  const logprobs = checkLogprobs(options)
  const revision = await network.revision(model, options.signal)
  const manifest = await network.manifest(revision, options.signal)
  const { decoder, tokenizer: files } = manifest
  if (!decoder || !files)
    throw new ManyhandsError('bad-input', `${manifest.name} does not generate text. Use ${manifest.embedding ? 'embed' : 'run'}().`)
  const tokenizer = await network.tokenizer(files)
  const ids = encode(tokenizer, input)
  const maxTokens = roomFor(ids.length, options.maxTokens, manifest)
  options.signal?.throwIfAborted()
  return { revision, manifest, tokenizer, eos: decoder.eos, ids, maxTokens, sampling, logprobs, pipelines, startedAt, options }
}

function encode(tokenizer: ChatTokenizer, input: string | readonly Message[]): number[] {
  const chars = typeof input === 'string' ? input.length : input.reduce((n, m) => n + m.content.length, 0)
  if (chars > maxPromptChars)
    throw new ManyhandsError('bad-input', `The prompt has ${chars} characters; at most ${maxPromptChars} are taken.`)
  if (typeof input !== 'string' && (input.length === 0 || input.length > maxMessages)) {
    throw new ManyhandsError('bad-input', `A chat takes 1 to ${maxMessages} messages.`)
  }
  const ids = typeof input === 'string' ? tokenizer.encode(input) : tokenizer.encodeChat(input)
  if (ids.length === 0) throw new ManyhandsError('bad-input', 'The prompt is empty.')
  return ids
}

function roomFor(promptTokens: number, wanted: number | undefined, { name, decoder }: Manifest): number {
  const context = decoder?.context ?? 0
  if (promptTokens >= context)
    throw new ManyhandsError(
      'context-overflow',
      `The prompt has ${promptTokens} tokens; ${name} holds ${context} with its answer. Shorten it.`,
    )
  const most = context - promptTokens
  if (wanted === undefined) return Math.min(defaultMaxTokens, most)
  if (!Number.isInteger(wanted) || wanted < 1) throw new ManyhandsError('bad-input', 'maxTokens takes a whole number of at least 1.')
  return Math.min(wanted, most)
}

function randomSeed(): number {
  const [seed = 0] = crypto.getRandomValues(new Uint32Array(1))
  return seed
}

function checkLogprobs({ logprobs }: GenerateOptions): number | undefined {
  if (logprobs === undefined || (Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= maxTopLogprobs)) return logprobs
  throw new ManyhandsError('bad-input', `logprobs takes a whole number from 0 to ${maxTopLogprobs}.`)
}

function checkSampling({ temperature = 0, topP = 1, seed }: GenerateOptions) {
  if (!(temperature >= 0 && temperature <= 10)) throw new ManyhandsError('bad-input', 'temperature takes a number from 0 to 10.')
  if (!(topP > 0 && topP <= 1)) throw new ManyhandsError('bad-input', 'topP takes a number above 0 and up to 1.')
  if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new ManyhandsError('bad-input', 'seed takes a whole number from 0 to 4294967295.')
  }
  return { temperature, topP, seed: seed ?? randomSeed() }
}
