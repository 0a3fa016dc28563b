import { beforeAll, expect, it } from 'vitest'
import { utf8 } from '../protocol/bytes.ts'
import type { HelloClaim } from '../protocol/client-messages.ts'
import { canonicalJson } from '../protocol/hash.ts'
import { createIdentity, signHex, type Identity, type Purpose } from '../protocol/keys.ts'
import { helloMs } from '../protocol/limits.ts'
import { checkHello, type Challenge, type Hello } from './hello.ts'

const now = 1_700_000_000_000
let peer: Identity
let challenge: Challenge

beforeAll(async () => {
  peer = await createIdentity()
  challenge = { nonce: 'a'.repeat(32), issuedAt: now, serverKey: (await createIdentity()).publicKey, origin: 'https://give.example' }
})

async function hello(change: Partial<HelloClaim> = {}, purpose: Purpose = 'hello'): Promise<Hello> {
  const claim = { nonce: challenge.nonce, origin: 'https://give.example', expiresAt: now + helloMs, server: challenge.serverKey, ...change }
  const { nonce, origin, expiresAt } = claim
  const signature = await signHex(peer.privateKey, purpose, utf8(canonicalJson(claim)))
  return { t: 'hello', v: 1, key: peer.publicKey, nonce, origin, expiresAt, agent: 'test', signature }
}

it('[CS2] [ID1] a hello that answers the challenge gives the peer’s id', async () => {
  expect(await checkHello(await hello(), challenge, now)).toBe(peer.id)
  expect(await checkHello(await hello({ origin: 'node' }), { ...challenge, origin: undefined }, now)).toBe(peer.id)
})

it.each<[string, string, Partial<HelloClaim>, number]>([
  ['to another challenge', 'replayed', { nonce: 'b'.repeat(32) }, 0],
  ['past its own time', 'timeout', { expiresAt: now + 1 }, 1],
  ['past the challenge’s time', 'timeout', {}, helloMs + 1],
  ['good for longer than a challenge', 'bad-message', { expiresAt: now + helloMs + 1 }, 0],
  ['of another page than it comes from', 'bad-signature', { origin: 'https://other.example' }, 0],
  ['to another server', 'bad-signature', { server: '0'.repeat(64) }, 0],
])('[CS2] a hello %s is refused: %s', async (_, code, change, laterMs) => {
  await expect(checkHello(await hello(change), challenge, now + laterMs)).rejects.toMatchObject({ code })
})

it('[ID2] a signature made for another purpose is worth nothing', async () => {
  await expect(checkHello(await hello({}, 'link'), challenge, now)).rejects.toMatchObject({ code: 'bad-signature' })
})

it('[CS6] another’s key gives another’s id to nobody', async () => {
  const other = await createIdentity()
  await expect(checkHello({ ...(await hello()), key: other.publicKey }, challenge, now)).rejects.toMatchObject({ code: 'bad-signature' })
  await expect(checkHello({ ...(await hello()), key: 'f'.repeat(64) }, challenge, now)).rejects.toMatchObject({ code: 'bad-signature' })
})
