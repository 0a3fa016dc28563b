/**
 * Who a socket belongs to: the check of a hello against the challenge it answers. docs/protocol.md [CS2].
 */
import { fromHex, utf8 } from '../protocol/bytes.ts'
import type { ClientMessage, HelloClaim } from '../protocol/client-messages.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { canonicalJson } from '../protocol/hash.ts'
import type { PeerId } from '../protocol/ids.ts'
import { peerIdOf, verify } from '../protocol/keys.ts'
import { helloMs } from '../protocol/limits.ts'

export type Hello = Extract<ClientMessage, { t: 'hello' }>

export interface Challenge {
  readonly nonce: string
  readonly issuedAt: number
  readonly serverKey: string
  /** The Origin header of the socket's request: a page can't forge it. Absent outside browsers. */
  readonly origin: string | undefined
}

/** @throws ManyhandsError replayed, bad-signature, timeout */
export async function checkHello(hello: Hello, challenge: Challenge, now: number): Promise<PeerId> {
  const { key, nonce, origin, expiresAt, signature } = hello
  if (nonce !== challenge.nonce) throw new ManyhandsError('replayed', 'This hello answers another challenge than the one that was put.')
  if (expiresAt <= now || now > challenge.issuedAt + helloMs) throw new ManyhandsError('timeout', 'This hello has expired. Connect again.')
  if (expiresAt > challenge.issuedAt + helloMs) throw new ManyhandsError('bad-message', `A hello is good for ${helloMs / 1000} s at most.`)
  if (challenge.origin !== undefined && challenge.origin !== origin) {
    throw new ManyhandsError('bad-signature', 'This hello names another origin than the page that sends it.')
  }
  const claim: HelloClaim = { nonce, origin, expiresAt, server: challenge.serverKey }
  if (!(await verify(key, 'hello', utf8(canonicalJson(claim)), fromHex(signature)))) {
    throw new ManyhandsError('bad-signature', 'The signature of this hello is wrong: it was made by another key, or for another server.')
  }
  return peerIdOf(key)
}
