/**
 * One project as its owner manages it: opened with its id and owner key, which stay in this tab alone and go with it.
 */
import * as v from 'valibot'
import { asError, type ManyhandsError } from '../../../protocol/errors.ts'
import { isProjectId } from '../../../protocol/ids.ts'
import {
  ownedProjectSchema,
  ownerKeySchema,
  projectDaysSchema,
  projectKeySchema,
  type OwnedProject,
  type ProjectDays,
} from '../../../protocol/projects.ts'
import { ask } from '../server.ts'

/** Days that the chart shows. */
export const shownDays = 30
const storageKey = 'manyhands-project'
const newKeySchema = v.object({ key: projectKeySchema })
const accessSchema = v.object({ id: v.string(), key: v.string() })
type Access = v.InferOutput<typeof accessSchema>

export const isOwnerKey = (text: string): boolean => v.is(ownerKeySchema, text)
export { isProjectId }

export class ProjectStore {
  project: OwnedProject | undefined = $state.raw()
  days: ProjectDays['days'] = $state.raw([])
  /** Between a click and its answer. */
  busy = $state(false)
  error: ManyhandsError | undefined = $state.raw()
  /** Shown once, as the server gives it out once. */
  newKey: string | undefined = $state()
  #access: Access | undefined

  /** Opens what this tab had open before. */
  async resume(): Promise<void> {
    const access = keptAccess()
    if (access) await this.open(access.id, access.key)
  }

  async open(id: string, key: string): Promise<void> {
    this.#access = { id, key }
    if (!(await this.#doing(() => this.#read()))) this.#access = undefined
    else sessionStorage.setItem(storageKey, JSON.stringify(this.#access))
  }

  close(): void {
    this.#access = undefined
    this.project = undefined
    this.newKey = undefined
    this.days = []
    sessionStorage.removeItem(storageKey)
  }

  async rotate(atOnce: boolean): Promise<void> {
    await this.#doing(async (path, key) => {
      const rotated = await ask(newKeySchema, `${path}/rotate`, { method: 'POST', key, body: atOnce ? { now: true } : {} })
      this.newKey = rotated.key
    })
  }

  async revoke(): Promise<void> {
    await this.#doing(async (path, key) => {
      this.project = await ask(ownedProjectSchema, `${path}/revoke`, { method: 'POST', key })
    })
  }

  /** Figures as they are now. What is shown stays where the server does not answer. */
  async refresh(): Promise<void> {
    if (this.#access && !this.busy) await this.#doing(() => this.#read())
  }

  async #read(): Promise<void> {
    const { id, key } = this.#access as Access
    const path = `/v1/projects/${id}`
    const [project, { days }] = await Promise.all([
      ask(ownedProjectSchema, path, { key }),
      ask(projectDaysSchema, `${path}/days?days=${shownDays}`, { key }),
    ])
    this.project = project
    this.days = days
  }

  async #doing(work: (path: string, key: string) => Promise<void>): Promise<boolean> {
    if (!this.#access) return false
    this.busy = true
    this.error = undefined
    try {
      await work(`/v1/projects/${this.#access.id}`, this.#access.key)
      return true
    } catch (thrown) {
      this.error = asError(thrown)
      return false
    } finally {
      this.busy = false
    }
  }
}

function keptAccess(): Access | undefined {
  try {
    const parsed = v.safeParse(accessSchema, JSON.parse(sessionStorage.getItem(storageKey) ?? 'null'))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}
