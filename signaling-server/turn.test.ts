import { expect, it } from 'vitest'
import type { PeerId } from '../protocol/ids.ts'
import { iceServers } from './turn.ts'

const peer = 'ab'.repeat(32) as PeerId

it('without options there is nothing to dial', () => {
  expect(iceServers({ stun: [] }, peer, 0)).toEqual([])
})

it('gives STUN as it is and TURN with credentials that expire', () => {
  const turn = { urls: ['turn:relay.example:3478'], secret: 'north', ttlSeconds: 3600 }
  const servers = iceServers({ stun: ['stun:relay.example'], turn }, peer, 1_700_000_000_999)
  // The credential: printf '%s' 1700003600:abab… | openssl dgst -sha1 -hmac north -binary | base64
  expect(servers).toEqual([
    { urls: ['stun:relay.example'] },
    { urls: turn.urls, username: `1700003600:${peer}`, credential: 'ya+8ckwixxha/nACCPVf94srmOg=' },
  ])
})
