/**
 * What each kind of route tells browsers about origins, caching and embedding: one table, so that no route has its own idea.
 */

export const routeClasses = ['app', 'blob', 'engine', 'sdk', 'loader', 'frame', 'frame-files', 'api', 'project'] as const
export type RouteClass = (typeof routeClasses)[number]

const contentSecurityPolicy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  // Volunteers and requesters may talk to several servers.
  "connect-src 'self' ws: wss: http: https:",
  "img-src 'self' blob: data:",
  "style-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** The widget's frame, and its scripts for themselves: a worker obeys what came with it, not with its page. */
const framePolicy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  // As the site's: volunteers may be sent on to another server.
  "connect-src 'self' ws: wss: http: https:",
  "style-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

/** Shared memory, and so threads, inside whatever page shows the frame: Document-Isolation-Policy where browsers have it, else the page's own. */
const isolatedFrame = {
  'document-isolation-policy': 'isolate-and-credentialless',
  'cross-origin-embedder-policy': 'credentialless',
  'cross-origin-resource-policy': 'cross-origin',
}

/** Anyone's page may read it; `expose` are the headers that scripts need for ranges and waiting. */
const anyOrigin = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'content-range, content-length, accept-ranges, etag, retry-after',
  'cross-origin-resource-policy': 'cross-origin',
  'x-content-type-options': 'nosniff',
}

/** The address names the bytes, so they never change: a year, the longest that caches honour. */
export const immutable = 'public, max-age=31536000, immutable'
/** Kept, but asked about each time (the ETag makes that cheap). */
export const revalidate = 'no-cache'

export const routeHeaders: Readonly<Record<RouteClass, Readonly<Record<string, string>>>> = {
  /** The site. COOP and COEP make it cross-origin isolated, which is what gives wasm threads. */
  app: {
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
    'content-security-policy': contentSecurityPolicy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': revalidate,
  },
  /** Graphs, shards, manifests: addressed by hash. */
  blob: { ...anyOrigin, 'cache-control': immutable },
  /** onnxruntime-web. It starts its threads as workers from these very files, and a worker in an isolated page must say COEP itself. */
  engine: { ...anyOrigin, 'cross-origin-embedder-policy': 'require-corp', 'cache-control': immutable },
  /** The SDK for pages of any origin. Its chunks are named by their content and kept for good (static-files.ts); its entries are asked about. */
  sdk: { ...anyOrigin, 'cache-control': revalidate },
  /** The widget's script for anyone's page. Its address has the version, and pages that name its hash rely on its bytes. */
  loader: { ...anyOrigin, 'cache-control': immutable },
  /** The widget's frame; who may show it depends on the project, and is added to the policy (widget-files.ts). */
  frame: {
    ...isolatedFrame,
    'content-security-policy': framePolicy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  },
  /** Its scripts. A frame whose page took its origin away loads them as a stranger would, to say what is wrong. */
  'frame-files': { ...anyOrigin, ...isolatedFrame, 'content-security-policy': framePolicy, 'cache-control': immutable },
  api: { ...anyOrigin, 'cache-control': 'no-store' },
  /** Projects: what manages them is a key in a header that no browser adds by itself, so any origin may ask. */
  project: { ...anyOrigin, 'cache-control': 'no-store' },
}

/** Reading is all there is, but for projects. */
export const allowedMethods = (route: RouteClass): readonly string[] =>
  route === 'project' ? ['GET', 'HEAD', 'POST', 'PATCH', 'OPTIONS'] : ['GET', 'HEAD', 'OPTIONS']

/** Answer to a preflight. */
export const preflightHeaders = (route: RouteClass): Readonly<Record<string, string>> => ({
  'access-control-allow-origin': '*',
  'access-control-allow-methods': allowedMethods(route).join(', '),
  'access-control-allow-headers': route === 'project' ? 'authorization, content-type' : 'range, if-range, if-none-match, content-type',
  'access-control-max-age': '86400',
})
