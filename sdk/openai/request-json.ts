/** A request's body: bounded while it is read, and JSON. */
import { concatBytes, fromUtf8 } from '../../protocol/bytes.ts'
import { ApiError, refused } from './api-error.ts'

/** The longest prompt that is taken (a million characters), four bytes each, and its messages around it. */
export const maxRequestBytes = 8 * 1024 * 1024

/** @throws ApiError 400, 413 */
export async function readJson(request: Request): Promise<unknown> {
  const bytes = await readBounded(request)
  try {
    return JSON.parse(fromUtf8(bytes))
  } catch {
    throw refused('The request is not JSON.')
  }
}

async function readBounded(request: Request): Promise<Uint8Array> {
  // Firefox has no streams of requests.
  if (!request.body) return bounded(new Uint8Array(await request.arrayBuffer()))
  const parts: Uint8Array[] = []
  let length = 0
  // Safari can't iterate a stream.
  const reader = request.body.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return concatBytes(parts)
    length += value.length
    bounded({ length })
    parts.push(value)
  }
}

function bounded<T extends { readonly length: number }>(body: T): T {
  if (body.length <= maxRequestBytes) return body
  throw new ApiError(`The request is over the limit of ${maxRequestBytes} bytes.`, {
    status: 413,
    type: 'invalid_request_error',
    code: 'request_too_large',
  })
}
