/** What a server says of a project to anybody: its name, and whom its volunteers serve beside it. */
export interface PublicProject {
  readonly name: string
  readonly audience: 'first' | 'only'
}

/** @throws where there is no such project, or it was revoked */
export async function publicProject(id: string): Promise<PublicProject> {
  const response = await fetch(`/v1/projects/${encodeURIComponent(id)}`)
  if (!response.ok) throw new Error(`status ${response.status}`)
  const { name, audience, revoked } = (await response.json()) as Record<string, unknown>
  if (typeof name !== 'string' || (audience !== 'first' && audience !== 'only') || revoked === true) throw new Error('no project')
  return { name, audience }
}
