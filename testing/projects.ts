/** Projects for tests: ids that a test can name, and one made as the server makes it. */
import type { ProjectId } from '../protocol/ids.ts'
import { newProject, type ProjectTerms } from '../signaling-server/projects/project.ts'

export const cats = 'p_catscatscatscats' as ProjectId
export const dogs = 'p_dogsdogsdogsdogs' as ProjectId

export const site = 'https://cats.example'
export const made = (change: Partial<ProjectTerms> = {}, now = 1_700_000_000_000) =>
  newProject({ name: 'Cats', origins: [site], audience: 'first', ...change }, now)
