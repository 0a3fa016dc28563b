/** The fields that chat completions and completions share: how tokens are chosen, how many answers, and how they come. */
import { refused } from './api-error.ts'
import { maxChoices } from './bounds.ts'
import { isEmpty, isFalse, isZero, type Fields } from './fields.ts'

/** What every answer of a request is asked with. */
export interface Sampled {
  readonly temperature: number
  readonly topP: number
  readonly stop: readonly string[]
  readonly n: number
  readonly seed: number | undefined
  readonly stream: boolean
  /** In a stream: a last chunk says what was used. */
  readonly streamUsage: boolean
}

/** Defaults are OpenAI's. */
export function readSampling(fields: Fields): Sampled {
  const temperature = fields.number('temperature', 0, 2) ?? 1
  const topP = fields.number('top_p', 0, 1) ?? 1
  // 0 leaves the likeliest token alone, as the least above it does.
  const sampled = { temperature, topP: Math.max(topP, Number.EPSILON) }
  const n = fields.whole('n', 1, maxChoices) ?? 1
  const seed = fields.whole('seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  const stop = readStop(fields)
  const stream = fields.flag('stream') ?? false
  const streamUsage = readStreamOptions(fields, stream)
  fields.cannot('frequency_penalty', 'tokens are not weighed by how often they came. Leave it at 0.', isZero)
  fields.cannot('presence_penalty', 'tokens are not weighed by whether they came. Leave it at 0.', isZero)
  fields.cannot('logit_bias', 'single tokens are not weighed.', isEmpty)
  fields.cannot('store', 'nothing is stored here.', isFalse)
  fields.harmless(
    'user',
    'metadata',
    'safety_identifier',
    'service_tier',
    'prompt_cache_key',
    'prompt_cache_retention',
    'prompt_cache_options',
  )
  return { ...sampled, n, seed, stop, stream, streamUsage }
}

function readStop(fields: Fields): readonly string[] {
  const stop = fields.any('stop')
  const texts = stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop
  if (Array.isArray(texts) && texts.every((text) => typeof text === 'string')) return texts
  throw refused("'stop' takes a text or a list of texts.", 'stop', 'invalid_value')
}

function readStreamOptions(fields: Fields, stream: boolean): boolean {
  const value = fields.any('stream_options')
  if (value === undefined) return false
  if (!stream) throw refused("'stream_options' is for streams: say 'stream': true.", 'stream_options', 'invalid_value')
  const options = fields.within('stream_options', value)
  const usage = options.flag('include_usage') ?? false
  options.cannot('include_obfuscation', 'chunks are not padded.', isFalse)
  options.end()
  return usage
}

/** Odd, so that no two of a request's answers have the same seed; the first has the request's own. */
const seedStep = 0x9e3779b9

/** The seed of one of a request's answers: 32 bits, the same for the same request. */
export const seedOf = (seed: number | undefined, choice: number): { seed?: number } =>
  seed === undefined ? {} : { seed: (Number(BigInt.asUintN(32, BigInt(seed))) + Math.imul(choice, seedStep)) >>> 0 }
