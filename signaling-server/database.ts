/**
 * Everything that outlives a process, opened together: embedded in the data folder, or, by a URL, PostgreSQL that several
 * server processes share.
 */
import { memoryBus, type Bus } from './bus.ts'
import type { Ownership } from './ownership.ts'
import { PostgresBus } from './postgres-bus.ts'
import { PostgresOwnership } from './postgres-ownership.ts'
import { asOutage, migrate, openPool } from './postgres-pool.ts'
import { PostgresStore } from './postgres-store.ts'
import { PostgresProjects } from './projects/postgres-projects.ts'
import type { ProjectStore } from './projects/project-store.ts'
import { openEmbedded } from './sqlite-store.ts'
import type { Store } from './store.ts'

export interface Database {
  readonly store: Store
  readonly projects: ProjectStore
  readonly ownership: Ownership
  readonly bus: Bus
  /** Public keys of all servers that share it, present and past: these are added; those added last come first. */
  serverKeys(own: readonly string[]): Promise<readonly string[]>
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** Folder of the embedded one. */
  readonly data: string
  /** PostgreSQL's address; embedded without. */
  readonly database: string | undefined
  /** Of this process: another at every start. */
  readonly name: string
  /** Where clients reach this process. */
  readonly url: string
}

/** Commits of all sessions that settle at once; PostgreSQL allows 100 connections by default, for all processes. */
const storeConnections = 8
/** Leases and hints have connections of their own: however many commits wait, a renewal comes in time. */
const ownershipConnections = 2

/** @throws ManyhandsError bad-input when the folder or the database can't be used */
export async function openDatabase({ data, database, name, url }: DatabaseOptions): Promise<Database> {
  if (database !== undefined) return openPostgres(database, name, url)
  const { store, ownership, projects } = openEmbedded(data, url)
  const bus = memoryBus(name)
  const close = async () => {
    await bus.close()
    await store.close()
  }
  return { store, projects, ownership, bus, serverKeys: async (own) => own, close }
}

async function openPostgres(database: string, name: string, url: string): Promise<Database> {
  const ownPool = openPool(database, name, ownershipConnections)
  const storePool = openPool(database, name, storeConnections)
  try {
    await migrate(ownPool)
    const bus = await PostgresBus.open(ownPool, database, name)
    const ownership = new PostgresOwnership(ownPool, name, url)
    const store = new PostgresStore(storePool, name)
    const close = async () => {
      await bus.close()
      await store.close()
      // Without an answer its name runs out by itself.
      await ownership.resign().catch(() => undefined)
      await ownPool.end()
    }
    return { store, projects: new PostgresProjects(storePool), ownership, bus, serverKeys: (own) => serverKeys(ownPool, own), close }
  } catch (thrown) {
    await Promise.all([ownPool.end(), storePool.end()])
    throw thrown
  }
}

async function serverKeys(pool: ReturnType<typeof openPool>, own: readonly string[]): Promise<readonly string[]> {
  try {
    await pool.query('INSERT INTO server_key (key) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING', [own])
    const { rows } = await pool.query<{ key: string }>('SELECT key FROM server_key ORDER BY added DESC, key')
    return rows.map(({ key }) => key)
  } catch (thrown) {
    throw asOutage(thrown)
  }
}
