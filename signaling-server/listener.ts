/**
 * The server's one port: HTTP and upgrades, with limits for both, taken before there is anything to serve so that the address is
 * known. Until then whoever comes is asked to come again.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ManyhandsError } from '../protocol/errors.ts'
import { networkPrefix } from './network-prefix.ts'
import { RateLimiter } from './rate-limit.ts'

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

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown
/** Takes the socket over and says true, or leaves it. */
type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean

export interface Listener {
  readonly port: number
  serve(answer: Answer, upgrade: Upgrade): void
  /** Takes nobody new; resolves at once. */
  close(): void
  closeAllConnections(): void
}

/** @throws ManyhandsError bad-input when the port or the address can't be had */
export async function openListener(port: number, host: string, addressOf: (request: IncomingMessage) => string): Promise<Listener> {
  let answer: Answer = (_, response) =>
    response.writeHead(503, { 'retry-after': '1', 'content-type': 'text/plain' }).end('Starting. Come again in a moment.\n')
  let upgrade: Upgrade = () => false
  const server = httpServer((request, response) => answer(request, response), addressOf)
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    if (!upgrade(request, socket, head)) refuseUpgrade(socket)
  })
  await listen(server, port, host)
  return {
    port: (server.address() as AddressInfo).port,
    serve(newAnswer, newUpgrade) {
      answer = newAnswer
      upgrade = newUpgrade
    },
    close: () => void server.close(),
    closeAllConnections: () => server.closeAllConnections(),
  }
}

function httpServer(answer: Answer, addressOf: (request: IncomingMessage) => string): Server {
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
