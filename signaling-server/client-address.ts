/** The address that a request comes from: the socket's, or what a trusted proxy says. */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'

/** @param trustProxy takes the last of X-Forwarded-For, the one that our own proxy added; what a client wrote stands before it */
export function clientAddress(request: Pick<IncomingMessage, 'headers' | 'socket'>, trustProxy: boolean): string {
  if (trustProxy) {
    const forwarded = request.headers['x-forwarded-for']
    const last = (Array.isArray(forwarded) ? forwarded.join(',') : (forwarded ?? '')).split(',').at(-1)?.trim() ?? ''
    if (isIP(last)) return last
  }
  return request.socket.remoteAddress ?? ''
}
