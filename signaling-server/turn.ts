/**
 * STUN and TURN servers for one peer, sent with its welcome. TURN credentials are coturn's REST scheme
 * (`use-auth-secret`): the relay checks the HMAC, so it needs no accounts and nobody keeps a password.
 */
import { createHmac } from 'node:crypto'
import type { PeerId } from '../protocol/ids.ts'

export interface IceOptions {
  /** `stun:` URLs. */
  readonly stun: readonly string[]
  /** `turn:` and `turns:` URLs with the secret shared with the relay, and the credentials' life in seconds. */
  readonly turn?: { readonly urls: readonly string[]; readonly secret: string; readonly ttlSeconds: number }
}

/** As RTCPeerConnection takes them, and as `welcome` carries them. */
export interface IceServer {
  urls: string[]
  username?: string
  credential?: string
}

export function iceServers(options: IceOptions, peer: PeerId, nowMs: number): IceServer[] {
  const servers: IceServer[] = []
  if (options.stun.length > 0) servers.push({ urls: [...options.stun] })
  if (options.turn && options.turn.urls.length > 0) {
    const username = `${Math.floor(nowMs / 1000) + options.turn.ttlSeconds}:${peer}`
    servers.push({
      urls: [...options.turn.urls],
      username,
      credential: createHmac('sha1', options.turn.secret).update(username).digest('base64'),
    })
  }
  return servers
}
