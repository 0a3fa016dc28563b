/**
 * The bus of several processes: PostgreSQL's NOTIFY, many messages in one. A connection that listens is dialled again when it
 * breaks; what was said meanwhile is lost, and whoever listens is told so.
 */
import pg from 'pg'
import { checkBusBytes, type Bus } from './bus.ts'

/** PostgreSQL takes payloads under 8,000 bytes. */
const maxPayloadChars = 7_900
/** What is said within this goes together: a hint may be as late. */
const gatherMs = 5
/** Hints that wait for a database that is away; past it the oldest are dropped. */
const maxWaiting = 1_000
/** Each costs a round trip; a burst of a thousand small messages takes a few. */
const maxPayloadsAtOnce = 64
const firstPauseMs = 100
const longestPauseMs = 2_000
/** A connection that broke without a word is found out by then. */
const heartbeatMs = 5_000
const answerMs = 5_000

interface Waiting {
  readonly channel: string
  readonly text: string
  readonly sent: () => void
}

export class PostgresBus implements Bus {
  readonly #pool: pg.Pool
  readonly #connectionString: string
  readonly #channels: readonly string[]
  readonly #listeners = new Set<(bytes: Uint8Array) => void>()
  readonly #gapListeners = new Set<() => void>()
  #waiting: Waiting[] = []
  #gathering: NodeJS.Timeout | undefined
  #client: pg.Client | undefined
  #redial: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #pauseMs = firstPauseMs
  #closed = false

  /** Listening from the start. @throws what the connection throws */
  static async open(pool: pg.Pool, connectionString: string, name: string): Promise<PostgresBus> {
    const bus = new PostgresBus(pool, connectionString, name)
    await bus.#listen()
    return bus
  }

  private constructor(pool: pg.Pool, connectionString: string, name: string) {
    this.#pool = pool
    this.#connectionString = connectionString
    this.#channels = [channelOf(name), channelOf('all')]
  }

  async send(process: string, bytes: Uint8Array): Promise<void> {
    checkBusBytes(bytes)
    if (this.#closed) return
    const text = Buffer.from(bytes).toString('base64')
    await new Promise<void>((sent) => {
      this.#waiting.push({ channel: channelOf(process), text, sent })
      if (this.#waiting.length > maxWaiting) this.#waiting.shift()?.sent()
      this.#gathering ??= setTimeout(() => void this.#flush(), gatherMs)
    })
  }

  onMessage(listener: (bytes: Uint8Array) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onGap(listener: () => void): () => void {
    this.#gapListeners.add(listener)
    return () => this.#gapListeners.delete(listener)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#flush()
    this.#closed = true
    clearTimeout(this.#redial)
    this.#listeners.clear()
    this.#gapListeners.clear()
    const client = this.#client
    this.#drop()
    await client?.end().catch(() => undefined)
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    const batch = this.#waiting
    this.#waiting = []
    const payloads: { channel: string; payload: string }[] = []
    for (const { channel, text } of batch) {
      const last = payloads.at(-1)
      // The order between channels is kept: only neighbours go together.
      if (last?.channel === channel && last.payload.length + 1 + text.length <= maxPayloadChars) last.payload += `\n${text}`
      else payloads.push({ channel, payload: text })
    }
    for (let i = 0; i < payloads.length; i += maxPayloadsAtOnce) {
      const part = payloads.slice(i, i + maxPayloadsAtOnce)
      // At most once: what can't be sent now is not sent.
      await this.#pool
        .query(
          'SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS new (channel, payload, n) ORDER BY n',
          [part.map((p) => p.channel), part.map((p) => p.payload)],
        )
        .catch(() => undefined)
    }
    for (const { sent } of batch) sent()
  }

  async #listen(): Promise<void> {
    const client = new pg.Client({ connectionString: this.#connectionString, connectionTimeoutMillis: answerMs, query_timeout: answerMs })
    this.#client = client
    // Without a listener an error would end the process.
    client.on('error', () => this.#lost(client))
    client.on('end', () => this.#lost(client))
    client.on('notification', ({ payload }) => {
      for (const text of (payload ?? '').split('\n'))
        for (const listener of this.#listeners) listener(new Uint8Array(Buffer.from(text, 'base64')))
    })
    await client.connect()
    await client.query(this.#channels.map((channel) => `LISTEN ${pg.escapeIdentifier(channel)}`).join('; '))
    this.#pauseMs = firstPauseMs
    this.#heartbeat = setInterval(() => void client.query('SELECT').catch(() => this.#lost(client)), heartbeatMs)
    this.#heartbeat.unref()
  }

  #lost(client: pg.Client): void {
    if (client !== this.#client) return
    this.#drop()
    client.end().catch(() => undefined)
    if (this.#closed) return
    this.#redial = setTimeout(() => void this.#again(), this.#pauseMs)
    this.#pauseMs = Math.min(longestPauseMs, 2 * this.#pauseMs)
  }

  async #again(): Promise<void> {
    try {
      await this.#listen()
    } catch {
      if (this.#client) this.#lost(this.#client)
      return
    }
    for (const listener of this.#gapListeners) listener()
  }

  #drop(): void {
    clearInterval(this.#heartbeat)
    this.#client = undefined
  }
}

/** Names of identifiers are 63 bytes at most. */
const channelOf = (process: string) => `manyhands_${process}`.slice(0, 63)
