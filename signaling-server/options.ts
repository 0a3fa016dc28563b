/** The command line of `manyhands serve` (in a clone `npm start`), parsed into the server's options; what is wrong is said with what would be right. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ManyhandsError } from '../protocol/errors.ts'
import { isPeerId, type PeerId } from '../protocol/ids.ts'
import { maxStages } from '../protocol/limits.ts'
import { defaultOptions, type ServerOptions } from './server.ts'

export const help = `Usage: manyhands serve [options]
       npm start -- [options]     in a clone

Serves the site, the models of a library, and the network of their volunteers.

  --data DIR          library of models, keys, database, and operator.token, which makes projects (.manyhands)
  --database URL      PostgreSQL instead, for several servers of one network; also from DATABASE_URL. Each has the same models
                      in its DIR (one folder for all, or copies) and takes a part of them
  --url URL           where clients reach this server, when others are told of it (http://localhost:PORT)
  --port P            ${defaultOptions.port} by default; 0 for any that is free
  --host H            address to listen at (${defaultOptions.host}: this machine only; 0.0.0.0: all)
  --stages N          stages that every model is cut into, 1 to ${maxStages}; 'auto' (the default): by size
  --site DIR          another built site than the one that comes along
  --stun URL          a STUN server, as often as needed: stun:stun.example:3478
  --turn URL          a TURN relay, as often as needed: turn:turn.example:3478
  --turn-secret S     the secret shared with it (coturn's static-auth-secret); also from MANYHANDS_TURN_SECRET
  --anchors FILE      peers that you trust from the start: an id a line
  --trust-proxy       behind a reverse proxy: believe its X-Forwarded-For
  --new-key           a new key for the server; the present one stays listed
  --help
`

/** How long a relay's credentials hold: a peer that stays longer reconnects and gets new ones. */
const turnSeconds = 12 * 3600
const maxAnchorsBytes = 16 * 1024 * 1024

type Parsed = Omit<ServerOptions, 'log'>

/** Undefined when help was asked for. @throws ManyhandsError bad-input */
export async function parseServerOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<Parsed | undefined> {
  const values = parse(args)
  if (values.help) return undefined
  const database = values.database ?? (env['DATABASE_URL'] || undefined)
  if (database !== undefined && !/^postgres(ql)?:\/\//.test(database))
    throw misuse('--database (or DATABASE_URL) takes the address of a PostgreSQL: postgresql://user:password@host/name.')
  const turnSecret = values['turn-secret'] ?? env['MANYHANDS_TURN_SECRET']
  const { stun = [], turn = [] } = values
  for (const url of stun) if (!/^stuns?:\S+$/.test(url)) throw misuse(`--stun takes a URL like stun:stun.example:3478, not '${url}'.`)
  for (const url of turn) if (!/^turns?:\S+$/.test(url)) throw misuse(`--turn takes a URL like turn:turn.example:3478, not '${url}'.`)
  if (turn.length > 0 && !turnSecret)
    throw misuse('--turn needs the secret shared with the relay: --turn-secret, or MANYHANDS_TURN_SECRET.')
  const iceServers = turn.length > 0 && turnSecret ? { turn: { urls: turn, secret: turnSecret, ttlSeconds: turnSeconds } } : {}
  return {
    data: resolve(values.data),
    port: wholeNumber('--port', values.port, 0, 65_535),
    host: values.host,
    stages: values.stages === 'auto' ? 'auto' : wholeNumber('--stages', values.stages, 1, maxStages),
    ice: { stun, ...iceServers },
    anchors: values.anchors === undefined ? new Set() : await readAnchors(values.anchors),
    trustProxy: values['trust-proxy'],
    newKey: values['new-key'],
    ...(database === undefined ? {} : { database }),
    ...(values.url === undefined ? {} : { url: origin(values.url) }),
    ...(values.site === undefined ? {} : { site: resolve(values.site) }),
  }
}

function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        data: { type: 'string', default: '.manyhands' },
        database: { type: 'string' },
        url: { type: 'string' },
        port: { type: 'string', default: String(defaultOptions.port) },
        host: { type: 'string', default: defaultOptions.host },
        stages: { type: 'string', default: 'auto' },
        site: { type: 'string' },
        stun: { type: 'string', multiple: true },
        turn: { type: 'string', multiple: true },
        'turn-secret': { type: 'string' },
        anchors: { type: 'string' },
        'trust-proxy': { type: 'boolean', default: false },
        'new-key': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    return values
  } catch (thrown) {
    throw misuse(thrown instanceof Error ? thrown.message : String(thrown))
  }
}

/** Without a path: files and sockets have their own below it. */
function origin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '')
    throw misuse(`--url takes an address like https://hands.example, not '${text}'.`)
  return url.origin
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most)) throw misuse(`${name} takes a whole number from ${least} to ${most}, not '${text}'.`)
  return value
}

/** Empty lines and what follows a # don't count. */
async function readAnchors(file: string): Promise<ReadonlySet<PeerId>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw misuse(`--anchors: ${file} can't be read (${cause instanceof Error ? cause.message : String(cause)}).`)
  })
  if (text.length > maxAnchorsBytes) throw misuse(`--anchors: ${file} is too large.`)
  const anchors = new Set<PeerId>()
  for (const [i, line] of text.split('\n').entries()) {
    const id = line.replace(/#.*/, '').trim()
    if (id === '') continue
    if (!isPeerId(id)) throw misuse(`--anchors: line ${i + 1} of ${file} is no peer id (64 hexadecimal digits).`)
    anchors.add(id)
  }
  return anchors
}

const misuse = (sentence: string) => new ManyhandsError('bad-input', sentence)
