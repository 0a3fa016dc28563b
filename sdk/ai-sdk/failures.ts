/** What goes wrong, as the AI SDK's own errors: it tries again by itself what is worth trying, when it is told to come again. */
import { APICallError, NoSuchModelError } from '@ai-sdk/provider'
import { asError } from '../../protocol/errors.ts'
import { ApiError, toApiError } from '../openai/api-error.ts'

export const providerName = 'manyhands'

export type ModelType = 'languageModel' | 'embeddingModel'

/** @returns what is to be thrown: the signal's own reason where it is the caller who stopped it */
export function failure(thrown: unknown, modelId: string, modelType: ModelType, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason
  const cause = thrown instanceof ApiError ? undefined : asError(thrown)
  if (cause?.code === 'unknown-model') return new NoSuchModelError({ modelId, modelType, message: cause.message })
  const { message, terms, headers, body } = toApiError(thrown)
  return new APICallError({
    message,
    url: `${providerName}:${modelId}`,
    requestBodyValues: {},
    statusCode: terms.status,
    responseHeaders: headers,
    isRetryable: cause?.retryable ?? false,
    data: body,
    cause: thrown,
  })
}
