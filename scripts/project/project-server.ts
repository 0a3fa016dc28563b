/** The server's `/v1/projects`, with the owner key or, on the server's own machine, the operator's token. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { fromWire, ManyhandsError } from '../../protocol/errors.ts'
import type { ProjectId } from '../../protocol/ids.ts'
import { wireErrorSchema } from '../../protocol/link-messages.ts'
import {
  ownedProjectSchema,
  ownerKeySchema,
  projectDaysSchema,
  projectIdSchema,
  projectKeySchema,
  type Audience,
  type OwnedProject,
  type ProjectDays,
} from '../../protocol/projects.ts'
import { operatorTokenFile } from '../../signaling-server/projects/operator-token.ts'

/** A server that has not answered by then won't. */
const answerMs = 15_000
/** Pages of the list: as many as there can be projects. */
const maxPages = 1_000

const createdSchema = v.strictObject({ id: projectIdSchema, key: projectKeySchema, ownerKey: ownerKeySchema })
const keySchema = v.strictObject({ key: projectKeySchema })
const ownerSchema = v.strictObject({ ownerKey: ownerKeySchema })
const pageSchema = v.strictObject({ projects: v.array(ownedProjectSchema) })
export type Created = v.InferOutput<typeof createdSchema>

export interface NewProject {
  readonly name: string
  readonly origins: readonly string[]
  readonly audience: Audience
}

export class ProjectServer {
  readonly #server: string
  readonly #secret: string

  constructor(server: string, secret: string) {
    this.#server = server
    this.#secret = secret
  }

  /** @throws ManyhandsError bad-input when there is no owner key, and no token in the folder */
  static async of(options: {
    readonly server: string
    readonly ownerKey: string | undefined
    readonly data: string
  }): Promise<ProjectServer> {
    const { server, ownerKey, data } = options
    if (!URL.canParse(server)) throw new ManyhandsError('bad-input', `'${server}' is not the address of a server.`)
    if (ownerKey !== undefined) return new ProjectServer(server, ownerKey)
    const path = join(data, operatorTokenFile)
    const token = await readFile(path, 'utf8').catch(() => {
      throw new ManyhandsError(
        'bad-input',
        `There is no operator's token at ${path}. Give the server's folder with --data, or the project's owner key with --owner.`,
      )
    })
    return new ProjectServer(server, token.trim())
  }

  create({ name, origins, audience }: NewProject): Promise<Created> {
    return this.#ask(createdSchema, 'POST', '', { name, origins, audience })
  }

  async list(): Promise<OwnedProject[]> {
    const all: OwnedProject[] = []
    for (let page = 0; page < maxPages; page++) {
      const { projects } = await this.#ask(pageSchema, 'GET', `?after=${all.at(-1)?.id ?? ''}`)
      if (projects.length === 0) break
      all.push(...projects)
    }
    return all
  }

  show(id: ProjectId): Promise<OwnedProject> {
    return this.#ask(ownedProjectSchema, 'GET', `/${id}`)
  }

  days(id: ProjectId, days: number): Promise<ProjectDays> {
    return this.#ask(projectDaysSchema, 'GET', `/${id}/days?days=${days}`)
  }

  change(id: ProjectId, change: Partial<NewProject>): Promise<OwnedProject> {
    return this.#ask(ownedProjectSchema, 'PATCH', `/${id}`, change)
  }

  rotate(id: ProjectId, { now }: { readonly now: boolean }): Promise<{ key: string }> {
    return this.#ask(keySchema, 'POST', `/${id}/rotate`, { now })
  }

  rotateOwner(id: ProjectId): Promise<{ ownerKey: string }> {
    return this.#ask(ownerSchema, 'POST', `/${id}/rotate`, { of: 'ownerKey' })
  }

  revoke(id: ProjectId): Promise<OwnedProject> {
    return this.#ask(ownedProjectSchema, 'POST', `/${id}/revoke`, {})
  }

  /** @throws ManyhandsError as the server says; unavailable */
  async #ask<T extends v.GenericSchema>(schema: T, method: string, path: string, body?: unknown): Promise<v.InferOutput<T>> {
    const response = await fetch(new URL(`/v1/projects${path}`, this.#server), {
      method,
      headers: { authorization: `Bearer ${this.#secret}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(answerMs),
    }).catch((cause: unknown) => {
      throw new ManyhandsError('unavailable', `${this.#server} does not answer. Is the server up, and is this its address?`, { cause })
    })
    const answer: unknown = await response.json().catch(() => undefined)
    const refusal = v.safeParse(v.object({ error: wireErrorSchema }), answer)
    if (refusal.success) throw fromWire(refusal.output.error)
    const parsed = v.safeParse(schema, answer)
    if (!response.ok || !parsed.success)
      throw new ManyhandsError('unavailable', `${this.#server} answers, but not as a Manyhands server of this version.`)
    return parsed.output
  }
}
