/** An answer's body on its way to whoever asked: its end is told, and one that took too long says so as its last event. */
import { utf8 } from '../protocol/bytes.ts'
import { ApiError } from '../sdk/openai/api-error.ts'

/**
 * @param stop aborted when it took too long (with an ApiError), or when nobody wants it any more
 * @param over called once, when the body has ended; `cut`: before its own end
 */
export function bodyUntil(
  body: ReadableStream<Uint8Array> | null,
  stop: AbortController,
  over: (cut: boolean) => void,
): ReadableStream<Uint8Array> | null {
  if (!body) {
    over(false)
    return null
  }
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (!done) return controller.enqueue(value)
        over(false)
        controller.close()
      } catch (thrown) {
        over(true)
        const { reason } = stop.signal as { reason: unknown }
        if (!(reason instanceof ApiError)) return controller.error(thrown)
        controller.enqueue(utf8(`data: ${JSON.stringify(reason.body)}\n\n`))
        controller.close()
      }
    },
    cancel(reason) {
      over(true)
      stop.abort(reason)
      return reader.cancel(reason)
    },
  })
}
