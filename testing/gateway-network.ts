/** A tiny network with a gateway in front of it, for tests of the clients that speak to one. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addKey, readKeys } from '../gateway/keys.ts'
import { defaults } from '../gateway/options.ts'
import { startGateway } from '../gateway/server.ts'
import { connect } from '../sdk/node.ts'
import type { Network } from '../sdk/types.ts'
import { startTinyNetwork, tinyDecoder, tinyEncoder } from './tiny-network.ts'

export interface GatewayNetwork {
  /** A requester of the same network, to compare with. */
  readonly net: Network
  /** What clients call their base URL. */
  readonly baseUrl: string
  /** The only one, of `ann`. */
  readonly key: string
  /** What the gateway logged. */
  readonly log: readonly string[]
  close(): Promise<void>
}

export async function startGatewayNetwork(): Promise<GatewayNetwork> {
  const ends: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  }
  try {
    const network = await startTinyNetwork([tinyDecoder, tinyDecoder, tinyEncoder])
    ends.push(() => network.close())
    const net = await connect({ server: network.url })
    ends.push(() => net.close())
    const folder = await mkdtemp(join(tmpdir(), 'manyhands-gateway-'))
    ends.push(() => rm(folder, { recursive: true }))
    const file = join(folder, 'keys')
    const key = await addKey(file, 'ann')
    const log: string[] = []
    const gateway = await startGateway({
      servers: [network.url],
      host: defaults.host,
      port: 0,
      keys: await readKeys(file),
      perMinute: 1000,
      atOnce: 20,
      timeoutMs: 60_000,
      allowedOrigins: [],
      log: (line) => log.push(line),
    })
    ends.push(() => gateway.close())
    return { net, baseUrl: `${gateway.url}/v1`, key, log, close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}
