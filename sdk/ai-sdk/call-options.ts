/**
 * What the AI SDK asks of a language model, as a question to the network: text is taken, what can't be kept is refused, and
 * settings that only shade an answer come back as warnings, as the specification has it.
 */
import {
  InvalidArgumentError,
  UnsupportedFunctionalityError,
  type LanguageModelV4CallOptions,
  type LanguageModelV4Message,
  type SharedV4Warning,
} from '@ai-sdk/provider'
import { defaultChatTokens } from '../openai/bounds.ts'
import { seedOf } from '../openai/sampling-fields.ts'
import type { GenerateOptions, Message, Verification } from '../types.ts'
import { providerName } from './failures.ts'

export interface Question {
  readonly messages: readonly Message[]
  readonly options: GenerateOptions
  readonly warnings: SharedV4Warning[]
}

/** @throws UnsupportedFunctionalityError, InvalidArgumentError */
export function readCall(call: LanguageModelV4CallOptions): Question {
  const { tools = [], toolChoice, responseFormat, temperature, topP, seed, stopSequences } = call
  if (tools.length > 0 && toolChoice?.type !== 'none')
    throw cannot('tools', 'The models of this network are asked for text alone, and call no tools.')
  if (responseFormat?.type === 'json')
    throw cannot('responseFormat', 'Nothing holds an answer of this network to a format. Ask for it in words, and check what comes.')
  return {
    messages: call.prompt.map(readMessage),
    options: {
      maxTokens: call.maxOutputTokens ?? defaultChatTokens,
      ...(temperature === undefined ? {} : { temperature }),
      // 0 leaves the likeliest token alone, as the least above it does.
      ...(topP === undefined ? {} : { topP: Math.max(topP, Number.EPSILON) }),
      ...seedOf(seed, 0),
      ...(stopSequences === undefined ? {} : { stop: stopSequences }),
      ...readOwnOptions(call.providerOptions?.[providerName]),
    },
    warnings: warningsOf(call),
  }
}

function warningsOf({
  topK,
  presencePenalty = 0,
  frequencyPenalty = 0,
  reasoning = 'none',
}: LanguageModelV4CallOptions): SharedV4Warning[] {
  const unsupported = (feature: string, details: string): SharedV4Warning => ({ type: 'unsupported', feature, details })
  return [
    ...(topK === undefined ? [] : [unsupported('topK', 'Tokens are chosen by temperature and topP.')]),
    ...(presencePenalty === 0 ? [] : [unsupported('presencePenalty', 'Tokens are not weighed by whether they came.')]),
    ...(frequencyPenalty === 0 ? [] : [unsupported('frequencyPenalty', 'Tokens are not weighed by how often they came.')]),
    ...(reasoning === 'none' || reasoning === 'provider-default' ? [] : [unsupported('reasoning', 'The models do not take an effort.')]),
  ]
}

function readMessage(message: LanguageModelV4Message): Message {
  if (message.role === 'tool') throw cannot('tool messages', 'The models of this network call no tools.')
  if (message.role === 'system') return { role: 'system', content: message.content }
  const texts = message.content.map((part) => {
    if (part.type === 'text') return part.text
    throw cannot(`'${part.type}' parts in messages`, 'Messages to the models of this network are text.')
  })
  return { role: message.role, content: texts.join('') }
}

/** `providerOptions: { manyhands: { verify: { quorum: 2 } } }`. */
function readOwnOptions(own: Readonly<Record<string, unknown>> = {}): { verify?: Verification } {
  for (const name of Object.keys(own)) {
    if (name !== 'verify')
      throw new InvalidArgumentError({
        argument: `providerOptions.${providerName}.${name}`,
        message: `'${name}' is no option of this provider: 'verify' is.`,
      })
  }
  // What it may be is the network's to say.
  return own['verify'] === undefined ? {} : { verify: own['verify'] as Verification }
}

const cannot = (functionality: string, message: string) => new UnsupportedFunctionalityError({ functionality, message })
