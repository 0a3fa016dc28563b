/**
 * The gateway's HTTP: who asks, whether they may, and then `net.fetch`. A page of another site can't use it, also where no key
 * is asked for: what comes with the `Origin` of a site that is not allowed is refused, whatever name it came by.
 */
import { Hono, type Context } from 'hono'
import { cors } from 'hono/cors'
import type { Network } from '../sdk/types.ts'
import { errorAnswer, randomId } from '../sdk/openai/answers.ts'
import { ApiError, toApiError } from '../sdk/openai/api-error.ts'
import { holderOf, type Keys } from './keys.ts'
import type { RequestLimits } from './limits.ts'
import { bodyUntil } from './timed-body.ts'

export interface GatewayPorts {
  readonly network: Pick<Network, 'fetch' | 'state'>
  /** undefined: whoever reaches it may ask. */
  readonly keys: Keys | undefined
  readonly limits: RequestLimits
  readonly perMinute: number
  readonly timeoutMs: number
  readonly allowedOrigins: readonly string[]
  /** Aborted when the answers under way have had their time to end. */
  readonly closing: AbortSignal
  /** No new requests are taken. */
  draining(): boolean
  log(line: string): void
  now(): number
}

/** A request and its answer, from its headers to the last byte. */
export interface Gateway {
  readonly fetch: (request: Request) => Response | Promise<Response>
  /** Answers under way. */
  underWay(): number
}

export function gateway(ports: GatewayPorts): Gateway {
  let underWay = 0
  const app = new Hono()
  app.get('/health', (c) => {
    const { state } = ports.network
    const ok = state === 'ready' && !ports.draining()
    return c.json({ status: ok ? 'ok' : ports.draining() ? 'stopping' : 'waiting', network: state }, ok ? 200 : 503)
  })
  if (ports.allowedOrigins.length > 0) {
    const exposed = ['x-request-id', 'retry-after', 'retry-after-ms']
    app.use('/v1/*', cors({ origin: [...ports.allowedOrigins], allowMethods: ['GET', 'POST'], exposeHeaders: exposed, maxAge: 600 }))
  }
  app.all('/v1/*', async (c) => {
    const startedAt = ports.now()
    underWay += 1
    let who = '-'
    const ended = (status: number | string) => {
      underWay -= 1
      ports.log(`${who} ${c.req.method} ${c.req.path} ${status} ${Math.round(ports.now() - startedAt)} ms`)
    }
    try {
      const entry = admit(ports, c)
      who = entry.who
      return await answer(ports, c, entry, ended)
    } catch (thrown) {
      // Nobody hears what is said to one who has gone.
      const error = toApiError(thrown)
      ended(error.terms.status)
      return errorAnswer(error, randomId('req_'))
    }
  })
  const nothing = { status: 404, type: 'invalid_request_error', code: 'unknown_url' } as const
  app.notFound(() => errorAnswer(new ApiError('There is nothing here: the API is below /v1.', nothing), randomId('req_')))
  return { fetch: (request) => app.fetch(request), underWay: () => underWay }
}

interface Admitted {
  readonly who: string
  readonly remaining: number
  readonly leave: () => void
}

/** @throws ApiError 401, 403, 415, 429, 503 */
function admit(ports: GatewayPorts, c: Context): Admitted {
  if (ports.draining())
    throw new ApiError('This gateway is being stopped. Ask again in a moment.', {
      status: 503,
      type: 'server_error',
      code: 'closed',
      retryAfterMs: 5_000,
    })
  const origin = c.req.header('origin')
  if (origin !== undefined && !ports.allowedOrigins.includes(origin))
    throw new ApiError('Pages of this site may not ask here: its operator can allow them.', {
      status: 403,
      type: 'permission_error',
      code: 'origin_not_allowed',
    })
  // What a page may send without asking is refused by this alone.
  if (c.req.method === 'POST' && !/^application\/json\b/i.test(c.req.header('content-type') ?? ''))
    throw new ApiError("A request's content-type is application/json.", {
      status: 415,
      type: 'invalid_request_error',
      code: 'unsupported_media_type',
    })
  const who = ports.keys ? holderOf(ports.keys, c.req.header('authorization')) : 'anyone'
  if (who === undefined)
    throw new ApiError("This needs one of the gateway's keys: 'authorization: Bearer mg_…'.", {
      status: 401,
      type: 'authentication_error',
      code: 'invalid_api_key',
    })
  const entry = ports.limits.enter(who, ports.now())
  if (entry.ok) return { who, ...entry }
  throw new ApiError(`This key has asked for too much ${entry.why}.`, {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retryAfterMs: entry.retryAfterMs,
  })
}

const tooLong = new ApiError('The answer took longer than this gateway allows.', { status: 504, type: 'server_error', code: 'timeout' })

async function answer(
  ports: GatewayPorts,
  c: Context,
  { leave, remaining }: Admitted,
  ended: (status: number | string) => void,
): Promise<Response> {
  const { method, url, raw } = c.req
  const stop = new AbortController()
  const gone = () => stop.abort(new DOMException('Whoever asked has gone.', 'AbortError'))
  const timer = setTimeout(() => stop.abort(tooLong), ports.timeoutMs)
  raw.signal.addEventListener('abort', gone, { once: true })
  ports.closing.addEventListener('abort', gone, { once: true })
  const release = () => {
    clearTimeout(timer)
    ports.closing.removeEventListener('abort', gone)
    leave()
  }
  try {
    const headers = { 'content-type': 'application/json' }
    const body = method === 'POST' ? { body: raw.body, duplex: 'half' } : {}
    const answered = await ports.network.fetch(url, { method, headers, signal: stop.signal, ...body })
    const told = new Headers(answered.headers)
    told.set('x-ratelimit-limit-requests', String(ports.perMinute))
    told.set('x-ratelimit-remaining-requests', String(remaining))
    const { status } = answered
    const stream = bodyUntil(answered.body, stop, (cut) => {
      release()
      ended(cut ? `${status} cut off` : status)
    })
    return new Response(stream, { status, headers: told })
  } catch (thrown) {
    release()
    throw thrown
  }
}
