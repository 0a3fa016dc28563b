/**
 * The embedded store: one SQLite file, write-ahead log, synced at every commit, so that a kill -9 loses nothing that was
 * committed. Also the embedded ownership, whose epoch is counted here at every start.
 */
import { DatabaseSync } from '@photostructure/sqlite'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { asError, ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { Ownership } from './ownership.ts'
import type { ProjectStore } from './projects/project-store.ts'
import { projectsMigration, SqliteProjects } from './projects/sqlite-projects.ts'
import { auditColumns, conflictRule, quoted, rowOf, strikeColumns, workColumns, workSums, type Row } from './store-rows.ts'
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

type Database = InstanceType<typeof DatabaseSync>

/** Each entry brings the schema from its index to the next; none is ever changed. */
const migrations = [
  `CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
   INSERT INTO epoch VALUES (1, 0);
   CREATE TABLE receipt (session TEXT NOT NULL, status TEXT NOT NULL, issued_at INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (session, status)) STRICT;
   CREATE TABLE work (session TEXT NOT NULL, peer TEXT NOT NULL, revision TEXT NOT NULL, first INTEGER NOT NULL, "end" INTEGER NOT NULL,
     rows INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (session, peer, first)) STRICT;
   CREATE INDEX work_by_peer ON work (peer, at);`,
  // Successors of one status (a correction of a correction), work of other kinds than a stage's, and what trust is made of.
  `ALTER TABLE receipt RENAME TO receipt_1;
   CREATE TABLE receipt (seq INTEGER PRIMARY KEY, session TEXT NOT NULL, status TEXT NOT NULL, supersedes TEXT NOT NULL, json TEXT NOT NULL,
     UNIQUE (session, status, supersedes)) STRICT;
   INSERT INTO receipt (session, status, supersedes, json)
     SELECT session, status, coalesce(json_extract(json, '$.supersedes'), ''), json FROM receipt_1 ORDER BY rowid;
   DROP TABLE receipt_1;
   ALTER TABLE work RENAME TO work_1;
   DROP INDEX work_by_peer;
   CREATE TABLE work (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, peer TEXT NOT NULL, revision TEXT NOT NULL, first INTEGER NOT NULL,
     "end" INTEGER NOT NULL, rows INTEGER NOT NULL, at INTEGER NOT NULL, UNIQUE (id, peer, first, kind)) STRICT;
   INSERT INTO work (id, kind, peer, revision, first, "end", rows, at)
     SELECT session, 'stage', peer, revision, first, "end", rows, at FROM work_1 ORDER BY rowid;
   DROP TABLE work_1;
   CREATE INDEX work_by_peer ON work (peer, at);
   CREATE TABLE audit (seq INTEGER PRIMARY KEY, audit TEXT NOT NULL UNIQUE, session TEXT NOT NULL, revision TEXT NOT NULL, stage INTEGER NOT NULL,
     first INTEGER NOT NULL, "end" INTEGER NOT NULL, peer TEXT NOT NULL, auditor TEXT NOT NULL, outcome TEXT NOT NULL, chunks INTEGER NOT NULL,
     rows INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
   CREATE INDEX audit_by_peer ON audit (peer, at);
   CREATE INDEX audit_by_session ON audit (session, at);
   CREATE TABLE strike (seq INTEGER PRIMARY KEY, cause TEXT NOT NULL, peer TEXT NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL,
     UNIQUE (cause, peer)) STRICT;
   CREATE INDEX strike_by_peer ON strike (peer, at);
   CREATE TABLE evidence (session TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
   CREATE TABLE standing (peer TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT;`,
  projectsMigration,
]

export interface Embedded {
  readonly store: Store
  readonly ownership: Ownership
  readonly projects: ProjectStore
}

/**
 * Opens (and where need be makes) `DIR/manyhands.db` and begins a new epoch.
 * @throws ManyhandsError bad-input when the file is no database of ours, or can't be written
 */
export function openEmbedded(directory: string, url: string): Embedded {
  const path = join(directory, 'manyhands.db')
  let db: Database | undefined
  try {
    mkdirSync(directory, { recursive: true })
    db = new DatabaseSync(path)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON')
    migrate(db)
    db.exec('UPDATE epoch SET value = value + 1')
    const epoch = (db.prepare('SELECT value FROM epoch').get() as { value: number }).value
    return { store: new SqliteStore(db, epoch), ownership: soleOwner(url, epoch), projects: new SqliteProjects(db) }
  } catch (cause) {
    db?.close()
    throw new ManyhandsError(
      'bad-input',
      `${path} can't be used: ${asError(cause).message}. Restore it, or give another folder with --data.`,
      { cause },
    )
  }
}

function migrate(db: Database): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number }
  if (version > migrations.length)
    throw new Error(`The database is of a newer version (${version}) than this server knows (${migrations.length}).`)
  for (let v = version; v < migrations.length; v++) db.exec(`BEGIN; ${migrations[v]} PRAGMA user_version = ${v + 1}; COMMIT`)
}

