/**
 * One blob over HTTP into memory: never a byte more than its size, resumed with Range after a break, tried again with
 * growing pauses while there is hope. Whether the bytes are the right ones is for the caller to check.
 */
import type { Bytes } from '../../protocol/bytes.ts'
import { ManyhandsError } from '../../protocol/errors.ts'

export interface Download {
  readonly url: string
  /** The whole blob's place; its length is the size that is expected. */
  readonly into: Bytes
  /** Bytes at the start of `into` that are there already. */
  readonly from: number
  readonly signal: AbortSignal
  /** Called with each piece that arrived, now in `into` from `at` on; the next is read when it is done. */
  readonly onPiece: (at: number, piece: Uint8Array) => Promise<void>
  readonly fetch: typeof fetch
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>
}

/** Tries in a row that bring nothing: with the pauses below about 15 s of a dead network. */
const maxFruitless = 5
/** All tries: a link that breaks after every few kilobytes is not worth more. */
const maxTries = 40
const firstPauseMs = 500
/** A server's own wish (Retry-After) is honoured up to this. */
const longestPauseMs = 30_000
/** No byte for this long: the connection is dead, whatever the socket says. */
const stallMs = 20_000

/** @returns bytes that came over the network. @throws ManyhandsError not-found, hash-mismatch (too many bytes), unavailable, aborted */
export async function download(d: Download): Promise<number> {
  const progress = { at: d.from, fetched: 0 }
  let fruitless = 0
  let last: unknown
  for (let tries = 0; tries < maxTries && fruitless < maxFruitless; tries++) {
    const before = progress.fetched
    let pauseMs = firstPauseMs * 2 ** fruitless
    try {
      const retryAfterMs = await attempt(d, progress)
      if (progress.at === d.into.length) return progress.fetched
      if (retryAfterMs !== undefined) pauseMs = retryAfterMs
    } catch (thrown) {
      if (d.signal.aborted) throw new ManyhandsError('aborted', 'The download was stopped.', { cause: thrown })
      if (thrown instanceof ManyhandsError) throw thrown
      last = thrown
    }
    fruitless = progress.fetched > before ? 0 : fruitless + 1
    await d.wait(Math.min(pauseMs, longestPauseMs), d.signal)
  }
  const got = `${progress.at} of ${d.into.length} bytes`
  throw new ManyhandsError('unavailable', `${fileOf(d)} could not be fetched (${got}). Check the connection.`, { cause: last })
}

/** One request. Returns what the server asks to wait when it asks to; throws what is worth another try as it is. */
async function attempt(d: Download, progress: { at: number; fetched: number }): Promise<number | undefined> {
  const stalled = new AbortController()
  const stall = (): ReturnType<typeof setTimeout> => setTimeout(() => stalled.abort(new Error('no bytes came')), stallMs)
  let timer = stall()
  try {
    const headers: HeadersInit = progress.at > 0 ? { range: `bytes=${progress.at}-` } : {}
    // The store keeps what is right; the browser's own cache would keep what is damaged too.
    const response = await d.fetch(d.url, { headers, cache: 'no-store', signal: AbortSignal.any([d.signal, stalled.signal]) })
    if (response.status === 404 || response.status === 410) {
      throw new ManyhandsError('not-found', `${fileOf(d)} is not there: the model may have been removed from the server.`)
    }
    if (response.status === 429 || response.status === 503) return retryAfter(response)
    if (response.status === 206) {
      if (Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]) !== progress.at)
        throw new Error('another range came')
    } else if (response.status === 200) progress.at = 0
    else if (response.status === 416) {
      progress.at = 0
      return undefined
    } else throw new Error(`status ${response.status}`)
    if (!response.body) throw new Error('no body')
    const reader = response.body.getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return undefined
      clearTimeout(timer)
      if (progress.at + value.length > d.into.length) {
        void reader.cancel().catch(() => undefined)
        throw new ManyhandsError('hash-mismatch', `${fileOf(d)} is longer than the ${d.into.length} bytes it should have.`)
      }
      d.into.set(value, progress.at)
      await d.onPiece(progress.at, value)
      progress.at += value.length
      progress.fetched += value.length
      timer = stall()
    }
  } finally {
    clearTimeout(timer)
  }
}

/** For people: an address with a hash in it says no more. */
const fileOf = ({ url }: Download) => `File ${new URL(url).pathname.split('/').at(-1)?.slice(0, 8)} of ${new URL(url).host}`

function retryAfter(response: Response): number | undefined {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined
}

/** @throws ManyhandsError aborted */
export function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(new ManyhandsError('aborted', 'The download was stopped.'))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}
