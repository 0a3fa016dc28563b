/**
 * Ownership among several processes: leases in PostgreSQL, by its clock alone, each under an epoch that only grows. A process
 * stops acting well before its leases run out, and after trouble with the database claims nothing for a while, so that two
 * never act for one cell.
 */
import { performance } from 'node:perf_hooks'
import type pg from 'pg'
import type { Owner, Ownership } from './ownership.ts'
import { asOutage } from './postgres-pool.ts'

/** Long enough for a database that pauses for a second, short enough that a dead process's swarms wait no longer than a person does. */
export const cellLeaseMs = 3_000
/** Of a lease, from the start of the last good renewal: past it, somebody else may have it by the time that a decision arrives. */
const actingShare = 0.7
/** Of a lease: after an outage everybody's first renewal comes before anybody's claim. */
const holdOffShare = 1.5
/** Of names of processes that are gone. */
const forgetAfter = '1 hour'
/** Nobody's, or ours by a claim whose answer never came. */
const free = '(owner IS NULL OR owner = $2 OR until < clock_timestamp())'

export class PostgresOwnership implements Ownership {
  readonly #pool: pg.Pool
  readonly #owner: string
  readonly #url: string
  readonly #leaseMs: number
  readonly #held = new Map<string, number>()
  /** Cells that have a row. */
  readonly #known = new Set<string>()
  /** Start of the last good renewal, on a clock that never steps. */
  #goodAt = -Infinity
  #failedAt = -Infinity

  constructor(pool: pg.Pool, owner: string, url: string, leaseMs = cellLeaseMs) {
    this.#pool = pool
    this.#owner = owner
    this.#url = url
    this.#leaseMs = leaseMs
  }

  mayAct(): boolean {
    return performance.now() - this.#goodAt < actingShare * this.#leaseMs
  }

  /** Takes no more than this process's share of what is free, so that the first one back does not take everything. */
  async claim(cells: readonly string[], limit: number): Promise<ReadonlyMap<string, number>> {
    const fresh = cells.filter((cell) => !this.#held.has(cell))
    const heldOff = performance.now() - this.#failedAt < holdOffShare * this.#leaseMs
    if (fresh.length > 0 && limit > 0 && !heldOff) await this.#take(fresh, limit)
    return new Map(cells.flatMap((cell) => (this.#held.has(cell) ? [[cell, this.#held.get(cell) as number] as const] : [])))
  }

  async renew(held: readonly string[]): Promise<readonly string[]> {
    const start = performance.now()
    const ours = held.filter((cell) => this.#held.has(cell))
    const rows = await this.#query<{ name: string }>(
      // By owner and epoch and not by the date: a lease that ran out and that nobody took is still ours.
      `WITH me AS (INSERT INTO process VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms')
         ON CONFLICT (name) DO UPDATE SET url = excluded.url, until = excluded.until)
       UPDATE cell SET until = clock_timestamp() + $3 * interval '1 ms'
         WHERE owner = $1 AND (name, epoch) IN (SELECT * FROM unnest($4::text[], $5::bigint[])) RETURNING name`,
      [this.#owner, this.#url, this.#leaseMs, ours, ours.map((cell) => this.#held.get(cell))],
    )
    this.#goodAt = start
    const kept = new Set(rows.map(({ name }) => name))
    for (const cell of ours) if (!kept.has(cell)) this.#held.delete(cell)
    return held.filter((cell) => kept.has(cell))
  }

  async release(cells: readonly string[]): Promise<void> {
    for (const cell of cells) this.#held.delete(cell)
    await this.#query('UPDATE cell SET owner = NULL, url = NULL, until = NULL WHERE owner = $1 AND name = ANY($2)', [this.#owner, cells])
  }

  async ownerOf(cell: string): Promise<Owner | undefined> {
    const [row] = await this.#query<Owner>(
      'SELECT url, epoch FROM cell WHERE name = $1 AND owner IS NOT NULL AND until > clock_timestamp()',
      [cell],
    )
    return row
  }

  async servers(): Promise<readonly string[]> {
    const rows = await this.#query<{ url: string }>('SELECT url FROM process WHERE until > clock_timestamp() ORDER BY url', [])
    return [...new Set(rows.map(({ url }) => url))]
  }

  /** This process is no longer one of those that are up. */
  async resign(): Promise<void> {
    await this.#query(`DELETE FROM process WHERE name = $1 OR until < clock_timestamp() - interval '${forgetAfter}'`, [this.#owner])
  }

  async #take(cells: readonly string[], limit: number): Promise<void> {
    const unheard = cells.filter((cell) => !this.#known.has(cell))
    if (unheard.length > 0) {
      await this.#query('INSERT INTO cell SELECT name, 0 FROM unnest($1::text[]) AS new (name) ON CONFLICT DO NOTHING', [unheard])
      for (const cell of unheard) this.#known.add(cell)
    }
    const start = performance.now()
    const rows = await this.#query<{ name: string; epoch: number }>(
      // Rows that a commit or another claim holds are passed over; they are looked at again at the next turn.
      `WITH share AS (SELECT ceil(
         (SELECT count(*) FROM cell WHERE name = ANY($1) AND ${free})::float8 /
         greatest(1, (SELECT count(*) FROM process WHERE until > clock_timestamp())))::bigint AS most),
       taken AS (SELECT name FROM cell WHERE name = ANY($1) AND ${free}
         ORDER BY random() LIMIT least($5, (SELECT most FROM share)) FOR UPDATE SKIP LOCKED)
       UPDATE cell SET epoch = epoch + 1, owner = $2, url = $3, until = clock_timestamp() + $4 * interval '1 ms'
         FROM taken WHERE cell.name = taken.name RETURNING cell.name, cell.epoch`,
      [cells, this.#owner, this.#url, this.#leaseMs, limit],
    )
    if (this.#held.size === 0) this.#goodAt = start
    for (const { name, epoch } of rows) this.#held.set(name, epoch)
  }

  async #query<T extends object>(text: string, values: unknown[]): Promise<T[]> {
    try {
      return (await this.#pool.query<T>(text, values)).rows
    } catch (thrown) {
      this.#failedAt = performance.now()
      throw asOutage(thrown)
    }
  }
}