class SqliteStore implements Store {
  readonly #db: Database
  readonly #epoch: number

  constructor(db: Database, epoch: number) {
    this.#db = db
    this.#epoch = epoch
  }

  async commit(_cell: string, epoch: number, writes: readonly Write[]): Promise<'ok' | 'stale'> {
    const rows = writes.map(rowOf)
    const current = this.#db.prepare('SELECT value FROM epoch')
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      if (epoch !== this.#epoch || (current.get() as { value: number }).value !== epoch) {
        this.#db.exec('ROLLBACK')
        return 'stale'
      }
      for (const row of rows) this.#insert(row)
      this.#db.exec('COMMIT')
      return 'ok'
    } catch (thrown) {
      // On a full disk SQLite has rolled back itself.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw thrown
    }
  }

  async receipt(session: SessionId): Promise<Receipt | undefined> {
    const row = this.#db.prepare('SELECT json FROM receipt WHERE session = ? ORDER BY seq DESC LIMIT 1').get(session)
    return row && (parsed(row) as Receipt)
  }

  async receipts(session: SessionId): Promise<Receipt[]> {
    return this.#db
      .prepare('SELECT json FROM receipt WHERE session = ? ORDER BY seq')
      .all(session)
      .map((row) => parsed(row) as Receipt)
  }

  async unsettled(revision: Revision): Promise<Receipt[]> {
    return this.#db
      .prepare(
        `SELECT json FROM receipt AS one WHERE seq > (SELECT max(seq) FROM receipt) - ? AND status <> 'settled' AND json_extract(json, '$.revision') = ?
         AND NOT EXISTS (SELECT 1 FROM receipt AS other WHERE other.session = one.session AND other.seq > one.seq) ORDER BY seq`,
      )
      .all(unsettledReach, revision)
      .map((row) => parsed(row) as Receipt)
  }

  async work(peer: PeerId): Promise<WorkEntry[]> {
    return this.#db.prepare(`SELECT ${quoted(workColumns)} FROM work WHERE peer = ? ORDER BY at, seq`).all(peer)
  }

  async workSums(peer: PeerId, since: number): Promise<WorkSum[]> {
    return this.#db.prepare(workSums('?', '?')).all(peer, since)
  }

  async audits(of: { peer: PeerId } | { session: SessionId }, limit: number): Promise<AuditEntry[]> {
    const [column, value] = 'peer' in of ? ['peer', of.peer] : ['session', of.session]
    return this.#db
      .prepare(`SELECT ${quoted(auditColumns)} FROM audit WHERE ${column} = ? ORDER BY at DESC, seq DESC LIMIT ?`)
      .all(value, Math.min(limit, maxAuditsRead))
  }

  async strikes(peer: PeerId): Promise<StrikeEntry[]> {
    return this.#db.prepare(`SELECT ${quoted(strikeColumns)} FROM strike WHERE peer = ? ORDER BY at, seq`).all(peer)
  }

  async standings(peers: readonly PeerId[]): Promise<ReadonlyMap<PeerId, unknown>> {
    const one = this.#db.prepare('SELECT json FROM standing WHERE peer = ?')
    const found = new Map<PeerId, unknown>()
    for (const peer of peers) {
      const row = one.get(peer)
      if (row) found.set(peer, parsed(row))
    }
    return found
  }

  async evidence(session: SessionId): Promise<Uint8Array | undefined> {
    const row = this.#db.prepare('SELECT bytes FROM evidence WHERE session = ?').get(session) as { bytes: Uint8Array } | undefined
    return row && new Uint8Array(row.bytes)
  }

  async close(): Promise<void> {
    this.#db.close()
  }

  #insert(row: Row): void {
    const names = Object.keys(row.columns)
    const places = names.map(() => '?').join(', ')
    this.#db
      .prepare(`INSERT INTO ${row.table} (${quoted(names)}) VALUES (${places}) ${conflictRule(row)}`)
      .run(...Object.values(row.columns))
  }
}

const parsed = (row: unknown): unknown => JSON.parse((row as { json: string }).json)

const soleOwner = (url: string, epoch: number): Ownership => ({
  claim: async (cells) => new Map(cells.map((cell) => [cell, epoch])),
  renew: async (held) => held,
  release: async () => undefined,
  ownerOf: async () => ({ url, epoch }),
  servers: async () => [url],
  mayAct: () => true,
})
