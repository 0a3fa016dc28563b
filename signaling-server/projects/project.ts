/**
 * A project as the server keeps it: whose pages may use its key, whom its volunteers serve, and hashes of its keys; never the
 * keys. Made and changed here, as values; projects.ts keeps them. docs/protocol.md [PJ].
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { ProjectId } from '../../protocol/ids.ts'
import { maxNameChars, maxOrigins, serverOrigin, type Audience } from '../../protocol/projects.ts'

export interface ProjectKey {
  /** SHA-256 of the key, hex. The key has 256 random bits: nothing slower is needed. */
  readonly hash: string
  /** Not good after this (ms since 1970); null for the present one. */
  readonly until: number | null
}

export interface Project {
  readonly id: ProjectId
  readonly name: string
  /** Exact ones, and `server` where programs may use the key too. */
  readonly origins: readonly string[]
  readonly audience: Audience
  /** Since 1970, ms. */
  readonly createdAt: number
  readonly revoked: boolean
  /** The present one first. */
  readonly keys: readonly ProjectKey[]
  readonly ownerHash: string
}

/** What its owner says of it. */
export interface ProjectTerms {
  readonly name: string
  readonly origins: readonly string[]
  readonly audience: Audience
}

/** A key that was replaced is good for so long, so that pages that are out there can be changed. */
export const rotationMs = 24 * 3600_000
/** Keys of one project at a time: whoever rotates faster ends the oldest. */
const maxKeys = 8
const keyBytes = 32
/** Of 80 bits none is drawn twice. */
const idBytes = 10
/** Longest that DNS and a port allow, and some more. */
const maxOriginChars = 300

/** The one time that the keys are seen. @throws ManyhandsError bad-input */
export function newProject(
  terms: ProjectTerms,
  now: number,
): { readonly project: Project; readonly key: string; readonly ownerKey: string } {
  const [key, ownerKey] = [newKey('mh_'), newKey('mo_')]
  const project: Project = {
    id: `p_${base32(randomBytes(idBytes))}` as ProjectId,
    ...checkedTerms(terms),
    createdAt: now,
    revoked: false,
    keys: [{ hash: hashKey(key), until: null }],
    ownerHash: hashKey(ownerKey),
  }
  return { project, key, ownerKey }
}

/** A new key; the present one is good for another `rotationMs`, or no more. */
export function rotated(project: Project, atOnce: boolean, now: number): { readonly project: Project; readonly key: string } {
  const key = newKey('mh_')
  const before = atOnce ? [] : goodKeys(project, now).map(({ hash, until }) => ({ hash, until: until ?? now + rotationMs }))
  return { project: { ...project, keys: [{ hash: hashKey(key), until: null }, ...before].slice(0, maxKeys) }, key }
}

/** The one before is good no more. */
export function withNewOwner(project: Project): { readonly project: Project; readonly ownerKey: string } {
  const ownerKey = newKey('mo_')
  return { project: { ...project, ownerHash: hashKey(ownerKey) }, ownerKey }
}

export const goodKeys = ({ keys, revoked }: Project, now: number): ProjectKey[] =>
  revoked ? [] : keys.filter(({ until }) => until === null || now < until)

/** Compared in a time that says nothing of the hash that is kept. */
export const isOwnerKey = (project: Project, key: string): boolean => sameHash(project.ownerHash, hashKey(key))

export const hashKey = (key: string): string => createHash('sha256').update(key).digest('hex')

export const sameHash = (a: string, b: string): boolean => {
  const [one, other] = [Buffer.from(a), Buffer.from(b)]
  return one.length === other.length && timingSafeEqual(one, other)
}

/** A secret of 256 bits that says by its beginning what it is. */
export const newKey = (prefix: string): string => prefix + randomBytes(keyBytes).toString('base64url')

/**
 * Why a page's key is not taken from there, as a sentence for its maker; undefined where it is.
 * @param origin the Origin header of the socket's request, which a page can't forge; absent outside browsers
 */
export function foreignOrigin({ origins }: Project, origin: string | undefined): string | undefined {
  if (origin !== undefined)
    return origins.includes(origin) ? undefined : `This project’s key is not for pages of ${origin}. Its owner can add that origin.`
  if (origins.includes(serverOrigin)) return undefined
  return `This project’s key is for its pages alone. Its owner can allow programs by adding the origin '${serverOrigin}'.`
}

/** @throws ManyhandsError bad-input */
export function checkedTerms({ name, origins, audience }: ProjectTerms): ProjectTerms {
  const trimmed = name.replace(/\p{Cc}+/gu, ' ').trim()
  if (trimmed === '' || trimmed.length > maxNameChars) throw misuse(`A project’s name has 1 to ${maxNameChars} characters.`)
  const exact = [...new Set(origins.map(checkedOrigin))]
  if (exact.length === 0 || exact.length > maxOrigins) throw misuse(`A project has 1 to ${maxOrigins} origins.`)
  return { name: trimmed, origins: exact, audience }
}

function checkedOrigin(text: string): string {
  if (text === serverOrigin) return text
  const url = text.length <= maxOriginChars && URL.canParse(text) ? new URL(text) : undefined
  if (!url || url.origin !== text.replace(/\/$/, '') || !/^[\w.:[\]-]+$/.test(url.host))
    throw misuse(`An origin looks like https://site.example, or is '${serverOrigin}'; not '${text.slice(0, maxOriginChars)}'.`)
  const local = url.hostname === 'localhost' || url.hostname.endsWith('.localhost') || url.hostname === '127.0.0.1'
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local))
    throw misuse(`${url.origin} can't be used: without https browsers give pages no cryptography. Only localhost may do without.`)
  return url.origin
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'

/** RFC 4648 without padding, in lower case. */
function base32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(value >> (bits - 5)) & 31]
  }
  return text
}

const misuse = (sentence: string) => new ManyhandsError('bad-input', sentence)
