/**
 * Answers a GET or HEAD with one file from disk: conditional requests, one range, and a stream that never holds more than a
 * piece in memory.
 */
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'

export interface FileAnswer {
  readonly path: string
  readonly bytes: number
  /** Quoted, as in the header. */
  readonly etag: string
  readonly headers: Readonly<Record<string, string>>
}

/** What a stream reads at once: fewer system calls than the default 64 KiB, still little memory for a hundred downloads. */
const pieceBytes = 256 * 1024

export async function fileResponse(request: Request, file: FileAnswer): Promise<Response> {
  const headers = { ...file.headers, etag: file.etag, 'accept-ranges': 'bytes' }
  if (matches(request.headers.get('if-none-match'), file.etag)) return new Response(null, { status: 304, headers })
  const ifRange = request.headers.get('if-range')
  const asked = ifRange === null || ifRange === file.etag ? request.headers.get('range') : null
  const range = asked === null ? undefined : parseRange(asked, file.bytes)
  if (range === 'unsatisfiable') {
    return new Response(null, {
      status: 416,
      headers: { ...headers, 'cache-control': 'no-store', 'content-range': `bytes */${file.bytes}` },
    })
  }
  const { first, last } = range ?? { first: 0, last: file.bytes - 1 }
  const answer = {
    status: range ? 206 : 200,
    headers: {
      ...headers,
      'content-length': String(last - first + 1),
      ...(range ? { 'content-range': `bytes ${first}-${last}/${file.bytes}` } : {}),
    },
  }
  if (request.method === 'HEAD' || last < first) return new Response(null, answer)
  const handle = await open(file.path)
  const stream = handle.createReadStream({ start: first, end: last, highWaterMark: pieceBytes })
  return new Response(Readable.toWeb(stream) as ReadableStream<Uint8Array>, answer)
}

/** Whether an If-None-Match names this tag; weak ones count (RFC 9110 13.1.2). */
export function matches(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false
  return ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag)
}

/** One range of bytes; undefined when it is none or several: the whole file is always a right answer (RFC 9110 14.2). */
export function parseRange(header: string, bytes: number): { first: number; last: number } | 'unsatisfiable' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim()) ?? []
  if (from === '' && to === '') return undefined
  if (from === '') return Number(to) === 0 || bytes === 0 ? 'unsatisfiable' : { first: Math.max(0, bytes - Number(to)), last: bytes - 1 }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return undefined
  return first >= bytes ? 'unsatisfiable' : { first, last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) }
}
