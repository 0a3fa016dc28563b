/** What this API answers with: JSON, a stream of server-sent events, or an error; each with its request's id. */
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { toApiError, type ApiError } from './api-error.ts'

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
  const events = serverSent(chunks, context.signal)
  const first = await events.next()
  let next: Promise<IteratorResult<string>> | undefined = Promise.resolve(first)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await (next ?? events.next())
        next = undefined
        if (done) controller.close()
        else controller.enqueue(utf8(value))
      } catch {
        // Stopped by the caller; as a fetch's body, it says with what.
        controller.error(context.signal.reason)
      }
    },
    cancel: () => {
      context.cancel()
      events.return(undefined).catch(() => undefined)
    },
  })
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-request-id': context.id }
  return new Response(body, { headers })
}

async function* serverSent(chunks: AsyncGenerator, signal: AbortSignal): AsyncGenerator<string, undefined> {
  let begun = false
  try {
    for await (const chunk of chunks) {
      yield event(chunk)
      begun = true
    }
  } catch (thrown) {
    if (!begun || signal.aborted) throw thrown
    yield event(toApiError(thrown).body)
    return
  }
  yield 'data: [DONE]\n\n'
}

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
