/**
 * The broker's tokens: given with a welcome, shown when the PeerJS client dials. An HMAC over peer and expiry, so that the
 * broker keeps no list, and nobody but the key's owner can take an id.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { PeerId } from '../protocol/ids.ts'

/** Long enough for any reconnect of a live page; each hello brings a fresh one. */
export const brokerTokenMs = 60 * 60_000
/** An HMAC-SHA256 in base64url is 43 characters, the expiry in base 36 at most 11. */
const tokenPattern = /^([0-9a-z]{1,11})\.([A-Za-z0-9_-]{43})$/

const mac = (secret: Uint8Array, peer: PeerId, expiry: string) =>
  createHmac('sha256', secret).update(`manyhands/1 broker\n${peer}\n${expiry}`).digest()

export function issueToken(secret: Uint8Array, peer: PeerId, nowMs: number): string {
  const expiry = (nowMs + brokerTokenMs).toString(36)
  return `${expiry}.${mac(secret, peer, expiry).toString('base64url')}`
}

export function checkToken(secret: Uint8Array, peer: PeerId, token: string, nowMs: number): 'ok' | 'wrong' | 'expired' {
  const [, expiry, given] = tokenPattern.exec(token) ?? []
  if (expiry === undefined || given === undefined) return 'wrong'
  if (!timingSafeEqual(Buffer.from(given, 'base64url'), mac(secret, peer, expiry))) return 'wrong'
  return Number.parseInt(expiry, 36) > nowMs ? 'ok' : 'expired'
}
