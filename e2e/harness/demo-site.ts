/** The site to copy (web/widget/demo), with a server's address and a project of its own put in, on a port of its own. */
import { readFile } from 'node:fs/promises'
import { otherSite } from './other-site.ts'
import { createProject, type MadeProject } from './project.ts'

export interface DemoSite {
  readonly origin: string
  readonly project: MadeProject
  close(): Promise<void>
}

const files = ['index.html', 'style.css', 'site.js']

/** @param server its address and its folder @param model that the site asks */
export async function demoSite(server: { readonly url: string; readonly data: string }, model: string): Promise<DemoSite> {
  const filled: Record<string, string> = {}
  const site = await otherSite(filled)
  try {
    const project = await createProject(server, { name: 'The seed library', origins: [site.origin] })
    const own: Readonly<Record<string, string>> = {
      'https://hands.example': server.url,
      'wss://hands.example': server.url.replace(/^http/, 'ws'),
      'p_your-project-id': project.id,
      'mh_your-project-key': project.key,
      'smollm2-135m-instruct': model,
    }
    for (const name of files) {
      const text = await readFile(new URL(`../../web/widget/demo/${name}`, import.meta.url), 'utf8')
      filled[`/${name}`] = Object.entries(own).reduce((all, [theirs, ours]) => all.replaceAll(theirs, ours), text)
    }
    return { origin: site.origin, project, close: () => site.close() }
  } catch (error) {
    await site.close()
    throw error
  }
}
