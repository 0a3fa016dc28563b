/**
 * The whole server: library, store, coordinator, sockets, broker and HTTP put together, and taken down in order. What each of
 * them decides is theirs.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { WebSocketServer, type WebSocket } from 'ws'
import { openLibrary, type LibraryModel } from '../models/library.ts'
import type { PeerId } from '../protocol/ids.ts'
import { maxSignalBytes, maxSocketBytes } from '../protocol/limits.ts'
import type { WellKnown } from '../protocol/server-messages.ts'
import type { Viewpoint } from './audience.ts'
import { Broker } from './broker.ts'
import { catalogueOf } from './catalogue.ts'
import { Cells } from './cells.ts'
import { clientAddress } from './client-address.ts'
import { ControlSockets } from './control-sockets.ts'
import { Coordinator } from './coordinator.ts'
import { openDatabase } from './database.ts'
import { Fellows } from './fellows.ts'
import { createApp } from './http.ts'
import { OfferedModels } from './library.ts'
import { openListener, type Listener } from './listener.ts'
import { LiveOverview } from './live-overview.ts'
import { packageFiles } from './package-files.ts'
import { operatorToken } from './projects/operator-token.ts'
import { Projects } from './projects/projects.ts'
import { projectRoutes } from './projects/routes.ts'
import { Visits } from './projects/visits.ts'
import { serverMetrics } from './server-metrics.ts'
import { Reception } from './reception.ts'
import { serverKey } from './server-key.ts'
import type { StageCount } from './swarm.ts'
import { iceServers, type IceOptions } from './turn.ts'
import { firstOf, workDays } from './work-days.ts'

export interface ServerOptions {
  /** Library of models, keys and database; made where it is not there. */
  readonly data: string
  /** PostgreSQL's address, for several processes with the same library; without it the database is in `data`. */
  readonly database?: string
  /** Where clients reach this process; http://localhost:PORT when absent. */
  readonly url?: string
  /** 0: any free one. */
  readonly port: number
  readonly host: string
  readonly stages: StageCount
  readonly ice: IceOptions
  /** Peers that the operator trusts from the start. */
  readonly anchors: ReadonlySet<PeerId>
  /** The built site; the one that this package brings along when absent. */
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

const socketPath = '/v1/socket'
/** Coordinator's clockwork: leases, queues, waiting proofs. */
const tickMs = 500
/** Clients that come back after a restart are spread over this, at a thousand a second. */
const spreadMs = (clients: number) => Math.min(2_000, clients)

/** @throws ManyhandsError bad-input when the port is taken or the folder can't be used */
export async function startServer(given: Partial<ServerOptions> & { readonly data: string }): Promise<RunningServer> {
  const options: ServerOptions = { ...defaultOptions, ...given }
  const addressOf = (request: IncomingMessage) => clientAddress(request, options.trustProxy)
  const listener = await openListener(options.port, options.host, addressOf)
  try {
    return await serve(options, listener)
  } catch (thrown) {
    listener.close()
    listener.closeAllConnections()
    throw thrown
  }
}

