/**
 * The whole server: library, store, coordinator, sockets, broker and HTTP put together, and taken down in order. What each of
 * them decides is theirs.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo, Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { getRequestListener } from '@hono/node-server'
import { WebSocketServer, type WebSocket } from 'ws'
import { openLibrary, type LibraryModel } from '../models/library.ts'
import { utf8 } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision } from '../protocol/ids.ts'
import { maxSignalBytes, maxSocketBytes } from '../protocol/limits.ts'
import type { WellKnown } from '../protocol/server-messages.ts'
import { Broker } from './broker.ts'
import { memoryBus } from './bus.ts'
import { clientAddress } from './client-address.ts'
import { ControlSockets } from './control-sockets.ts'
import { Coordinator } from './coordinator.ts'
import { createApp } from './http.ts'
import { OfferedModels } from './library.ts'
import { serverMetrics } from './server-metrics.ts'
import { networkPrefix } from './network-prefix.ts'
import { RateLimiter } from './rate-limit.ts'
import { serverKey } from './server-key.ts'
import { openEmbedded } from './sqlite-store.ts'
import type { StageCount } from './swarm.ts'
import { trustEverybody } from './trust-port.ts'
import { iceServers, type IceOptions } from './turn.ts'

export interface ServerOptions {
  /** Library of models, keys and database; made where it is not there. */
  readonly data: string
  /** 0: any free one. */
  readonly port: number
  readonly host: string
  readonly stages: StageCount
  readonly ice: IceOptions
  /** Peers that the operator trusts from the start. */
  readonly anchors: ReadonlySet<PeerId>
  /** The built site; `dist/web` of this repository when absent. */
  readonly site?: string
  /** Behind a reverse proxy: clients' addresses are the last of X-Forwarded-For. */
  readonly trustProxy: boolean
  /** A new server key; the present one joins the past ones. */
  readonly newKey: boolean
  log(line: string): void
}

export interface RunningServer {
  readonly url: string
  readonly models: readonly LibraryModel[]
  /** Reads the library again. */
  rescan(): Promise<void>
  /** Tells everyone to come back, finishes what is being written, and stops. */
  close(): Promise<void>
}

export const defaultOptions: Omit<ServerOptions, 'data'> = {
  port: 8080,
  host: '127.0.0.1',
  stages: 'auto',
  ice: { stun: [] },
  anchors: new Set(),
  trustProxy: false,
  newKey: false,
  log: () => undefined,
}

/** Coordinator's clockwork: leases, queues, waiting proofs. */
const tickMs = 500
/** All headers of a request within this; nobody types them. */
const headersMs = 10_000
const requestMs = 30_000
/** Between two files of one page's load. */
const keepAliveMs = 15_000
const maxHeaderBytes = 16 * 1024
/** Sockets, plus what browsers open for files. */
const maxConnections = 40_000
/** Answers over HTTP to one network: a model's three hundred files, for a class of thirty at once. */
const httpRate = { perSecond: 500, burst: 10_000, maxKeys: 20_000 }
/** Clients that come back after a restart are spread over this, at a thousand a second. */
const spreadMs = (clients: number) => Math.min(2_000, clients)

const root = fileURLToPath(new URL('..', import.meta.url))

