/** Bytes as base64 (RFC 4648, padded) and back, with what browsers and Node both have. */
import { ManyhandsError } from './errors.ts'
import type { Bytes } from './bytes.ts'

/** Characters that one call of `String.fromCharCode` is given: engines take some 100,000 arguments. */
const pieceBytes = 32_768

export function toBase64(bytes: Uint8Array): string {
  const pieces: string[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes) pieces.push(String.fromCharCode(...bytes.subarray(at, at + pieceBytes)))
  return btoa(pieces.join(''))
}

/** @throws ManyhandsError bad-message */
export function fromBase64(text: string): Bytes {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new ManyhandsError('bad-message', 'A text is not base64.')
  const binary = atob(text)
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i)
  return bytes
}
