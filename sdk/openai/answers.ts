/** What this API answers with: JSON, a stream of server-sent events, or an error; each with its request's id. */
import { toHex, utf8, type Bytes } from '../../protocol/bytes.ts'
import { toApiError, type ApiError } from './api-error.ts'
import { begunStream } from './begun-stream.ts'

export interface RequestContext {
  /** `req_…`, told in `x-request-id`. */
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  /** Aborted with the request, or when the answer's body is cancelled. */
  readonly signal: AbortSignal
  /** Nobody wants the answer any more. */
  readonly cancel: () => void
}

export const randomId = (prefix: string): string => prefix + toHex(crypto.getRandomValues(new Uint8Array(16)))

export const jsonAnswer = (value: unknown, { id }: RequestContext): Response =>
  new Response(JSON.stringify(value), { headers: { 'content-type': 'application/json', 'x-request-id': id } })

export const errorAnswer = (error: ApiError, id: string): Response =>
  new Response(JSON.stringify(error.body), {
    status: error.terms.status,
    headers: { ...error.headers, 'content-type': 'application/json', 'x-request-id': id },
  })

/**
 * Events as they come. What fails before the first of them is thrown, and so an answer with a status of its own; what fails
 * later is the stream's last event.
 */
export async function streamAnswer(chunks: AsyncGenerator, context: RequestContext): Promise<Response> {
  // Stopped by the caller; as a fetch's body, it says with what.
  const ends = { failed: () => context.signal.reason as unknown, cancelled: context.cancel }
  const body = await begunStream(serverSent(chunks, context.signal), ends)
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-request-id': context.id }
  return new Response(body, { headers })
}

async function* serverSent(chunks: AsyncGenerator, signal: AbortSignal): AsyncGenerator<Bytes> {
  let begun = false
  try {
    for await (const chunk of chunks) {
      yield event(JSON.stringify(chunk))
      begun = true
    }
  } catch (thrown) {
    if (!begun || signal.aborted) throw thrown
    yield event(JSON.stringify(toApiError(thrown).body))
    return
  }
  yield event('[DONE]')
}

const event = (data: string): Bytes => utf8(`data: ${data}\n\n`)
