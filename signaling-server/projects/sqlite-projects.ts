/** Projects in the embedded database. */
import type { DatabaseSync } from '@photostructure/sqlite'
import type { ProjectId } from '../../protocol/ids.ts'
import type { Counters } from '../../protocol/projects.ts'
import { conflictRule, quoted, rowOf } from '../store-rows.ts'
import type { Tally } from '../store.ts'
import type { Project } from './project.ts'
import type { CountedDay, ProjectStore, StoredProject } from './project-store.ts'
import { countersOf, daysOf } from './tally.ts'

export const projectsMigration = `
  CREATE TABLE project (id TEXT PRIMARY KEY, json TEXT NOT NULL, version INTEGER NOT NULL, changed INTEGER NOT NULL) STRICT;
  CREATE INDEX project_by_change ON project (changed);
  CREATE TABLE tally (id TEXT NOT NULL, counter TEXT NOT NULL, project TEXT NOT NULL, day INTEGER NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (id, counter)) STRICT;
  CREATE TABLE project_day (project TEXT NOT NULL, day INTEGER NOT NULL, counter TEXT NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (project, day, counter)) STRICT;
  CREATE TRIGGER tally_counts AFTER INSERT ON tally BEGIN
    INSERT INTO project_day VALUES (new.project, new.day, new.counter, new.amount)
      ON CONFLICT (project, day, counter) DO UPDATE SET amount = amount + excluded.amount;
  END;`

interface Row {
  readonly json: string
  readonly version: number
}

export class SqliteProjects implements ProjectStore {
  readonly #db: InstanceType<typeof DatabaseSync>

  constructor(db: InstanceType<typeof DatabaseSync>) {
    this.#db = db
  }

  async create(project: Project): Promise<boolean> {
    const { changes } = this.#db
      .prepare('INSERT INTO project VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING')
      .run(project.id, JSON.stringify(project), Date.now())
    return changes > 0
  }

  async replace(project: Project, seen: number): Promise<boolean> {
    const { changes } = this.#db
      .prepare('UPDATE project SET json = ?, version = version + 1, changed = ? WHERE id = ? AND version = ?')
      .run(JSON.stringify(project), Date.now(), project.id, seen)
    return changes > 0
  }

  async all(): Promise<StoredProject[]> {
    return this.#db.prepare('SELECT json, version FROM project ORDER BY id').all().map(stored)
  }

  async changed(withinMs: number): Promise<StoredProject[]> {
    return this.#db
      .prepare('SELECT json, version FROM project WHERE changed >= ?')
      .all(Date.now() - withinMs)
      .map(stored)
  }

  async count(tallies: readonly Tally[]): Promise<void> {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      for (const tally of tallies) {
        const row = rowOf({ t: 'tally', tally })
        const names = Object.keys(row.columns)
        this.#db
          .prepare(`INSERT INTO tally (${quoted(names)}) VALUES (${names.map(() => '?').join(', ')}) ${conflictRule(row)}`)
          .run(...Object.values(row.columns))
      }
      this.#db.exec('COMMIT')
    } catch (thrown) {
      // On a full disk SQLite has rolled back itself.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw thrown
    }
  }

  async forget(before: number): Promise<void> {
    this.#db.prepare('DELETE FROM tally WHERE day < ?').run(before)
  }

  async totals(id: ProjectId): Promise<Counters> {
    return countersOf(this.#db.prepare('SELECT counter, sum(amount) AS amount FROM project_day WHERE project = ? GROUP BY counter').all(id))
  }

  async days(id: ProjectId, since: number): Promise<CountedDay[]> {
    return daysOf(this.#db.prepare('SELECT day, counter, amount FROM project_day WHERE project = ? AND day >= ?').all(id, since))
  }
}

const stored = (row: unknown): StoredProject => {
  const { json, version } = row as Row
  return { project: JSON.parse(json) as Project, version }
}
