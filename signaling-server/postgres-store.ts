/**
 * The store of several server processes: PostgreSQL. Every commit is one statement, so that whether the epoch is current and
 * what is written are decided at the same moment, and a process that freezes in the middle holds nobody up.
 */
import type pg from 'pg'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'
import { asOutage, isOutage } from './postgres-pool.ts'
import { auditColumns, conflictRule, quoted, rowOf, strikeColumns, workColumns, workSums, type Row, type Value } from './store-rows.ts'
import {
  maxAuditsRead,
  unsettledReach,
  type AuditEntry,
  type Store,
  type StrikeEntry,
  type WorkEntry,
  type WorkSum,
  type Write,
} from './store.ts'

/** A database that restarts, or whose place another takes, is back by then; the same commit twice does no harm. */
const retryForMs = 15_000
const firstPauseMs = 50
const longestPauseMs = 1_000

export class PostgresStore implements Store {
  readonly #pool: pg.Pool
  /** The process, as it owns cells. */
  readonly #owner: string
  #closed = false

  constructor(pool: pg.Pool, owner: string) {
    this.#pool = pool
    this.#owner = owner
  }

  async commit(cell: string, epoch: number, writes: readonly Write[]): Promise<'ok' | 'stale'> {
    const { text, values } = fenced(cell, epoch, this.#owner, writes.map(rowOf))
    const start = performance.now()
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, 2 * pauseMs)) {
      try {
        const { rows } = await this.#pool.query<{ owned: number }>(text, values)
        return rows[0]?.owned === 1 ? 'ok' : 'stale'
      } catch (thrown) {
        if (!isOutage(thrown) || this.#closed || performance.now() - start > retryForMs) throw asOutage(thrown)
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  async receipt(session: SessionId): Promise<Receipt | undefined> {
    const [row] = await this.#read<{ json: string }>('SELECT json FROM receipt WHERE session = $1 ORDER BY seq DESC LIMIT 1', [session])
    return row && (JSON.parse(row.json) as Receipt)
  }

  async receipts(session: SessionId): Promise<Receipt[]> {
    const rows = await this.#read<{ json: string }>('SELECT json FROM receipt WHERE session = $1 ORDER BY seq', [session])
    return rows.map(({ json }) => JSON.parse(json) as Receipt)
  }

  async unsettled(revision: Revision): Promise<Receipt[]> {
    const rows = await this.#read<{ json: string }>(
      `SELECT json FROM receipt AS one WHERE seq > (SELECT max(seq) FROM receipt) - $1 AND status <> 'settled' AND json::json->>'revision' = $2
       AND NOT EXISTS (SELECT 1 FROM receipt AS other WHERE other.session = one.session AND other.seq > one.seq) ORDER BY seq`,
      [unsettledReach, revision],
    )
    return rows.map(({ json }) => JSON.parse(json) as Receipt)
  }

  work(peer: PeerId): Promise<WorkEntry[]> {
    return this.#read(`SELECT ${quoted(workColumns)} FROM work WHERE peer = $1 ORDER BY at, seq`, [peer])
  }

  workSums(peer: PeerId, since: number): Promise<WorkSum[]> {
    return this.#read(workSums('$1', '$2'), [peer, since])
  }

  audits(of: { peer: PeerId } | { session: SessionId }, limit: number): Promise<AuditEntry[]> {
    const [column, value] = 'peer' in of ? ['peer', of.peer] : ['session', of.session]
    const text = `SELECT ${quoted(auditColumns)} FROM audit WHERE ${column} = $1 ORDER BY at DESC, seq DESC LIMIT $2`
    return this.#read(text, [value, Math.min(limit, maxAuditsRead)])
  }

  strikes(peer: PeerId): Promise<StrikeEntry[]> {
    return this.#read(`SELECT ${quoted(strikeColumns)} FROM strike WHERE peer = $1 ORDER BY at, seq`, [peer])
  }

  async standings(peers: readonly PeerId[]): Promise<ReadonlyMap<PeerId, unknown>> {
    const rows = await this.#read<{ peer: PeerId; json: string }>('SELECT peer, json FROM standing WHERE peer = ANY($1)', [peers])
    return new Map(rows.map(({ peer, json }) => [peer, JSON.parse(json) as unknown]))
  }

  async evidence(session: SessionId): Promise<Uint8Array | undefined> {
    const [row] = await this.#read<{ bytes: Uint8Array }>('SELECT bytes FROM evidence WHERE session = $1', [session])
    return row && new Uint8Array(row.bytes)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#pool.end()
  }

  async #read<T extends object>(text: string, values: unknown[]): Promise<T[]> {
    try {
      return (await this.#pool.query<T>(text, values)).rows
    } catch (thrown) {
      throw asOutage(thrown)
    }
  }
}

/**
 * One statement: the lock on the cell's row, and every table's rows if the row says that the cell is ours under that epoch.
 * The lock lets renewals and other commits by and keeps whoever would claim the cell waiting.
 */
function fenced(cell: string, epoch: number, owner: string, rows: readonly Row[]): { text: string; values: unknown[] } {
  const values: unknown[] = [cell, epoch, owner]
  const parts = ['fence AS (SELECT 1 FROM cell WHERE name = $1 AND epoch = $2 AND owner = $3 FOR KEY SHARE)']
  for (const table of new Set(rows.map((row) => row.table))) {
    const group = rows.filter((row) => row.table === table)
    const [any] = group as [Row]
    const names = Object.keys(any.columns)
    const kept = any.replaces ? latest(group, any.replaces) : group
    const arrays = names.map((name) => {
      const column = kept.map((row) => bound(row.columns[name] as Value))
      return `$${values.push(column)}::${arrayType(any.columns[name] as Value)}`
    })
    parts.push(
      `${table}_rows AS (INSERT INTO ${table} (${quoted(names)}) SELECT ${quoted(names)} ` +
        `FROM unnest(${arrays.join(', ')}) WITH ORDINALITY AS new (${quoted(names)}, ordinal) WHERE EXISTS (SELECT FROM fence) ` +
        `ORDER BY ordinal ${conflictRule(any)})`,
    )
  }
  return { text: `WITH ${parts.join(',\n')}\nSELECT count(*) AS owned FROM fence`, values }
}

/** A statement may change a row once: of several for one key the last; in the order of keys, so that no two commits wait for each other. */
function latest(rows: readonly Row[], key: string): Row[] {
  const byKey = new Map(rows.map((row) => [row.columns[key] as string, row]))
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

const bound = (value: Value) => (value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value)
const arrayType = (value: Value) => (typeof value === 'number' ? 'bigint[]' : typeof value === 'string' ? 'text[]' : 'bytea[]')
