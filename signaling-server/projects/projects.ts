/**
 * All projects as this server knows them, read when it starts and kept up to date: what another process changed is known here
 * as soon as it says so, and within `lookMs` in any case. Whoever decides something reads from here, at once.
 */
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { ProjectId } from '../../protocol/ids.ts'
import type { Audience } from '../../protocol/projects.ts'
import { foreignOrigin, goodKeys, hashKey, newProject, type Project, type ProjectTerms } from './project.ts'
import type { ProjectStore, StoredProject } from './project-store.ts'

export interface ProjectsPorts {
  readonly store: ProjectStore
  /** Wall time, ms since 1970. */
  now(): number
  /** Milliseconds since some moment, which never step back. */
  uptime(): number
  /** To the other processes: something has changed. */
  hint(): void
  /** A project is another than before, here or by another process. */
  changed(id: ProjectId): void
  log(line: string): void
}

/** What a requester's connection asks for, and with which key: both are looked at again at every request. */
export interface KeyedProject {
  readonly id: ProjectId
  readonly hash: string
}

/** 1.5 KB each: 15 MB. Only the operator makes any. */
export const maxProjects = 10_000
/** Between two looks at what other processes changed. */
export const lookMs = 2_000
/** A change may have been under way for so long when it is seen. */
const slackMs = 30_000
/** Two owners at once, each with a tab open. */
const changeTries = 5

export class Projects {
  readonly #ports: ProjectsPorts
  readonly #projects = new Map<ProjectId, StoredProject>()
  readonly #byKey = new Map<string, ProjectId>()
  #lookedAt: number
  #away = false
  #timer: NodeJS.Timeout | undefined
  #look: Promise<void> = Promise.resolve()

  /** Resolves when all are known that there are. @throws ManyhandsError unavailable */
  static async open(ports: ProjectsPorts): Promise<Projects> {
    const projects = new Projects(ports)
    for (const stored of await ports.store.all()) projects.#take(stored)
    projects.#timer = setInterval(() => void projects.look(), lookMs).unref()
    return projects
  }

  private constructor(ports: ProjectsPorts) {
    this.#ports = ports
    this.#lookedAt = ports.uptime()
  }

  get(id: ProjectId): Project | undefined {
    return this.#projects.get(id)?.project
  }

  /** In the order of their ids, from behind that one. */
  list(after: string, limit: number): Project[] {
    const ids = [...this.#projects.keys()].filter((id) => id > after).sort()
    return ids.slice(0, limit).map((id) => (this.#projects.get(id) as StoredProject).project)
  }

  /** For those who give for it; undefined when there is none, or no longer. */
  audience(id: ProjectId): Audience | undefined {
    const project = this.get(id)
    return project && !project.revoked ? project.audience : undefined
  }

  /** What its widget's frame is made of; undefined when there is none, or no longer. */
  frame(id: ProjectId): Pick<Project, 'name' | 'origins' | 'audience'> | undefined {
    const project = this.get(id)
    return project && !project.revoked ? project : undefined
  }

  /**
   * Whose key that is, used from there.
   * @param origin as `foreignOrigin` takes it
   * @throws ManyhandsError forbidden
   */
  enter(key: string, origin: string | undefined): KeyedProject {
    const hash = hashKey(key)
    const project = this.#projects.get(this.#byKey.get(hash) as ProjectId)?.project
    if (!project) throw new ManyhandsError('forbidden', unknownKey)
    const keyed = { id: project.id, hash }
    const refusal = this.refusal(keyed)
    if (refusal) throw refusal
    const foreign = foreignOrigin(project, origin)
    if (foreign !== undefined) throw new ManyhandsError('forbidden', foreign)
    return keyed
  }

  /** Why a key that was good is so no more. */
  refusal({ id, hash }: KeyedProject): ManyhandsError | undefined {
    const project = this.get(id)
    if (!project) return new ManyhandsError('forbidden', unknownKey)
    if (project.revoked) return new ManyhandsError('forbidden', `The project ${project.name} has ended.`)
    const good = goodKeys(project, this.#ports.now()).some((key) => key.hash === hash)
    return good ? undefined : new ManyhandsError('forbidden', 'This project’s key was replaced. Its owner has the new one.')
  }

  /** @throws ManyhandsError bad-input, busy, unavailable */
  async create(terms: ProjectTerms): Promise<ReturnType<typeof newProject>> {
    const made = newProject(terms, this.#ports.now())
    if (this.#projects.size >= maxProjects) throw new ManyhandsError('busy', `This network has ${maxProjects} projects, and takes no more.`)
    if (!(await this.#ports.store.create(made.project))) throw new ManyhandsError('busy', 'Another project has that id. Try again.')
    this.#take({ project: made.project, version: 1 })
    this.#ports.hint()
    return made
  }

  /**
   * Changes a project, from how it is in the store now.
   * @param change of what is there; what it throws is thrown, and nothing is changed
   * @throws ManyhandsError not-found, busy, unavailable
   */
  async change<T extends { readonly project: Project }>(id: ProjectId, change: (project: Project) => T): Promise<T> {
    for (let left = changeTries; left > 0; left--) {
      const seen = this.#projects.get(id)
      if (!seen) throw new ManyhandsError('not-found', 'There is no project of that id.')
      const changed = change(seen.project)
      if (await this.#ports.store.replace(changed.project, seen.version)) {
        this.#take({ project: changed.project, version: seen.version + 1 })
        this.#ports.hint()
        return changed
      }
      await this.look()
    }
    throw new ManyhandsError('busy', 'This project is being changed by somebody else. Try again.', { retryAfterMs: 1_000 })
  }

  /** What others have changed. Never rejects, and one look after the other. */
  look(): Promise<void> {
    this.#look = this.#look
      .then(() => this.#lookNow())
      .catch((thrown: unknown) => {
        if (!this.#away) this.#ports.log(`projects: ${asError(thrown).message}`)
        this.#away = true
      })
    return this.#look
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #lookNow(): Promise<void> {
    const { store, uptime } = this.#ports
    const now = uptime()
    for (const stored of await store.changed(now - this.#lookedAt + slackMs)) this.#take(stored)
    this.#lookedAt = now
    this.#away = false
  }

  #take(stored: StoredProject): void {
    const { project, version } = stored
    const before = this.#projects.get(project.id)
    if (before && before.version >= version) return
    // Keys that were replaced stay known, so that whoever has one hears why it is not good any more.
    for (const { hash } of project.keys) this.#byKey.set(hash, project.id)
    this.#projects.set(project.id, stored)
    if (before) this.#ports.changed(project.id)
  }
}

const unknownKey = 'This is no key of a project here. Its owner can give you the right one.'
