/**
 * Everything the server answers over plain HTTP: first contact, models, blobs, the engine's files, receipts, health and the
 * site. Sockets are upgraded elsewhere. All of it reads; what changes anything is projects/routes.ts alone.
 */
import { Hono, type Context } from 'hono'
import { plainBytes } from '../protocol/bytes.ts'
import { ManyhandsError, type ErrorCode } from '../protocol/errors.ts'
import { isHash, isRevision, isSessionId, type Hash, type Revision, type SessionId } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ModelInfo, WellKnown } from '../protocol/server-messages.ts'
import { fileResponse } from './file-body.ts'
import { overviewRoutes, type OverviewDeps } from './overview-routes.ts'
import { allowedMethods, preflightHeaders, routeHeaders, type RouteClass } from './route-classes.ts'
import { StaticFiles } from './static-files.ts'
import { WidgetFiles, widgetClass, type WidgetDeps } from './widget-files.ts'

type Awaitable<T> = T | Promise<T>

export interface HttpDeps {
  /** The built site's directory; without an index page in it, only the site is missing. */
  readonly site: string
  /** The SDK for pages of any origin: ES modules, with the version in their addresses. Without the folder, only they are missing. */
  readonly sdk: { readonly dir: string; readonly version: string }
  readonly widget: WidgetDeps
  /** onnxruntime-web's `dist`, and its version, which is part of the files' addresses. */
  readonly ort: { readonly dir: string; readonly version: string }
  blob(hash: Hash): Awaitable<{ readonly path: string; readonly bytes: number } | undefined>
  /** Canonical JSON text. */
  manifest(revision: Revision): Awaitable<string | undefined>
  models(): Awaitable<readonly ModelInfo[]>
  readonly overview: OverviewDeps
  /** A request's, each followed by what superseded it; by the session that the request began as. */
  receipts(request: SessionId): Promise<readonly Receipt[]>
  /** What proves a session's receipt offline. */
  evidence(session: SessionId): Promise<Uint8Array | undefined>
  wellKnown(): WellKnown
  /** `/v1/projects`. */
  readonly projects: Hono
  /** Whether new clients should be sent here. */
  ready(): boolean
  /** Prometheus text. */
  metrics(): string
  /** Sees every answer, for counting. */
  answered?(route: RouteClass, status: number): void
  /** A bug of ours: the client is told `internal`, and this is for the log. */
  failed(thrown: unknown): void
}

/** Longest address that any route has is some 100 characters; the site's own router may use more. */
const maxUrlChars = 2048
const engineFile = /^(ort\.(wasm|jspi|webgpu)\.bundle\.min\.mjs|ort-wasm-simd-threaded(\.jspi|\.asyncify)?\.(mjs|wasm))$/

const statusOf: Partial<Record<ErrorCode, 400 | 403 | 404 | 429 | 503>> = {
  'bad-input': 400,
  forbidden: 403,
  'not-found': 404,
  'unknown-model': 404,
  'rate-limited': 429,
  busy: 503,
  unavailable: 503,
}

