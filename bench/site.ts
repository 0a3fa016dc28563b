/** What the bench's page needs, from one origin and isolated, so that every engine may use threads. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'

export interface BenchSite {
  readonly url: string
  close(): Promise<void>
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
}

/** @param folders what lies below which path, the longest path first */
export async function benchSite(folders: Readonly<Record<string, string>>): Promise<BenchSite> {
  const server = createServer((request, response) => {
    void (async () => {
      const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname)
      const mount = Object.keys(folders)
        .filter((prefix) => path.startsWith(prefix))
        .toSorted((a, b) => b.length - a.length)[0]
      const below = path.slice(mount?.length ?? 0) || 'index.html'
      const file = join(folders[mount ?? ''] ?? '', below)
      const found = mount === undefined ? undefined : await stat(file).catch(() => undefined)
      if (!found?.isFile()) return void response.writeHead(404).end()
      response.writeHead(200, {
        'Content-Type': types[extname(file)] ?? 'application/octet-stream',
        'Content-Length': found.size,
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Embedder-Policy': 'require-corp',
        'Cross-Origin-Resource-Policy': 'same-origin',
      })
      createReadStream(file).pipe(response)
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://localhost:${port}/`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
