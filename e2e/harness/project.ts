/** A project, made as its operator makes one: over HTTP, with the token from the server's folder. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface ProjectPlan {
  readonly name: string
  readonly origins: readonly string[]
  readonly audience?: 'first' | 'only'
}

export interface MadeProject {
  readonly id: string
  readonly key: string
  readonly ownerKey: string
  revoke(): Promise<void>
}

export async function createProject(server: { readonly url: string; readonly data: string }, plan: ProjectPlan): Promise<MadeProject> {
  const token = (await readFile(join(server.data, 'operator.token'), 'utf8')).trim()
  const post = async (path: string, bearer: string, body: unknown): Promise<unknown> => {
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' }
    const response = await fetch(`${server.url}/v1/projects${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`The server refused it: ${await response.text()}`)
    return response.json()
  }
  const made = (await post('', token, plan)) as Pick<MadeProject, 'id' | 'key' | 'ownerKey'>
  return { ...made, revoke: async () => void (await post(`/${made.id}/revoke`, made.ownerKey, {})) }
}
