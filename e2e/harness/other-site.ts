/** A site of another origin than the server's: some texts by their paths, or a folder, on a port of its own. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'

export interface OtherSite {
  /** `http://127.0.0.1:PORT`: to a browser another origin than localhost. */
  readonly origin: string
  close(): Promise<void>
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
}

/**
 * @param files texts by path (`/index.html`), or the folder that has them
 * @param headers of every answer
 */
export async function otherSite(
  files: string | Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<OtherSite> {
  const find = async (path: string) => (typeof files === 'string' ? readFile(join(files, normalize(path))) : files[path])
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = pathname.endsWith('/') ? `${pathname}index.html` : pathname
    void find(path)
      .catch(() => undefined)
      .then((body) => {
        response.writeHead(body === undefined ? 404 : 200, {
          ...headers,
          'content-type': types[extname(path)] ?? 'application/octet-stream',
        })
        response.end(body)
      })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