export function createApp(deps: HttpDeps): Hono {
  const app = new Hono()
  const engine = new StaticFiles({ dir: deps.ort.dir, headers: routeHeaders.engine })
  const sdk = new StaticFiles({ dir: deps.sdk.dir, headers: routeHeaders.sdk })
  const widget = new WidgetFiles(deps.widget)
  const site = new StaticFiles({ dir: deps.site, headers: routeHeaders.app, fallback: 'index.html' })

  app.use('*', async (c, next) => {
    const route = classOf(c.req.path)
    const { method, url } = c.req
    const allow = allowedMethods(route).join(', ')
    if (url.length > maxUrlChars)
      c.res = failure(route, new ManyhandsError('bad-input', `An address has at most ${maxUrlChars} characters.`), 414)
    else if (method === 'OPTIONS')
      c.res = new Response(null, { status: 204, headers: route === 'app' ? { allow } : preflightHeaders(route) })
    else if (!allowedMethods(route).includes(method))
      c.res = failure(route, new ManyhandsError('unsupported', `${method} is not answered here; only ${allow} are.`), 405, { allow })
    else await next()
    deps.answered?.(route, c.res.status)
  })

  app.get('/.well-known/manyhands.json', () => json(deps.wellKnown()))
  app.get('/v1/models', async () => json({ models: await deps.models() }))
  overviewRoutes(app, deps.overview)
  app.get('/v1/receipts/:session', async (c) => {
    const receipts = await deps.receipts(sessionOf(c))
    if (receipts.length === 0)
      throw new ManyhandsError('not-found', 'There is no receipt for this session. It is made when the answer has ended.')
    return json({ receipts })
  })
  app.get('/v1/receipts/:session/evidence', async (c) => {
    const evidence = await deps.evidence(sessionOf(c))
    if (!evidence) throw new ManyhandsError('not-found', 'There is no evidence for this session. It is kept when the answer has ended.')
    return new Response(plainBytes(evidence), { headers: { ...routeHeaders.api, 'content-type': 'application/octet-stream' } })
  })

  app.route('/v1/projects', deps.projects)

  app.get('/manifests/:revision', async (c) => {
    const revision = c.req.param('revision')
    if (!isRevision(revision)) throw new ManyhandsError('bad-input', 'A revision is 64 hexadecimal digits.')
    const text = await deps.manifest(revision)
    if (text === undefined) throw new ManyhandsError('unknown-model', 'This server has no model of that revision.')
    return new Response(text, {
      headers: { ...routeHeaders.blob, 'content-type': 'application/json; charset=utf-8', etag: `"${revision}"` },
    })
  })
  app.get('/blobs/:hash', async (c) => {
    const hash = c.req.param('hash')
    if (!isHash(hash)) throw new ManyhandsError('bad-input', 'A blob is named by 64 hexadecimal digits.')
    const blob = await deps.blob(hash)
    if (!blob) throw new ManyhandsError('not-found', 'This server has no blob of that hash.')
    return fileResponse(c.req.raw, {
      ...blob,
      etag: `"${hash}"`,
      headers: { ...routeHeaders.blob, 'content-type': 'application/octet-stream' },
    })
  })
  app.get('/ort/:version/:file', async (c) => {
    const { version, file } = c.req.param()
    const response = version === deps.ort.version && engineFile.test(file) ? await engine.respond(c.req.raw, `/${file}`) : undefined
    if (!response) throw new ManyhandsError('not-found', `This server has no such file of the engine; its version is ${deps.ort.version}.`)
    return response
  })

  app.get('/sdk/:version/*', async (c) => {
    const below = `/sdk/${c.req.param('version')}`
    const here = c.req.param('version') === deps.sdk.version
    const response = here ? await sdk.respond(c.req.raw, new URL(c.req.url).pathname.slice(below.length)) : undefined
    if (!response) throw new ManyhandsError('not-found', `This server has no such file of the SDK; its version is ${deps.sdk.version}.`)
    return response
  })

  app.get('/w/*', async (c) => {
    const response = await widget.respond(c.req.raw, c.env)
    if (!response) throw new ManyhandsError('not-found', 'This server has no such file of the widget, or not of that version.')
    return response
  })

  app.get('/healthz', () => text('ok\n'))
  app.get('/readyz', () => {
    if (!deps.ready()) throw new ManyhandsError('unavailable', 'The server is starting or going away. Try again in a few seconds.')
    return text('ready\n')
  })
  app.get('/metrics', () => text(deps.metrics(), 'text/plain; version=0.0.4; charset=utf-8'))

  app.get('*', async (c) => {
    const route = classOf(c.req.path)
    // The raw path: Hono's is partly decoded already.
    const page = route === 'app' ? await site.respond(c.req.raw, new URL(c.req.url).pathname) : undefined
    if (!page) throw new ManyhandsError('not-found', 'There is nothing at this address.')
    return page
  })

  app.onError((thrown, c) => answerError(thrown, c, deps))
  return app
}

function sessionOf(c: Context): SessionId {
  const session = c.req.param('session')
  if (!isSessionId(session)) throw new ManyhandsError('bad-input', 'A session id is 32 hexadecimal digits.')
  return session
}

function classOf(path: string): RouteClass {
  if (path.startsWith('/blobs/') || path.startsWith('/manifests/')) return 'blob'
  if (path.startsWith('/ort/')) return 'engine'
  if (/^\/v1\/projects(\/|$)/.test(path)) return 'project'
  if (path.startsWith('/sdk/')) return 'sdk'
  if (path.startsWith('/w/')) return widgetClass(path)
  return /^\/(v1|\.well-known)\/|^\/(healthz|readyz|metrics)$/.test(path) ? 'api' : 'app'
}

function answerError(thrown: Error, c: Context, deps: HttpDeps): Response {
  const route = classOf(c.req.path)
  if (thrown instanceof ManyhandsError) return failure(route, thrown, statusOf[thrown.code] ?? 500)
  deps.failed(thrown)
  return failure(route, new ManyhandsError('internal', 'The server failed to answer. It has been logged.'), 500)
}

/** `{error: WireError}` under the route's own headers, never cached. */
function failure(route: RouteClass, error: ManyhandsError, status: number, extra: Record<string, string> = {}): Response {
  const retry: Record<string, string> =
    error.retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(error.retryAfterMs / 1000)) }
  return Response.json(
    { error: error.toWire() },
    { status, headers: { ...routeHeaders[route], 'cache-control': 'no-store', ...retry, ...extra } },
  )
}

const json = (value: unknown) => Response.json(value, { headers: routeHeaders.api })
const text = (body: string, type = 'text/plain; charset=utf-8') =>
  new Response(body, { headers: { ...routeHeaders.api, 'content-type': type } })
