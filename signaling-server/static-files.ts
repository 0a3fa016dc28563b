/**
 * A directory served as it is: the site, or the engine's files. Nothing outside it and no dotfile is reachable; text and wasm
 * go out compressed; addresses that belong to the site's own router get its index page.
 */
import { realpath, stat } from 'node:fs/promises'
import { extname, join, resolve, sep } from 'node:path'
import { chooseEncoding, CompressedFiles, worthCompressing } from './compressed-files.ts'
import { fileResponse, matches } from './file-body.ts'
import { immutable } from './route-classes.ts'

const mimeTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.txt': 'text/plain; charset=utf-8',
  '.md': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}

export interface StaticFilesOptions {
  readonly dir: string
  readonly headers: Readonly<Record<string, string>>
  /** Served for addresses without a file extension that name no file. */
  readonly fallback?: string
  /** Compressed forms kept in memory; 32 MB hold the engine's three builds and the site. */
  readonly maxCachedBytes?: number
}

const defaultCachedBytes = 32 * 1024 * 1024
/** The bundler's names end in eight characters of the content's hash: `assets/index-BxR3k9_a.js`. */
const hashedAsset = /^\/assets\/.*-[A-Za-z0-9_-]{8}\.[a-z0-9]+$/

export class StaticFiles {
  readonly #dir: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #fallback: string | undefined
  readonly #compressed: CompressedFiles

  constructor(options: StaticFilesOptions) {
    this.#dir = resolve(options.dir)
    this.#headers = options.headers
    this.#fallback = options.fallback
    this.#compressed = new CompressedFiles(options.maxCachedBytes ?? defaultCachedBytes)
  }

  /** The answer to a GET or HEAD of `pathname` (still percent-encoded), or undefined when nothing is there. */
  async respond(request: Request, pathname: string): Promise<Response | undefined> {
    const name = fileName(pathname)
    if (name === undefined) return undefined
    const found =
      (await this.#find(name)) ?? (this.#fallback !== undefined && extname(name) === '' ? await this.#find(this.#fallback) : undefined)
    if (!found) return undefined
    const { path, bytes, version } = found
    const mime = mimeTypes[extname(path).toLowerCase()] ?? 'application/octet-stream'
    const headers = {
      ...this.#headers,
      'content-type': mime,
      ...(hashedAsset.test(`/${name}`) ? { 'cache-control': immutable } : {}),
    }
    if (!worthCompressing(mime, bytes)) return fileResponse(request, { path, bytes, etag: `"${version}"`, headers })
    const varied = { ...headers, vary: 'accept-encoding' }
    const encoding = request.headers.has('range') ? undefined : chooseEncoding(request.headers.get('accept-encoding'))
    if (!encoding) return fileResponse(request, { path, bytes, etag: `"${version}"`, headers: varied })
    const etag = `"${version}-${encoding}"`
    if (matches(request.headers.get('if-none-match'), etag)) return new Response(null, { status: 304, headers: { ...varied, etag } })
    const packed = await this.#compressed.get(path, version, encoding)
    const answer = { headers: { ...varied, etag, 'content-encoding': encoding, 'content-length': String(packed.length) } }
    return new Response(request.method === 'HEAD' ? null : new Uint8Array(packed), answer)
  }

  async #find(name: string): Promise<{ path: string; bytes: number; version: string } | undefined> {
    try {
      const root = await realpath(this.#dir)
      const path = await realpath(join(root, name))
      // A link in the directory must not lead out of it.
      if (!path.startsWith(root + sep)) return undefined
      const found = await stat(path)
      if (!found.isFile()) return undefined
      return { path, bytes: found.size, version: `${found.size.toString(36)}-${Math.floor(found.mtimeMs).toString(36)}` }
    } catch {
      return undefined
    }
  }
}

/** The relative file name that an address asks for; undefined when it could lead anywhere else. */
export function fileName(pathname: string): string | undefined {
  let path: string
  try {
    path = decodeURIComponent(pathname)
  } catch {
    return undefined
  }
  if (!path.startsWith('/') || /[\\\0]/.test(path)) return undefined
  const segments = path.split('/').slice(1)
  if (segments.at(-1) === '') segments[segments.length - 1] = 'index.html'
  return segments.some((segment) => segment === '' || segment.startsWith('.')) ? undefined : segments.join('/')
}
