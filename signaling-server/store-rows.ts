/**
 * What a write is in a database's tables, the same for every database: which table, which columns, and what happens to a row
 * that is there already. Limits are checked here, before anything is written.
 */
import { utf8 } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { maxEvidenceBytes, maxStandingBytes, maxWhyChars, type Write } from './store.ts'
import { dayMs } from './work-days.ts'

export type Value = string | number | Uint8Array

export interface Row {
  readonly table: 'receipt' | 'work' | 'audit' | 'strike' | 'tally' | 'evidence' | 'standing'
  /** Of one table always the same ones in the same order. */
  readonly columns: Readonly<Record<string, Value>>
  /** Column that finds a row which this one takes the place of; without it, the first one stands. */
  readonly replaces?: string
}

/** @throws ManyhandsError bad-input */
export function rowOf(write: Write): Row {
  switch (write.t) {
    case 'receipt': {
      const { receipt } = write
      const { request: session, status, supersedes } = receipt
      return { table: 'receipt', columns: { session, status, supersedes: supersedes ?? '', json: JSON.stringify(receipt) } }
    }
    case 'work': {
      const { id, kind, peer, revision, first, end, rows, at } = write.entry
      return { table: 'work', columns: { id, kind, peer, revision, first, end, rows, at } }
    }
    case 'audit': {
      const { audit, session, revision, stage, first, end, peer, auditor, outcome, chunks, rows, at } = write.entry
      return { table: 'audit', columns: { audit, session, revision, stage, first, end, peer, auditor, outcome, chunks, rows, at } }
    }
    case 'strike': {
      const { cause, peer, why, at } = write.entry
      if (why.length > maxWhyChars) throw tooLarge('A strike’s reason', why.length, maxWhyChars, 'characters')
      return { table: 'strike', columns: { cause, peer, why, at } }
    }
    case 'tally': {
      const { id, counter, project, day, amount } = write.tally
      return { table: 'tally', columns: { id, counter, project, day, amount } }
    }
    case 'evidence': {
      const { session, evidence } = write
      if (evidence.length > maxEvidenceBytes) throw tooLarge('A session’s evidence', evidence.length, maxEvidenceBytes, 'bytes')
      return { table: 'evidence', columns: { session, bytes: evidence } }
    }
    case 'standing': {
      const json = JSON.stringify(write.standing)
      const { length } = utf8(json)
      if (length > maxStandingBytes) throw tooLarge('A peer’s standing', length, maxStandingBytes, 'bytes')
      return { table: 'standing', columns: { peer: write.peer, json }, replaces: 'peer' }
    }
  }
}

export const quoted = (columns: readonly string[]) => columns.map((column) => `"${column}"`).join(', ')

export const auditColumns = ['audit', 'session', 'revision', 'stage', 'first', 'end', 'peer', 'auditor', 'outcome', 'chunks', 'rows', 'at']
export const workColumns = ['id', 'kind', 'peer', 'revision', 'first', 'end', 'rows', 'at']
/** In the same words for every database; a sum of integers is one again. */
export const workSums = (peer: string, since: string) =>
  `SELECT CAST(at / ${dayMs} AS BIGINT) AS day, kind, CAST(sum(rows) AS BIGINT) AS rows, count(*) AS pieces
   FROM work WHERE peer = ${peer} AND at >= ${since} GROUP BY 1, 2 ORDER BY 1, 2`

export const strikeColumns = ['cause', 'peer', 'why', 'at']

/** What an `INSERT` of such a row does when there is one already. */
export function conflictRule({ columns, replaces }: Row): string {
  if (!replaces) return 'ON CONFLICT DO NOTHING'
  const others = Object.keys(columns).filter((name) => name !== replaces)
  return `ON CONFLICT ("${replaces}") DO UPDATE SET ${others.map((name) => `"${name}" = excluded."${name}"`).join(', ')}`
}

const tooLarge = (what: string, size: number, most: number, unit: string) =>
  new ManyhandsError('bad-input', `${what} takes ${size} ${unit}; ${most} are allowed.`)
