/**
 * First contact with a signaling server: its well-known document tells where its socket, broker and files are, and which
 * keys sign its tickets.
 */
import * as v from 'valibot'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import { maxEvidenceBytes } from '../../protocol/evidence.ts'
import type { Hash, Revision, SessionId } from '../../protocol/ids.ts'
import { sha256 } from '../../protocol/hash.ts'
import { maxManifestBytes } from '../../protocol/limits.ts'
import { parseManifest, revisionOf, type BlobRef, type Manifest } from '../../protocol/manifest.ts'
import { receiptSchema, type Receipt } from '../../protocol/receipt.ts'
import { wellKnownSchema } from '../../protocol/server-messages.ts'

export interface ServerInfo {
  readonly base: URL
  readonly serverKey: string
  /** Keys of former times: what they signed still counts. */
  readonly pastKeys: readonly string[]
  readonly socketUrl: string
  readonly broker: { readonly host: string; readonly port: number; readonly path: string; readonly secure: boolean }
  readonly blobsUrl: string
  readonly manifestsUrl: string
  readonly engineUrl: string
}

/** A server that has not answered by then is not there. */
const discoveryMs = 10_000
/** The well-known document is a screenful. */
const maxDocumentBytes = 64 * 1024
const receiptsSchema = v.object({ receipts: v.array(receiptSchema) })

/** @throws ManyhandsError unavailable, bad-input, insecure-context */
export async function discover(server: string, signal?: AbortSignal): Promise<ServerInfo> {
  if (!globalThis.crypto?.subtle) {
    throw new ManyhandsError(
      'insecure-context',
      'This page is not served over https, so the browser hides its cryptography. Open it by https, or on localhost.',
    )
  }
  const base = parseServer(server)
  const bytes = await fetchBytes(new URL('/.well-known/manyhands.json', base).href, maxDocumentBytes, 'default', signal)
  const parsed = v.safeParse(wellKnownSchema, parseJson(bytes, server))
  if (!parsed.success) throw new ManyhandsError('unavailable', `${server} answers, but not as a Manyhands server.`)
  const { serverKey, pastKeys, socket, broker, blobs, manifests, engine } = parsed.output
  const at = (path: string) => new URL(path, base)
  const socketUrl = at(socket)
  socketUrl.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:'
  const brokerUrl = at(broker)
  const secure = brokerUrl.protocol === 'https:'
  return {
    base,
    serverKey,
    pastKeys,
    socketUrl: socketUrl.href,
    broker: {
      host: brokerUrl.hostname,
      port: Number(brokerUrl.port || (secure ? 443 : 80)),
      path: brokerUrl.pathname.endsWith('/') ? brokerUrl.pathname : `${brokerUrl.pathname}/`,
      secure,
    },
    blobsUrl: withSlash(at(blobs).href),
    manifestsUrl: withSlash(at(manifests).href),
    engineUrl: withSlash(at(engine).href),
  }
}

/** A model's manifest, checked to be the revision asked for. @throws ManyhandsError unknown-model, hash-mismatch, bad-model */
export function fetchManifest(info: ServerInfo, revision: Revision, signal?: AbortSignal): Promise<Manifest> {
  return twice(async (cache) => {
    const bytes = await fetchBytes(info.manifestsUrl + revision, maxManifestBytes, cache, signal)
    const manifest = parseManifest(parseJson(bytes, 'The manifest'))
    if ((await revisionOf(manifest)) === revision) return manifest
    throw new ManyhandsError('hash-mismatch', 'The server sent another manifest than the one asked for.')
  })
}

/** A small file by hash. @throws ManyhandsError hash-mismatch, unavailable */
export function fetchBlob(info: ServerInfo, ref: BlobRef, signal?: AbortSignal): Promise<Uint8Array> {
  return twice(async (cache) => {
    const bytes = await fetchBytes(info.blobsUrl + (ref.hash satisfies Hash), ref.bytes, cache, signal)
    if ((await sha256(bytes)) === ref.hash) return bytes
    throw new ManyhandsError('hash-mismatch', 'A file arrived that is not what its address says.')
  })
}

/** A request's receipts, from the first to the last of its successors. @throws ManyhandsError not-found, unavailable */
export async function fetchReceipts(info: ServerInfo, request: SessionId, signal?: AbortSignal): Promise<Receipt[]> {
  const bytes = await fetchBytes(new URL(`/v1/receipts/${request}`, info.base).href, maxDocumentBytes, 'default', signal)
  const parsed = v.safeParse(receiptsSchema, parseJson(bytes, 'The receipts'))
  if (!parsed.success) throw new ManyhandsError('unavailable', 'The server sent receipts that are none.')
  return parsed.output.receipts
}

/** What proves a session's receipt, for its receipt file. @throws ManyhandsError not-found, unavailable */
export const fetchEvidence = (info: ServerInfo, session: SessionId, signal?: AbortSignal): Promise<Uint8Array> =>
  fetchBytes(new URL(`/v1/receipts/${session}/evidence`, info.base).href, maxEvidenceBytes, 'default', signal)

/** What is named by its hash is kept by the browser for ever: also when it was damaged, so a second try goes past its cache. */
async function twice<T>(get: (cache: RequestCache) => Promise<T>): Promise<T> {
  try {
    return await get('default')
  } catch (thrown) {
    if (thrown instanceof ManyhandsError && ['hash-mismatch', 'bad-model', 'bad-message'].includes(thrown.code)) return get('reload')
    throw thrown
  }
}

function parseServer(server: string): URL {
  try {
    const url = new URL(server)
    if (url.protocol === 'http:' || url.protocol === 'https:') return url
  } catch {
    // Said below.
  }
  throw new ManyhandsError(
    'bad-input',
    `'${server.slice(0, 200)}' is not the address of a server. It should look like https://hands.example.`,
  )
}

/** At most `limit` bytes, within a time; @throws ManyhandsError unavailable, not-found, bad-message */
async function fetchBytes(url: string, limit: number, cache: RequestCache, signal?: AbortSignal): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(discoveryMs)
  try {
    const response = await fetch(url, { cache, signal: signal ? AbortSignal.any([signal, timeout]) : timeout })
    if (response.status === 404) throw new ManyhandsError('not-found', `${url} is not there.`)
    if (!response.ok || !response.body) throw new ManyhandsError('unavailable', `${url} answers with status ${response.status}.`)
    const parts: Uint8Array[] = []
    let length = 0
    const reader = response.body.getReader()
    for (;;) {
      const { done, value: part } = await reader.read()
      if (done) break
      length += part.length
      if (length > limit) throw new ManyhandsError('bad-message', `${url} sends more than the ${limit} bytes allowed.`)
      parts.push(part)
    }
    const bytes = new Uint8Array(length)
    let at = 0
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  } catch (thrown) {
    if (signal?.aborted) throw asError(thrown)
    if (timeout.aborted) throw new ManyhandsError('timeout', `${url} did not answer in ${discoveryMs / 1000} s.`)
    if (thrown instanceof ManyhandsError) throw thrown
    throw new ManyhandsError('unavailable', `${new URL(url).host} could not be reached.`, { cause: thrown })
  }
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new ManyhandsError('unavailable', `${what} did not answer with JSON.`, { cause })
  }
}

const withSlash = (url: string) => (url.endsWith('/') ? url : `${url}/`)
