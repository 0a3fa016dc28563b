/** The port to where projects and their counters outlive a process: embedded or PostgreSQL, by one contract. */
import type { ProjectId } from '../../protocol/ids.ts'
import type { Counters } from '../../protocol/projects.ts'
import type { Tally } from '../store.ts'
import type { Project } from './project.ts'

/** As it was read: who changes it says which version he has seen. */
export interface StoredProject {
  readonly project: Project
  readonly version: number
}

export interface CountedDay {
  /** Days since 1970, UTC. */
  readonly day: number
  readonly counters: Counters
}

/** Rejects with ManyhandsError unavailable when the database does not answer. */
export interface ProjectStore {
  /** False when there is one of that id. */
  create(project: Project): Promise<boolean>
  /** False when it is not as it was seen: nothing is changed then. */
  replace(project: Project, seen: number): Promise<boolean>
  /** All of them. */
  all(): Promise<StoredProject[]>
  /** Those that were made or changed within so many milliseconds, by the database's own clock. */
  changed(withinMs: number): Promise<StoredProject[]>
  /** Counts what no commit of a swarm's brings along; each once for its id and counter. */
  count(tallies: readonly Tally[]): Promise<void>
  /** Lets go of what counts were made of before that day; the counters stay. */
  forget(before: number): Promise<void>
  totals(id: ProjectId): Promise<Counters>
  /** Days on which anything was counted, from that one on, the latest first. */
  days(id: ProjectId, since: number): Promise<CountedDay[]>
}
