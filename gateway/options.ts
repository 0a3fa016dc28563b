/** The command line of `manyhands gateway` (in a clone `npm run gateway`), parsed; what is wrong is said with what would be right. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ManyhandsError } from '../protocol/errors.ts'

export const defaults = { host: '127.0.0.1', port: 8090, perMinute: 60, atOnce: 4, timeoutSeconds: 600 } as const

export const help = `Usage: manyhands gateway --server URL [options]
       npm run gateway -- --server URL [options]     in a clone

OpenAI's API over HTTP, answered by a network's volunteers: http://${defaults.host}:${defaults.port}/v1 is a client's base URL.

  --server URL        the signaling server, such as http://localhost:8080; as often as needed
  --port P            ${defaults.port} by default; 0 for any that is free
  --host H            address to listen at (${defaults.host}: this machine only). Others need --keys, and TLS in front
  --keys FILE         who may ask: a line each, 'NAME SHA-256'. Without it whoever is on this machine may, and any key is taken
  --new-key NAME      makes a key, adds its hash to FILE, prints it once, and ends
  --per-minute N      requests of a key a minute (${defaults.perMinute})
  --at-once N         requests of a key at once (${defaults.atOnce})
  --timeout S         seconds that an answer may take (${defaults.timeoutSeconds})
  --allow-origin O    a site whose pages may ask (https://app.example), as often as needed; none by default
  --help

A project's key, whose volunteers then come first, is taken from MANYHANDS_API_KEY.
`

export interface GatewayOptions {
  readonly servers: readonly string[]
  readonly port: number
  readonly host: string
  readonly keys: string | undefined
  readonly perMinute: number
  readonly atOnce: number
  readonly timeoutMs: number
  readonly allowedOrigins: readonly string[]
}

export type GatewayCommand =
  | { readonly do: 'help' }
  | { readonly do: 'new key'; readonly file: string; readonly name: string }
  | { readonly do: 'serve'; readonly options: GatewayOptions }

/** @throws ManyhandsError bad-input */
export function parseGatewayOptions(args: readonly string[]): GatewayCommand {
  const values = parse(args)
  if (values.help) return { do: 'help' }
  const { server = [], keys, host, 'new-key': newKey, 'allow-origin': origins = [] } = values
  if (newKey !== undefined) {
    if (keys === undefined) throw misuse('--new-key needs --keys FILE, the file that it is added to.')
    return { do: 'new key', file: resolve(keys), name: newKey }
  }
  if (server.length === 0) throw misuse('--server is missing: the signaling server, such as http://localhost:8080.')
  for (const url of server)
    if (!/^https?:\/\/\S+$/.test(url)) throw misuse(`--server takes an address like https://hands.example, not '${url}'.`)
  for (const origin of origins) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin)
      throw misuse(`--allow-origin takes an origin like https://app.example, not '${origin}'.`)
  }
  if (keys === undefined && !isLoopback(host))
    throw misuse(`--host ${host} lets others in than this machine: say with --keys FILE who may ask.`)
  const options = {
    servers: server,
    port: whole('port', values.port, 0, 65_535),
    host,
    keys: keys === undefined ? undefined : resolve(keys),
    perMinute: whole('per-minute', values['per-minute'], 1, 1_000_000),
    atOnce: whole('at-once', values['at-once'], 1, 10_000),
    timeoutMs: whole('timeout', values.timeout, 1, 86_400) * 1000,
    allowedOrigins: origins,
  }
  return { do: 'serve', options }
}

export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        server: { type: 'string', multiple: true },
        port: { type: 'string', default: String(defaults.port) },
        host: { type: 'string', default: defaults.host },
        keys: { type: 'string' },
        'new-key': { type: 'string' },
        'per-minute': { type: 'string', default: String(defaults.perMinute) },
        'at-once': { type: 'string', default: String(defaults.atOnce) },
        timeout: { type: 'string', default: String(defaults.timeoutSeconds) },
        'allow-origin': { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    return values
  } catch (thrown) {
    throw misuse(thrown instanceof Error ? thrown.message : String(thrown))
  }
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most)) throw misuse(`--${name} takes a whole number from ${least} to ${most}, not '${text}'.`)
  return value
}

const misuse = (message: string) => new ManyhandsError('bad-input', message)
