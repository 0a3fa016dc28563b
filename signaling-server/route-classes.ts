/**
 * What each kind of route tells browsers about origins, caching and embedding: one table, so that no route has its own idea.
 */

export const routeClasses = ['app', 'blob', 'engine', 'sdk', 'api'] as const
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
  api: { ...anyOrigin, 'cache-control': 'no-store' },
}

/** Answer to a preflight: reading is all there is. */
export const preflightHeaders = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD, OPTIONS',
  'access-control-allow-headers': 'range, if-range, if-none-match, content-type',
  'access-control-max-age': '86400',
}