async function serve(options: ServerOptions, listener: Listener): Promise<RunningServer> {
  const { data, log } = options
  const ort = engineFiles()
  const url = options.url ?? `http://localhost:${listener.port}`
  const key = await serverKey(data, options.newKey)
  const { identity } = key
  const token = await operatorToken(data)
  const boot = randomBytes(8).toString('hex')
  const database = await openDatabase({ data, database: options.database, name: boot, url })
  const { store, ownership } = database
  const broker = new Broker({ secret: randomBytes(32), now: Date.now })
  let draining = false
  const failed = (thrown: unknown) => log(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown))
  // What peers wrote may stand in it: a line stays a line.
  const logLine = (line: string) => log(line.replace(/\p{Cc}+/gu, ' '))

  const projects: Projects = await Projects.open({
    store: database.projects,
    now: Date.now,
    uptime: () => performance.now(),
    hint: () => void fellows.projectsChanged(),
    changed: (id) => coordinator.projectChanged(id),
    log: logLine,
  })
  const visits = new Visits({ store: database.projects, boot, now: Date.now, log: logLine })
  const addressOf = (from: unknown) => clientAddress((from as HttpBindings).incoming, options.trustProxy)

  const coordinator: Coordinator = new Coordinator({
    identity,
    store,
    audience: (project) => projects.audience(project),
    keyRefusal: (keyed) => projects.refusal(keyed),
    consented: (project, peer, network) => visits.consented(project, peer, network),
    stages: options.stages,
    anchors: options.anchors,
    serverKeys: () => fellows.keys,
    epochOf: (revision) => cells.epochOf(revision) ?? 0,
    send: (peer, message) => {
      const sent = sockets.send(peer, message)
      if (sent) reception.said(peer, message)
      return sent
    },
    now: Date.now,
    uptime: () => performance.now(),
    log: logLine,
    failed,
  })
  const sockets: ControlSockets = new ControlSockets({
    serverKey: identity.publicKey,
    now: Date.now,
    enter: (key, origin) => projects.enter(key, origin),
    welcome: (peer) => ({
      t: 'welcome',
      peer,
      brokerToken: broker.tokenFor(peer),
      iceServers: iceServers(options.ice, peer, Date.now()),
      epoch: Math.max(0, ...cells.owned.map((cell) => cells.epochOf(cell) ?? 0)),
      boot,
      serverKeys: [...fellows.keys],
      servers: [...fellows.servers],
    }),
    joined: (peer) => coordinator.joined(peer),
    message: (caller, message) => reception.receive(caller, message),
    proofs: (peer, bytes) => reception.proofs(peer, bytes),
    left: (peer) => {
      reception.gone(peer)
      coordinator.gone(peer)
    },
    serves: (peer) => coordinator.serves(peer),
    failed,
  })

  let models: readonly LibraryModel[] = []
  const useOwned = () => coordinator.setModels(models.filter((m) => cells.epochOf(m.revision) !== undefined))
  const cells = new Cells({
    ownership,
    idle: (cell) => coordinator.idle(cell),
    changed: useOwned,
    uptime: () => performance.now(),
    lost: async (cell) => {
      const owner = await ownership.ownerOf(cell)
      if (owner) coordinator.moved(cell, owner.url)
    },
    log: logLine,
  })
  const offered = new OfferedModels(
    openLibrary(data),
    async (now) => {
      models = now
      await cells.want(models.map((m) => m.revision))
      useOwned()
      log(models.length === 0 ? 'no models to offer' : `models: ${models.map((m) => m.manifest.name).join(', ')}`)
    },
    log,
  )
  const fellows = new Fellows({
    database,
    url,
    keys: [identity.publicKey, ...key.past],
    swarms: () => coordinator.models(),
    libraryChanged: () => void offered.look(true),
    projectsChanged: () => void projects.look(),
    serversChanged: () => sockets.sendAll({ t: 'servers', servers: [...fellows.servers] }),
  })
  /** Of the swarms that others have, what they say of them. */
  const catalogue = (viewpoint?: Viewpoint) =>
    catalogueOf(models, coordinator.models(viewpoint), (revision) => fellows.swarm(revision), options.stages)
  const reception = new Reception({
    known: (revision) => models.some((m) => m.revision === revision),
    owned: (revision) => cells.epochOf(revision) !== undefined,
    ownsAny: () => cells.owned.length > 0,
    mayAct: () => cells.mayAct(),
    ownerOf: async (revision) => (await ownership.ownerOf(revision))?.url,
    neediest: (wanted, memoryBytes) =>
      fellows.neediest(
        models
          .filter(({ revision, manifest }) => {
            const smallest = Math.min(...manifest.blocks.map((block) => block.residentBytes))
            return smallest <= memoryBytes && (wanted.length === 0 || wanted.includes(revision))
          })
          .map((model) => model.revision),
      ),
    models: catalogue,
    receive: (caller, message) => coordinator.receive(caller, message),
    proofs: (peer, bytes) => coordinator.sessions.proofs(peer, bytes),
    send: (peer, message) => sockets.send(peer, message),
    failed,
  })
  await fellows.start()
  await offered.look(true)
  cells.start()

  const wellKnown = (): WellKnown => ({
    v: 1,
    serverKey: identity.publicKey,
    pastKeys: fellows.keys.filter((k) => k !== identity.publicKey),
    socket: socketPath,
    broker: '/',
    blobs: '/blobs/',
    manifests: '/manifests/',
    engine: `/ort/${ort.version}/`,
  })
  const overview = new LiveOverview({ coordinator, models: () => catalogue(), now: Date.now, uptime: () => performance.now() })
  const metrics = serverMetrics({ coordinator, sockets, broker })
  const app = createApp({
    site: options.site ?? packageFiles.site,
    sdk: { dir: packageFiles.sdk, version: packageFiles.version },
    widget: {
      dir: packageFiles.widget,
      project: (id) => projects.frame(id),
      visited: (id, from) => visits.shown(id, addressOf(from)),
    },
    projects: projectRoutes({
      projects,
      store: database.projects,
      operatorToken: token,
      addressOf: (c) => addressOf(c.env),
      now: Date.now,
    }),
    ort,
    blob: (hash) => offered.blob(hash),
    manifest: (revision) => offered.manifest(revision),
    models: () => catalogue(),
    overview: {
      network: () => overview.now(),
      work: async (peer, days) => workDays(await store.workSums(peer, firstOf(days, Date.now()))),
    },
    receipts: (request) => store.receipts(request),
    evidence: (session) => store.evidence(session),
    wellKnown,
    ready: () => !draining,
    metrics: () => metrics.text(),
    answered: (route, status) => metrics.answered(route, status),
    failed,
  })

  const control = new WebSocketServer({ noServer: true, maxPayload: maxSocketBytes, perMessageDeflate: false, clientTracking: false })
  // Above what the broker allows, so that it can say why it closes.
  const signalling = new WebSocketServer({
    noServer: true,
    maxPayload: 2 * maxSignalBytes,
    perMessageDeflate: false,
    clientTracking: false,
  })
  listener.serve(getRequestListener(app.fetch), (request, socket, head) => {
    const path = (request.url ?? '').split('?', 1)[0]
    const ip = clientAddress(request, options.trustProxy)
    const { origin } = request.headers
    const upgrade = (to: WebSocketServer, accept: (ws: WebSocket) => void) => to.handleUpgrade(request, socket, head, accept)
    if (path === socketPath) upgrade(control, (ws) => sockets.accept(ws, { ip, origin }))
    else if (path === '/peerjs') upgrade(signalling, (ws) => broker.accept(ws, { url: request.url ?? '', ip }))
    else return false
    return true
  })
  // While it may have lost its swarms, it decides nothing for them.
  const ticks = setInterval(() => {
    if (!cells.mayAct()) return
    coordinator.tick()
    overview.tick()
    reception.lookAround()
  }, tickMs)

  let closing: Promise<void> | undefined
  const close = async () => {
    draining = true
    offered.close()
    projects.close()
    fellows.close()
    listener.close()
    const { peers, strangers } = sockets.stats()
    broker.close()
    await sockets.close(spreadMs(peers + strangers))
    clearInterval(ticks)
    await coordinator.sessions.settleAll()
    await coordinator.trust.written()
    await cells.close()
    await visits.close()
    await database.close()
    listener.closeAllConnections()
  }
  return {
    url,
    get models() {
      return offered.models
    },
    rescan: () => fellows.libraryChanged(),
    close: () => (closing ??= close()),
  }
}

/** onnxruntime-web as npm installed it. */
function engineFiles(): { dir: string; version: string } {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-web')
  const dir = dirname(entry)
  const { version } = JSON.parse(readFileSync(join(dir, '../package.json'), 'utf8')) as { version: string }
  return { dir, version }
}
