/** Errors in OpenAI's shape: what our own become, and what a request that can't be kept is answered with. */
import { asError, type ErrorCode } from '../../protocol/errors.ts'

export type ApiErrorType = 'invalid_request_error' | 'authentication_error' | 'permission_error' | 'rate_limit_error' | 'server_error'

export interface ApiErrorTerms {
  readonly status: number
  readonly type: ApiErrorType
  readonly code?: string | undefined
  /** The field of the request that is at fault. */
  readonly param?: string | undefined
  readonly retryAfterMs?: number | undefined
  /** Beside OpenAI's fields. */
  readonly more?: Readonly<Record<string, unknown>>
}

export class ApiError extends Error {
  readonly terms: ApiErrorTerms

  constructor(message: string, terms: ApiErrorTerms) {
    super(message)
    this.terms = terms
  }

  /** The body of an answer, or what an event of a stream says. */
  get body() {
    const { type, code = null, param = null, more } = this.terms
    return { error: { message: this.message, type, param, code, ...more } }
  }

  /** `retry-after` in whole seconds, and to the millisecond as OpenAI's own clients read it. */
  get headers(): Record<string, string> {
    const { retryAfterMs } = this.terms
    if (retryAfterMs === undefined) return {}
    return { 'retry-after': String(Math.ceil(retryAfterMs / 1000)), 'retry-after-ms': String(Math.ceil(retryAfterMs)) }
  }
}

/** The request can't be kept as it is; `param` says where. */
export const refused = (message: string, param?: string, code?: string): ApiError =>
  new ApiError(message, { status: 400, type: 'invalid_request_error', param, code })

/** What OpenAI's clients do about an error follows from its status: 429 and those from 500 on they try again. */
const statuses: Readonly<Partial<Record<ErrorCode, readonly [status: number, type: ApiErrorType, code?: string]>>> = {
  'bad-input': [400, 'invalid_request_error'],
  'context-overflow': [400, 'invalid_request_error', 'context_length_exceeded'],
  unsupported: [400, 'invalid_request_error', 'unsupported'],
  forbidden: [403, 'permission_error', 'forbidden'],
  'unknown-model': [404, 'invalid_request_error', 'model_not_found'],
  'not-found': [404, 'invalid_request_error', 'not_found'],
  'rate-limited': [429, 'rate_limit_error', 'rate_limit_exceeded'],
  // Nobody reads it; logs have it.
  aborted: [499, 'server_error', 'aborted'],
  busy: [503, 'server_error', 'busy'],
  'no-volunteers': [503, 'server_error', 'no_volunteers'],
  'peer-lost': [503, 'server_error', 'peer_lost'],
  unavailable: [503, 'server_error', 'unavailable'],
  closed: [503, 'server_error', 'closed'],
  timeout: [504, 'server_error', 'timeout'],
}

export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown
  const { code: own, message, retryAfterMs } = asError(thrown)
  const [status, type, code = own.replaceAll('-', '_')] = statuses[own] ?? [500, 'server_error' as const]
  const param = own === 'unknown-model' ? 'model' : own === 'context-overflow' ? 'messages' : undefined
  return new ApiError(message, { status, type, code: own === 'bad-input' ? undefined : code, param, retryAfterMs })
}
