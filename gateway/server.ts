/** A gateway in this process: a requester's place in the network, and the HTTP server in front of it. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { connect } from '../sdk/node.ts'
import { gateway } from './app.ts'
import type { Keys } from './keys.ts'
import { RequestLimits } from './limits.ts'
import type { GatewayOptions } from './options.ts'

export interface GatewayTerms extends Omit<GatewayOptions, 'keys'> {
  readonly keys: Keys | undefined
  /** A project's. */
  readonly apiKey?: string
  log(line: string): void
}

export interface RunningGateway {
  /** Without a path. */
  readonly url: string
  /** Takes no more requests, lets those under way end for a while, and then ends them. */
  close(): Promise<void>
}

/** An answer under way may take so long to end once the gateway is to stop; service managers kill after 90 s. */
const graceMs = 60_000
/** As the sockets of clients that keep one open for their next request close. */
const drainMs = 100

/** @throws ManyhandsError unavailable, forbidden …; the system's error where the port is taken */
export async function startGateway(terms: GatewayTerms): Promise<RunningGateway> {
  const { servers, apiKey, host, port, perMinute, atOnce } = terms
  const network = await connect({ server: servers, ...(apiKey === undefined ? {} : { apiKey }) })
  const closing = new AbortController()
  let draining = false
  const { fetch, underWay } = gateway({
    ...terms,
    network,
    limits: new RequestLimits({ perMinute, atOnce }),
    closing: closing.signal,
    draining: () => draining,
    now: () => performance.now(),
  })
  const server = createServer(getRequestListener(fetch, { overrideGlobalObjects: false }))
  try {
    await listening(server, port, host)
  } catch (thrown) {
    await network.close()
    throw thrown
  }
  const close = async () => {
    draining = true
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    const deadline = performance.now() + graceMs
    while (underWay() > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, drainMs))
    closing.abort()
    server.closeAllConnections()
    await closed
    await network.close()
  }
  const at = (server.address() as AddressInfo).port
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${at}`, close }
}

function listening(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
