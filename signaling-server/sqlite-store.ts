/**
 * The embedded store: one SQLite file, write-ahead log, synced at every commit, so that a kill -9 loses nothing that was
 * committed. Also the embedded ownership, whose epoch is counted here at every start.
 */
import { DatabaseSync } from '@photostructure/sqlite'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { asError, ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, SessionId } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { Ownership } from './ownership.ts'
import type { Store, WorkEntry, Write } from './store.ts'

type Database = InstanceType<typeof DatabaseSync>

/** Each entry brings the schema from its index to the next; none is ever changed. */
const migrations = [
  `CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
   INSERT INTO epoch VALUES (1, 0);
   CREATE TABLE receipt (session TEXT NOT NULL, status TEXT NOT NULL, issued_at INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (session, status)) STRICT;
   CREATE TABLE work (session TEXT NOT NULL, peer TEXT NOT NULL, revision TEXT NOT NULL, first INTEGER NOT NULL, "end" INTEGER NOT NULL,
     rows INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (session, peer, first)) STRICT;
   CREATE INDEX work_by_peer ON work (peer, at);`,
]

export interface Embedded {
  readonly store: Store
  readonly ownership: Ownership
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
    return { store: new SqliteStore(db, epoch), ownership: soleOwner(url, epoch) }
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
    const current = this.#db.prepare('SELECT value FROM epoch')
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      if (epoch !== this.#epoch || (current.get() as { value: number }).value !== epoch) {
        this.#db.exec('ROLLBACK')
        return 'stale'
      }
      for (const write of writes) this.#write(write)
      this.#db.exec('COMMIT')
      return 'ok'
    } catch (thrown) {
      // On a full disk SQLite has rolled back itself.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw thrown
    }
  }

  async receipt(session: SessionId): Promise<Receipt | undefined> {
    const row = this.#db.prepare('SELECT json FROM receipt WHERE session = ? ORDER BY rowid DESC LIMIT 1').get(session) as
      | { json: string }
      | undefined
    return row && (JSON.parse(row.json) as Receipt)
  }

  async work(peer: PeerId): Promise<WorkEntry[]> {
    return this.#db.prepare('SELECT session, peer, revision, first, "end", rows, at FROM work WHERE peer = ? ORDER BY at, rowid').all(peer)
  }

  async close(): Promise<void> {
    this.#db.close()
  }

  #write(write: Write): void {
    if (write.t === 'receipt') {
      const { receipt } = write
      this.#db
        .prepare('INSERT INTO receipt VALUES (?, ?, ?, ?) ON CONFLICT (session, status) DO NOTHING')
        .run(receipt.request, receipt.status, receipt.issuedAt, JSON.stringify(receipt))
      return
    }
    const { session, peer, revision, first, end, rows, at } = write.entry
    this.#db
      .prepare('INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session, peer, first) DO NOTHING')
      .run(session, peer, revision, first, end, rows, at)
  }
}

const soleOwner = (url: string, epoch: number): Ownership => ({
  claim: async (cells) => new Map(cells.map((cell) => [cell, epoch])),
  renew: async (held) => held,
  release: async () => undefined,
  ownerOf: async () => ({ url, epoch }),
})
