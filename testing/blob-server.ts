/**
 * A server of blobs that misbehaves on request, for the blob store's tests: `/<manner>/<hash>`, where a manner is one of
 * those below. It counts requests and the bytes it sent, at `/asked/<hash>`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { blobOf, type Asked } from './blob-contract.ts'

/** `breaks` cuts every connection after 100,000 bytes; `dead` cuts it at once; `forgetful` does so and knows no ranges the first times. */
export type Manner = 'well' | 'breaks' | 'forgetful' | 'dead' | 'busy' | 'wrong' | 'longer' | 'shorter' | 'missing'

const piece = 100_000

export interface BlobServer {
  readonly url: string
  close(): Promise<void>
}

export async function startBlobServer(): Promise<BlobServer> {
  const asked = new Map<string, Asked>()
  const server = createServer((request, response) => {
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-headers', 'range')
    response.setHeader('access-control-expose-headers', 'content-range, retry-after')
    response.setHeader('cross-origin-resource-policy', 'cross-origin')
    if (request.method === 'OPTIONS') return void response.end()
    const [, manner, hash = ''] = (request.url ?? '').split('/')
    const count = asked.get(hash) ?? { requests: 0, bytes: 0 }
    if (manner === 'asked') return void response.end(JSON.stringify(count))
    asked.set(hash, count)
    count.requests++
    answer(manner as Manner, hash, count, request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

async function answer(manner: Manner, hash: string, count: Asked, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const whole = blobOf(hash)
  if (!whole || manner === 'missing') return void response.writeHead(404).end()
  if (manner === 'dead') return void response.destroy()
  if (manner === 'busy' && count.requests < 3) return void response.writeHead(503, { 'retry-after': '1' }).end()
  if (manner === 'shorter') return void response.writeHead(200).end(whole.subarray(0, whole.length - 1))
  const bytes = manner === 'wrong' ? whole.toReversed() : manner === 'longer' ? Buffer.concat([whole, whole]) : whole
  const ranged = manner === 'forgetful' && count.requests < 3 ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? '')
  const from = Number(ranged?.[1] ?? 0)
  const breaks = manner === 'breaks' || (manner === 'forgetful' && count.requests < 3)
  const end = breaks ? Math.min(from + piece, bytes.length) : bytes.length
  response.writeHead(ranged ? 206 : 200, {
    'content-length': bytes.length - from,
    ...(ranged ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  })
  count.bytes += end - from
  response.write(bytes.subarray(from, end), () => (end < bytes.length ? response.destroy() : response.end()))
}
