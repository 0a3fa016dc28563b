/**
 * How the server ends a WebSocket: a code, a reason that fits the close frame, and a limit on how long the other side may take.
 */
import type { WebSocket } from 'ws'

/** WebSocket close codes (4000-4999 are the application's); their last three digits are HTTP's. */
export const closeCodes = {
  /** Service restart: clients come back after a pause. */
  restart: 1012,
  badMessage: 4400,
  unauthorized: 4401,
  notAlive: 4408,
  replaced: 4409,
  tooMuch: 4429,
  full: 4503,
} as const

/** A close frame's reason holds 123 bytes. */
const maxReasonChars = 120
/** A socket that does not close by itself within this is dropped. */
const closeGraceMs = 2_000

export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  // Reasons may quote the offender's text: printable ASCII keeps them within their bytes.
  socket.close(code, reason.replace(/[^ -~]/g, '?').slice(0, maxReasonChars))
  const timer = setTimeout(() => socket.terminate(), closeGraceMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