/** @throws ManyhandsError bad-input when the port is taken or the folder can't be used */
export async function startServer(given: Partial<ServerOptions> & { readonly data: string }): Promise<RunningServer> {
  const options: ServerOptions = { ...defaultOptions, ...given }
  const { data, log } = options
  const ort = engineFiles()
  const key = await serverKey(data, options.newKey)
  const { identity } = key
  const { store, ownership } = openEmbedded(data, '')
  const bus = memoryBus('this')
  const epochs = new Map<string, number>()
  const epochOf = (revision: Revision) => epochs.get(revision) ?? 0
  const secret = randomBytes(32)
  const boot = randomBytes(8).toString('hex')
  const broker = new Broker({ secret, now: Date.now })
  let draining = false
  const failed = (thrown: unknown) => log(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown))

  const coordinator: Coordinator = new Coordinator({
    identity,
    store,
    stages: options.stages,
    trust: trustEverybody,
    epochOf,
    send: (peer, message) => sockets.send(peer, message),
    now: Date.now,
    uptime: () => performance.now(),
    // What peers wrote may stand in it: a line stays a line.
    log: (line) => log(line.replace(/\p{Cc}+/gu, ' ')),
    failed,
  })
  const sockets: ControlSockets = new ControlSockets({
    serverKey: identity.publicKey,
    now: Date.now,
    welcome: (peer) => ({
      t: 'welcome',
      peer,
      brokerToken: broker.tokenFor(peer),
      iceServers: iceServers(options.ice, peer, Date.now()),
      epoch: Math.max(0, ...epochs.values()),
      boot,
      serverKeys: [identity.publicKey, ...key.past.slice(0, 15)],
      servers: [],
    }),
    joined: (peer) => coordinator.joined(peer),
    message: (caller, message) => coordinator.receive(caller, message),
    proofs: (peer, bytes) => coordinator.sessions.proofs(peer, bytes),
    left: (peer) => coordinator.gone(peer),
    serves: (peer) => coordinator.serves(peer),
    failed,
  })

  const library = openLibrary(data)
  const own = async (models: readonly LibraryModel[]) => {
    const revisions = models.map((m) => m.revision)
    await ownership.release([...epochs.keys()].filter((cell) => !revisions.includes(cell as Revision)))
    const claimed = await ownership.claim(revisions, revisions.length)
    epochs.clear()
    for (const [cell, epoch] of claimed) epochs.set(cell, epoch)
    coordinator.setModels(models.filter((m) => epochs.has(m.revision)))
    log(models.length === 0 ? 'no models to offer' : `models: ${models.map((m) => m.manifest.name).join(', ')}`)
  }
  const offered = new OfferedModels(library, own, log)
  await offered.look(true)
  bus.onMessage(() => void offered.look(true))

  const wellKnown: WellKnown = {
    v: 1,
    serverKey: identity.publicKey,
    pastKeys: [...key.past],
    socket: '/v1/socket',
    broker: '/',
    blobs: '/blobs/',
    manifests: '/manifests/',
    engine: `/ort/${ort.version}/`,
  }
  const metrics = serverMetrics({ coordinator, sockets, broker })
  const app = createApp({
    site: options.site ?? join(root, 'dist/web'),
    ort,
    blob: (hash) => offered.blob(hash),
    manifest: (revision) => offered.manifest(revision),
    models: () => coordinator.models(),
    receipts: (request) => store.receipts(request),
    evidence: (session) => store.evidence(session),
    wellKnown: () => wellKnown,
    ready: () => !draining,
    metrics: () => metrics.text(),
    answered: (route, status) => metrics.answered(route, status),
    failed,
  })

  const addressOf = (request: IncomingMessage) => clientAddress(request, options.trustProxy)
  const server = httpServer(getRequestListener(app.fetch), addressOf)
  const control = new WebSocketServer({ noServer: true, maxPayload: maxSocketBytes, perMessageDeflate: false, clientTracking: false })
  // Above what the broker allows, so that it can say why it closes.
  const signalling = new WebSocketServer({
    noServer: true,
    maxPayload: 2 * maxSignalBytes,
    perMessageDeflate: false,
    clientTracking: false,
  })
  server.on('upgrade', (request, socket, head) => {
    const path = (request.url ?? '').split('?', 1)[0]
    const ip = addressOf(request)
    const { origin } = request.headers
    const upgrade = (to: WebSocketServer, accept: (ws: WebSocket) => void) => to.handleUpgrade(request, socket, head, accept)
    socket.on('error', () => socket.destroy())
    if (path === wellKnown.socket) upgrade(control, (ws) => sockets.accept(ws, { ip, origin }))
    else if (path === '/peerjs') upgrade(signalling, (ws) => broker.accept(ws, { url: request.url ?? '', ip }))
    else refuseUpgrade(socket)
  })
  try {
    await listen(server, options.port, options.host)
  } catch (thrown) {
    offered.close()
    broker.close()
    await sockets.close(0)
    await store.close()
    throw thrown
  }
  const ticks = setInterval(() => coordinator.tick(), tickMs)
  const { port } = server.address() as AddressInfo

  let closing: Promise<void> | undefined
  const close = async () => {
    draining = true
    offered.close()
    server.close()
    const { peers, strangers } = sockets.stats()
    broker.close()
    await sockets.close(spreadMs(peers + strangers))
    clearInterval(ticks)
    await coordinator.sessions.settleAll()
    await ownership.release([...epochs.keys()])
    await bus.close()
    await store.close()
    server.closeAllConnections()
  }
  return {
    url: `http://localhost:${port}`,
    get models() {
      return offered.models
    },
    rescan: () => bus.send('all', utf8('models')),
    close: () => (closing ??= close()),
  }
}

function httpServer(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
  addressOf: (request: IncomingMessage) => string,
): Server {
  const rate = new RateLimiter(httpRate)
  const server = createServer(
    { maxHeaderSize: maxHeaderBytes, headersTimeout: headersMs, requestTimeout: requestMs, keepAliveTimeout: keepAliveMs },
    (request, response) => {
      const prefix = networkPrefix(addressOf(request))
      const taken = prefix === undefined ? undefined : rate.take(prefix, 1, Date.now())
      if (taken?.ok === false) {
        response
          .writeHead(429, { 'retry-after': String(Math.ceil(taken.retryAfterMs / 1000)), 'content-type': 'text/plain' })
          .end('Your network asks too much. Come again later.\n')
        return
      }
      answer(request, response)
    },
  )
  server.maxConnections = maxConnections
  return server
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why: Record<string, string> = {
        EADDRINUSE: `Port ${port} is taken. Give another with --port, or --port 0 for any that is free.`,
        EACCES: `Port ${port} may not be used by this user. Give one above 1023 with --port.`,
        EADDRNOTAVAIL: `This machine has no address ${host}. Give one of its own with --host, or 0.0.0.0 for all.`,
        ENOTFOUND: `There is no host ${host}. Give one of this machine's addresses with --host.`,
      }
      reject(new ManyhandsError('bad-input', why[cause.code ?? ''] ?? `The server can't listen: ${cause.message}`, { cause }))
    })
    server.listen(port, host, () => resolve())
  })
}

function refuseUpgrade(socket: Duplex): void {
  socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  ;(socket as Socket).setTimeout(headersMs, () => socket.destroy())
}

/** onnxruntime-web as npm installed it. */
function engineFiles(): { dir: string; version: string } {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-web')
  const dir = dirname(entry)
  const { version } = JSON.parse(readFileSync(join(dir, '../package.json'), 'utf8')) as { version: string }
  return { dir, version }
}
