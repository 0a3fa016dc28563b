/**
 * The other servers that share the database, as far as they are known here: their addresses, all keys, and how their swarms are,
 * which each tells over the bus. Hints: whoever acts on one finds out at the other server.
 */
import * as v from 'valibot'
import { fromUtf8, utf8 } from '../protocol/bytes.ts'
import type { Revision } from '../protocol/ids.ts'
import { maxServerKeys, maxServers, modelInfoSchema, type ModelInfo } from '../protocol/server-messages.ts'
import { maxBusBytes, type Bus } from './bus.ts'
import type { SwarmInfo } from './catalogue.ts'
import type { Database } from './database.ts'

const { revision, availability, volunteers, stages } = modelInfoSchema.entries
const wordSchema = v.variant('t', [
  v.strictObject({
    t: v.literal('swarms'),
    url: v.string(),
    swarms: v.array(v.strictObject({ revision, availability, volunteers, stages })),
  }),
  /** Somebody's key has changed, or a server has come. */
  v.strictObject({ t: v.literal('keys') }),
  /** The library has changed. */
  v.strictObject({ t: v.literal('models') }),
  /** A project has. */
  v.strictObject({ t: v.literal('projects') }),
])
type Word = v.InferOutput<typeof wordSchema>

/** How a swarm of another server's is. */
export interface FellowSwarm extends SwarmInfo {
  readonly url: string
}

export interface FellowsPorts {
  readonly database: Database
  readonly url: string
  /** Public keys of this server, the present one first. */
  readonly keys: readonly string[]
  /** The swarms of this server. */
  swarms(): readonly ModelInfo[]
  /** The library of models may have changed. */
  libraryChanged(): void
  /** A project may have changed. */
  projectsChanged(): void
  /** Servers came or went. */
  serversChanged(): void
}

/** Between two reports of one's swarms; the catalogue of the others is as old as that. */
const tellMs = 2_000
/** What nobody has repeated for so long is not so any more. */
const staleMs = 3 * tellMs
const lookMs = 1_000
const keysMs = 10_000
const envelopeBytes = 400

export class Fellows {
  readonly #ports: FellowsPorts
  readonly #bus: Bus
  readonly #swarms = new Map<Revision, FellowSwarm & { readonly until: number }>()
  readonly #timers: NodeJS.Timeout[] = []
  #servers: readonly string[] = []
  #keys: readonly string[]

  constructor(ports: FellowsPorts) {
    this.#ports = ports
    this.#bus = ports.database.bus
    this.#keys = ports.keys
  }

  /** Addresses of all servers that are up. */
  get servers(): readonly string[] {
    return this.#servers
  }

  /** Public keys whose signatures are good for all of them: this server's present one first. */
  get keys(): readonly string[] {
    return this.#keys
  }

  /** Resolves when all are known that are up now. */
  async start(): Promise<void> {
    this.#bus.onMessage((bytes) => this.#hear(bytes))
    this.#bus.onGap(() => {
      void this.#readKeys()
      this.#ports.libraryChanged()
      this.#ports.projectsChanged()
    })
    await Promise.all([this.#readKeys(), this.#readServers()])
    await this.#say({ t: 'keys' })
    await this.#tell()
    this.#timers.push(
      setInterval(() => void this.#readServers(), lookMs),
      setInterval(() => void this.#readKeys(), keysMs),
      setInterval(() => void this.#tell(), tellMs),
    )
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  libraryChanged(): Promise<void> {
    return this.#say({ t: 'models' })
  }

  projectsChanged(): Promise<void> {
    return this.#say({ t: 'projects' })
  }

  /** Undefined when no other server has said anything of it lately. */
  swarm(revision: Revision): FellowSwarm | undefined {
    const swarm = this.#swarms.get(revision)
    return swarm && swarm.until > performance.now() ? swarm : undefined
  }

  /** Of these models the swarm elsewhere that needs a volunteer most. */
  neediest(models: readonly Revision[]): FellowSwarm | undefined {
    const need = (swarm: FellowSwarm) => (swarm.availability === 'unavailable' ? -1 : swarm.volunteers)
    return models.flatMap((revision) => this.swarm(revision) ?? []).sort((a, b) => need(a) - need(b))[0]
  }

  #hear(bytes: Uint8Array): void {
    const word = parse(bytes)
    if (word?.t === 'keys') {
      void this.#readKeys()
      // It may be a newcomer, who knows nothing yet.
      void this.#tell()
    }
    if (word?.t === 'models') this.#ports.libraryChanged()
    if (word?.t === 'projects') this.#ports.projectsChanged()
    if (word?.t !== 'swarms' || word.url === this.#ports.url) return
    const until = performance.now() + staleMs
    for (const { revision, ...swarm } of word.swarms) this.#swarms.set(revision, { ...swarm, url: word.url, until })
  }

  /** As many messages as it takes. */
  async #tell(): Promise<void> {
    const now = performance.now()
    for (const [revision, { until }] of this.#swarms) if (until < now) this.#swarms.delete(revision)
    let part: ModelInfo[] = []
    let size = envelopeBytes
    const send = async () => {
      const swarms = part.map(({ revision, availability, volunteers, stages }) => ({ revision, availability, volunteers, stages }))
      part = []
      size = envelopeBytes
      await this.#say({ t: 'swarms', url: this.#ports.url, swarms })
    }
    for (const swarm of this.#ports.swarms()) {
      const { length } = JSON.stringify([swarm.revision, swarm.availability, swarm.stages])
      if (size + length + envelopeBytes / 4 > maxBusBytes) await send()
      part.push(swarm)
      size += length + envelopeBytes / 4
    }
    if (part.length > 0) await send()
  }

  async #readServers(): Promise<void> {
    // Out of reach, the last ones known are as good as any.
    const servers = await this.#ports.database.ownership.servers().catch(() => this.#servers)
    const before = this.#servers
    this.#servers = servers.slice(0, maxServers)
    if (before.join() !== this.#servers.join()) this.#ports.serversChanged()
  }

  async #readKeys(): Promise<void> {
    const all = await this.#ports.database.serverKeys(this.#ports.keys).catch(() => this.#keys)
    this.#keys = [...new Set([...this.#ports.keys.slice(0, 1), ...all, ...this.#ports.keys])].slice(0, maxServerKeys)
  }

  #say(word: Word): Promise<void> {
    return this.#bus.send('all', utf8(JSON.stringify(word)))
  }
}

function parse(bytes: Uint8Array): Word | undefined {
  try {
    const parsed = v.safeParse(wordSchema, JSON.parse(fromUtf8(bytes)))
    // A server of another version says other things.
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}
