/** Receipts, work, audits and strikes by number, for tests of what keeps them. */
import type { Hash, SessionId } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { AuditEntry, StrikeEntry, WorkEntry } from '../signaling-server/store.ts'
import { peerOf, revisionOf } from './swarms.ts'

export const sampleCell = revisionOf(1)
export const sampleSession = (n: number) => n.toString(16).padStart(32, '0') as SessionId
export const sampleHash = 'c'.repeat(64) as Hash

export const sampleReceipt = (n: number, change: Partial<Receipt> = {}): Receipt => ({
  v: 1,
  request: sampleSession(n),
  session: sampleSession(n),
  revision: sampleCell,
  promptHash: sampleHash,
  answerHash: sampleHash,
  stages: [{ peer: peerOf(1), key: sampleHash, blocks: [0, 4], backend: 'wasm', proven: false }],
  chunksRoot: sampleHash,
  custody: { checked: 3, failed: 0 },
  audits: { done: 0, of: 0 },
  status: 'provisional',
  supersedes: null,
  issuedAt: 1_700_000_000_000,
  serverKey: sampleHash,
  signature: 'd'.repeat(128),
  ...change,
})

export const sampleWork = (n: number, change: Partial<WorkEntry> = {}): WorkEntry => ({
  id: sampleSession(n),
  kind: 'stage',
  peer: peerOf(1),
  revision: sampleCell,
  first: 0,
  end: 4,
  rows: 20,
  at: 1_700_000_000_000 + n,
  ...change,
})

/** Of peer 1 by peer 2. */
export const sampleAudit = (n: number, change: Partial<AuditEntry> = {}): AuditEntry => ({
  audit: sampleSession(1_000 + n),
  session: sampleSession(n),
  revision: sampleCell,
  stage: 1,
  first: 2,
  end: 4,
  peer: peerOf(1),
  auditor: peerOf(2),
  outcome: 'agreed',
  chunks: 3,
  rows: 80,
  at: 1_700_000_000_000 + n,
  ...change,
})

export const sampleStrike = (n: number, change: Partial<StrikeEntry> = {}): StrikeEntry => ({
  cause: sampleSession(1_000 + n),
  peer: peerOf(1),
  why: 'audit lost',
  at: 1_700_000_000_000 + n,
  ...change,
})
