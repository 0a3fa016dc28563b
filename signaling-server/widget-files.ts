/**
 * The widget as sites and their visitors get it: the loader for anyone's page, the frame for the project's own sites alone, and the
 * frame's scripts. Versions stand side by side, since a site names the one it was made for.
 */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { isProjectId, type ProjectId } from '../protocol/ids.ts'
import { routeHeaders, type RouteClass } from './route-classes.ts'
import { StaticFiles } from './static-files.ts'

/** What the frame has to know of a project. */
export interface ProjectFrame {
  readonly name: string
  /** Sites that may show it; besides these there may be `server`, which is none. */
  readonly origins: readonly string[]
}

export interface WidgetDeps {
  /** A folder for each version. */
  readonly dir: string
  /** Undefined: unknown, or revoked. */
  project(id: ProjectId): ProjectFrame | undefined
  /** A frame was served for it. @param from what the HTTP server gave with the request */
  visited(id: ProjectId, from: unknown): void
}

type WidgetClass = Extract<RouteClass, 'loader' | 'frame' | 'frame-files'>

const versionPattern = /^\d{1,4}\.\d{1,4}\.\d{1,4}(-[0-9a-z.-]{1,32})?$/
const blank = 'data-project="" data-name=""'

export function widgetClass(path: string): WidgetClass {
  if (/\/mh\.js(on)?$/.test(path)) return 'loader'
  return path.endsWith('/frame.html') ? 'frame' : 'frame-files'
}

export class WidgetFiles {
  readonly #dir: string
  readonly #deps: WidgetDeps
  readonly #files: Readonly<Record<'loader' | 'frame-files', StaticFiles>>

  constructor(deps: WidgetDeps) {
    const dir = resolve(deps.dir)
    this.#dir = dir
    this.#deps = deps
    const files = (headers: Readonly<Record<string, string>>) => new StaticFiles({ dir, headers })
    this.#files = { loader: files(routeHeaders.loader), 'frame-files': files(routeHeaders['frame-files']) }
  }

  /** The answer to a GET or HEAD of `/w/VERSION/…`, or undefined when nothing is there. */
  async respond(request: Request, from: unknown): Promise<Response | undefined> {
    const { pathname, searchParams } = new URL(request.url)
    const [, , version = '', ...rest] = pathname.split('/')
    if (!versionPattern.test(version) || rest.length === 0) return undefined
    const kind = widgetClass(pathname)
    if (kind !== 'frame') return this.#files[kind].respond(request, pathname.slice('/w'.length))
    return rest.length === 1 ? this.#frame(request, version, searchParams.get('project') ?? '', from) : undefined
  }

  async #frame(request: Request, version: string, id: string, from: unknown): Promise<Response | undefined> {
    const page = await readFile(join(this.#dir, version, 'frame.html'), 'utf8').catch(() => undefined)
    if (page === undefined) return undefined
    const project = isProjectId(id) ? this.#deps.project(id) : undefined
    if (project && request.method === 'GET') this.#deps.visited(id as ProjectId, from)
    const headers = {
      ...routeHeaders.frame,
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `${routeHeaders.frame['content-security-policy']}; frame-ancestors ${sitesOf(project)}`,
    }
    const filled = project ? page.replace(blank, () => `data-project="${id}" data-name="${escaped(project.name)}"`) : page
    return new Response(request.method === 'HEAD' ? null : filled, { status: project ? 200 : 404, headers })
  }
}

/** As the policy writes them. */
function sitesOf(project: ProjectFrame | undefined): string {
  const sites = (project?.origins ?? []).filter((origin) => /^https?:\/\/[^\s;,]+$/.test(origin))
  return sites.length === 0 ? "'none'" : sites.join(' ')
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => entities[character] ?? '')
