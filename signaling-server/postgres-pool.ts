/**
 * Connections to PostgreSQL: bounded in number and in time, numbers as numbers, failures in this project's words. The schema
 * is brought up to date here, by whichever process comes first.
 */
import pg from 'pg'
import { ManyhandsError } from '../protocol/errors.ts'

/** A database that does not take a connection by then is as good as gone. */
const connectMs = 2_000
/** The longest write is 4 MB of evidence; what takes longer than this holds up a lease. */
const statementMs = 5_000
/** Above the statement's own limit, for a connection that is dead without a word. */
const answerMs = 6_000
const int8 = 20

/** Each entry brings the schema from its index to the next; none is ever changed. */
const migrations = [
  `CREATE TABLE cell (name TEXT PRIMARY KEY, epoch BIGINT NOT NULL, owner TEXT, url TEXT, until TIMESTAMPTZ);
   CREATE TABLE process (name TEXT PRIMARY KEY, url TEXT NOT NULL, until TIMESTAMPTZ NOT NULL);
   CREATE TABLE server_key (key TEXT PRIMARY KEY, added TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp());
   CREATE TABLE receipt (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session TEXT NOT NULL, status TEXT NOT NULL, supersedes TEXT NOT NULL,
     json TEXT NOT NULL, UNIQUE (session, status, supersedes));
   CREATE TABLE work (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, peer TEXT NOT NULL, revision TEXT NOT NULL,
     first BIGINT NOT NULL, "end" BIGINT NOT NULL, rows BIGINT NOT NULL, at BIGINT NOT NULL, UNIQUE (id, peer, first, kind));
   CREATE INDEX work_by_peer ON work (peer, at);
   CREATE TABLE audit (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, audit TEXT NOT NULL UNIQUE, session TEXT NOT NULL, revision TEXT NOT NULL,
     stage BIGINT NOT NULL, first BIGINT NOT NULL, "end" BIGINT NOT NULL, peer TEXT NOT NULL, auditor TEXT NOT NULL, outcome TEXT NOT NULL,
     chunks BIGINT NOT NULL, rows BIGINT NOT NULL, at BIGINT NOT NULL);
   CREATE INDEX audit_by_peer ON audit (peer, at);
   CREATE INDEX audit_by_session ON audit (session, at);
   CREATE TABLE strike (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cause TEXT NOT NULL, peer TEXT NOT NULL, why TEXT NOT NULL, at BIGINT NOT NULL,
     UNIQUE (cause, peer));
   CREATE INDEX strike_by_peer ON strike (peer, at);
   CREATE TABLE evidence (session TEXT PRIMARY KEY, bytes BYTEA NOT NULL);
   CREATE TABLE standing (peer TEXT PRIMARY KEY, json TEXT NOT NULL);`,
  `CREATE TABLE project (id TEXT PRIMARY KEY, json TEXT NOT NULL, version BIGINT NOT NULL, changed TIMESTAMPTZ NOT NULL);
   CREATE INDEX project_by_change ON project (changed);
   CREATE TABLE tally (id TEXT NOT NULL, counter TEXT NOT NULL, project TEXT NOT NULL, day BIGINT NOT NULL, amount BIGINT NOT NULL,
     PRIMARY KEY (id, counter));
   CREATE TABLE project_day (project TEXT NOT NULL, day BIGINT NOT NULL, counter TEXT NOT NULL, amount BIGINT NOT NULL,
     PRIMARY KEY (project, day, counter));
   CREATE FUNCTION count_tally() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
     INSERT INTO project_day AS counted VALUES (NEW.project, NEW.day, NEW.counter, NEW.amount)
       ON CONFLICT (project, day, counter) DO UPDATE SET amount = counted.amount + excluded.amount;
     RETURN NULL;
   END $$;
   CREATE TRIGGER tally_counts AFTER INSERT ON tally FOR EACH ROW EXECUTE FUNCTION count_tally();`,
]
/** Of the lock under which the schema is changed; any number that nobody else takes. */
const migrationLock = 7_236_415

export function openPool(connectionString: string, name: string, max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString,
    max,
    application_name: `manyhands ${name}`,
    connectionTimeoutMillis: connectMs,
    statement_timeout: statementMs,
    query_timeout: answerMs,
    keepAlive: true,
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') => (oid === int8 ? Number : pg.types.getTypeParser(oid, format)) as never,
    },
  })
  // An idle connection that breaks would otherwise end the process; the pool makes another when one is needed.
  pool.on('error', () => undefined)
  return pool
}

/** @throws ManyhandsError bad-input when this is no database of ours; unavailable */
export async function migrate(pool: pg.Pool): Promise<void> {
  const client = await pool.connect().catch(refused)
  try {
    await client.query('BEGIN')
    await client.query('SELECT pg_advisory_xact_lock($1)', [migrationLock])
    await client.query('CREATE TABLE IF NOT EXISTS schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)')
    const { rows } = await client.query<{ version: number }>('SELECT version FROM schema_version')
    const version = rows[0]?.version ?? 0
    if (version > migrations.length)
      throw new ManyhandsError(
        'bad-input',
        `The database is of a newer version (${version}) than this server knows (${migrations.length}). Update the server.`,
      )
    for (const migration of migrations.slice(version)) await client.query(migration)
    await client.query('INSERT INTO schema_version VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET version = excluded.version', [
      migrations.length,
    ])
    await client.query('COMMIT')
    client.release()
  } catch (thrown) {
    // Destroyed, and the transaction with it.
    client.release(true)
    throw thrown instanceof ManyhandsError ? thrown : refusal(thrown)
  }
}

/** Classes of SQLSTATE that pass: connection, resources, operator's intervention, system; two writers in each other's way. */
const passing = /^(08|53|57|58|40)/

/** Whether the database is out of reach for now, as opposed to not accepting what it was told. */
export function isOutage(thrown: unknown): boolean {
  if (thrown instanceof ManyhandsError) return thrown.code === 'unavailable'
  const code = (thrown as { code?: unknown } | null)?.code
  // Without a SQLSTATE it is the connection that failed.
  return typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code) || passing.test(code)
}

/** What a query that failed says to the rest of the server: out of reach for now, or as it was thrown. */
export function asOutage(thrown: unknown): unknown {
  if (!isOutage(thrown) || thrown instanceof ManyhandsError) return thrown
  return new ManyhandsError('unavailable', `The database does not answer: ${reason(thrown)}.`, { cause: thrown })
}

const refusal = (thrown: unknown) =>
  new ManyhandsError('bad-input', `The database can't be used: ${reason(thrown)}. Check --database or DATABASE_URL.`, { cause: thrown })
const refused = (thrown: unknown): never => {
  throw refusal(thrown)
}

function reason(thrown: unknown): string {
  // Several addresses of one host, each with its own refusal.
  const error = thrown instanceof AggregateError ? (thrown.errors[0] as unknown) : thrown
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error)
}
