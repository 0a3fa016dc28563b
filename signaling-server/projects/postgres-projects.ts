/** Projects in PostgreSQL, for all processes that share it. */
import type pg from 'pg'
import type { ProjectId } from '../../protocol/ids.ts'
import type { Counters } from '../../protocol/projects.ts'
import { asOutage } from '../postgres-pool.ts'
import type { Tally } from '../store.ts'
import type { Project } from './project.ts'
import type { CountedDay, ProjectStore, StoredProject } from './project-store.ts'
import { countersOf, daysOf, inOrder, type CounterRow } from './tally.ts'

export class PostgresProjects implements ProjectStore {
  readonly #pool: pg.Pool

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async create(project: Project): Promise<boolean> {
    return this.#changes('INSERT INTO project VALUES ($1, $2, 1, clock_timestamp()) ON CONFLICT DO NOTHING', [
      project.id,
      JSON.stringify(project),
    ])
  }

  async replace(project: Project, seen: number): Promise<boolean> {
    return this.#changes(
      'UPDATE project SET json = $2, version = version + 1, changed = clock_timestamp() WHERE id = $1 AND version = $3',
      [project.id, JSON.stringify(project), seen],
    )
  }

  async all(): Promise<StoredProject[]> {
    return (await this.#read<Row>('SELECT json, version FROM project ORDER BY id', [])).map(stored)
  }

  async changed(withinMs: number): Promise<StoredProject[]> {
    const rows = await this.#read<Row>(
      "SELECT json, version FROM project WHERE changed >= clock_timestamp() - $1 * interval '1 millisecond'",
      [withinMs],
    )
    return rows.map(stored)
  }

  async count(tallies: readonly Tally[]): Promise<void> {
    const sorted = inOrder(tallies)
    await this.#read(
      `INSERT INTO tally (id, counter, project, day, amount)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) ON CONFLICT DO NOTHING`,
      [
        sorted.map((t) => t.id),
        sorted.map((t) => t.counter),
        sorted.map((t) => t.project),
        sorted.map((t) => t.day),
        sorted.map((t) => t.amount),
      ],
    )
  }

  async forget(before: number): Promise<void> {
    await this.#read('DELETE FROM tally WHERE day < $1', [before])
  }

  async totals(id: ProjectId): Promise<Counters> {
    return countersOf(
      await this.#read<CounterRow>('SELECT counter, sum(amount)::bigint AS amount FROM project_day WHERE project = $1 GROUP BY counter', [
        id,
      ]),
    )
  }

  async days(id: ProjectId, since: number): Promise<CountedDay[]> {
    return daysOf(
      await this.#read<CounterRow & { day: number }>('SELECT day, counter, amount FROM project_day WHERE project = $1 AND day >= $2', [
        id,
        since,
      ]),
    )
  }

  async #changes(text: string, values: unknown[]): Promise<boolean> {
    try {
      return ((await this.#pool.query(text, values)).rowCount ?? 0) > 0
    } catch (thrown) {
      throw asOutage(thrown)
    }
  }

  async #read<T extends object>(text: string, values: unknown[]): Promise<T[]> {
    try {
      return (await this.#pool.query<T>(text, values)).rows
    } catch (thrown) {
      throw asOutage(thrown)
    }
  }
}

interface Row {
  readonly json: string
  readonly version: number
}

const stored = ({ json, version }: Row): StoredProject => ({ project: JSON.parse(json) as Project, version })
