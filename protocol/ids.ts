/**
 * Branded identifiers. A string that passed a parser here carries its brand; nothing further in re-checks it.
 */
/** By a name and not a symbol: declarations that are inferred from schemas can't name another file's symbol. */
type Branded<T, B extends string> = T & { readonly __brand: B }

/** 64 lowercase hex digits: SHA-256 of some bytes. */
export type Hash = Branded<string, 'Hash'>
/** Hex SHA-256 of the peer's raw Ed25519 public key (32 bytes). */
export type PeerId = Branded<string, 'PeerId'>
/** Hash of a model's canonical manifest. */
export type Revision = Branded<string, 'Revision'>
/** 32 lowercase hex digits (16 random bytes), drawn by the server that routes the session. */
export type SessionId = Branded<string, 'SessionId'>
/** `p_` and 16 base32 digits (10 random bytes): public, it stands in the widget's tag. */
export type ProjectId = Branded<string, 'ProjectId'>

const hex64 = /^[0-9a-f]{64}$/
const hex32 = /^[0-9a-f]{32}$/
const project = /^p_[a-z2-7]{16}$/

export const isHash = (s: unknown): s is Hash => typeof s === 'string' && hex64.test(s)
export const isPeerId = (s: unknown): s is PeerId => typeof s === 'string' && hex64.test(s)
export const isRevision = (s: unknown): s is Revision => typeof s === 'string' && hex64.test(s)
export const isSessionId = (s: unknown): s is SessionId => typeof s === 'string' && hex32.test(s)
export const isProjectId = (s: unknown): s is ProjectId => typeof s === 'string' && project.test(s)
