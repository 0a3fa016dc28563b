/**
 * SHA-256 and canonical JSON (RFC 8785): whatever is hashed or signed goes through here.
 */
import canonicalize from 'canonicalize'
import { plainBytes, toHex, utf8, type Bytes } from './bytes.ts'
import type { Hash } from './ids.ts'

export async function sha256Bytes(bytes: Uint8Array): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', plainBytes(bytes)))
}

export async function sha256(bytes: Uint8Array): Promise<Hash> {
  return toHex(await sha256Bytes(bytes)) as Hash
}

/** @throws TypeError when `value` has no JSON form (a function, NaN, a cycle). */
export function canonicalJson(value: unknown): string {
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('value has no JSON form')
  return text
}

export const hashJson = (value: unknown): Promise<Hash> => sha256(utf8(canonicalJson(value)))
