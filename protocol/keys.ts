/**
 * Peers' keys: Ed25519 through WebCrypto, ids from public keys, and signatures that say what they are for, so that one
 * made for a chunk can never be shown as one for a ticket.
 */
import { concatBytes, fromHex, plainBytes, toHex, utf8, type Bytes } from './bytes.ts'
import { sha256 } from './hash.ts'
import type { PeerId } from './ids.ts'

/** Hex of a raw Ed25519 public key. */
export const publicKeyPattern = /^[0-9a-f]{64}$/
export const signatureBytes = 64

/** What a signature is for; the first line of what is signed. */
export type Purpose = 'hello' | 'link' | 'chunk' | 'countersign' | 'ticket' | 'shadow' | 'answer' | 'receipt' | 'publication'

export interface Identity {
  readonly id: PeerId
  /** Raw public key, hex. */
  readonly publicKey: string
  /** Not extractable where it was made in a browser; can be cloned into a worker. */
  readonly privateKey: CryptoKey
}

export const peerIdOf = async (publicKeyHex: string): Promise<PeerId> => (await sha256(fromHex(publicKeyHex))) as string as PeerId

/** A fresh identity. `extractable` only where it must be kept in a file. */
export async function createIdentity(extractable = false): Promise<Identity> {
  const pair = await crypto.subtle.generateKey('Ed25519', extractable, ['sign', 'verify'])
  return identityOf(pair)
}

export async function identityOf(pair: CryptoKeyPair): Promise<Identity> {
  const publicKey = toHex(new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)))
  return { id: await peerIdOf(publicKey), publicKey, privateKey: pair.privateKey }
}

/** The private key as PKCS #8, for a file; the pair comes back by {@link importIdentity}. */
export async function exportIdentity(identity: Identity): Promise<{ publicKey: string; pkcs8: string }> {
  return { publicKey: identity.publicKey, pkcs8: toHex(new Uint8Array(await crypto.subtle.exportKey('pkcs8', identity.privateKey))) }
}

/** @throws DataError or RangeError when the text is no such key. */
export async function importIdentity(saved: { publicKey: string; pkcs8: string }): Promise<Identity> {
  const privateKey = await crypto.subtle.importKey('pkcs8', fromHex(saved.pkcs8), 'Ed25519', true, ['sign'])
  return { id: await peerIdOf(saved.publicKey), publicKey: saved.publicKey, privateKey }
}

const signed = (purpose: Purpose, message: Uint8Array): Bytes => concatBytes([utf8(`manyhands/1 ${purpose}\n`), message])

/** 64 bytes: Ed25519 over the purpose line and the message. */
export async function sign(key: CryptoKey, purpose: Purpose, message: Uint8Array): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign('Ed25519', key, signed(purpose, message)))
}

export const signHex = async (key: CryptoKey, purpose: Purpose, message: Uint8Array): Promise<string> =>
  toHex(await sign(key, purpose, message))

/** False for a wrong signature, a wrong length or a key that is none. */
export async function verify(publicKeyHex: string, purpose: Purpose, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (signature.length !== signatureBytes || !publicKeyPattern.test(publicKeyHex)) return false
  try {
    return await crypto.subtle.verify('Ed25519', await verifyKey(publicKeyHex), plainBytes(signature), signed(purpose, message))
  } catch {
    return false
  }
}

export async function verifyHex(publicKeyHex: string, purpose: Purpose, message: Uint8Array, signatureHex: string): Promise<boolean> {
  return /^[0-9a-f]{128}$/.test(signatureHex) && (await verify(publicKeyHex, purpose, message, fromHex(signatureHex)))
}

/** Imported keys of the peers one talks to; the oldest goes when a server has met this many. */
const maxImportedKeys = 4096
const imported = new Map<string, Promise<CryptoKey>>()

function verifyKey(publicKeyHex: string): Promise<CryptoKey> {
  const known = imported.get(publicKeyHex)
  if (known) return known
  const key = crypto.subtle.importKey('raw', fromHex(publicKeyHex), 'Ed25519', false, ['verify'])
  imported.set(publicKeyHex, key)
  key.catch(() => imported.delete(publicKeyHex))
  if (imported.size > maxImportedKeys) imported.delete(imported.keys().next().value as string)
  return key
}
