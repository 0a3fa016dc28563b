/**
 * A requester's place in the network: one control socket, the peers it has met, and the requests under way. `generate`, `run`,
 * `map` and `embed` are written on top, in generation.ts, run.ts, map.ts and embed.ts.
 */
import { rtcChannel } from '../../link/channel.ts'
import { LinkTable } from '../../link/link-table.ts'
import type { Fingerprints, LinkTerms } from '../../link/peer-link.ts'
import type { ChatTokenizer } from '../../models/chat.ts'
import type { EncoderTokenizer } from '../../models/encoder-tokenizer.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { asError, fromWire, ManyhandsError } from '../../protocol/errors.ts'
import type { Revision, SessionId } from '../../protocol/ids.ts'
import { createIdentity, type Identity } from '../../protocol/keys.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { isProjectKey } from '../../protocol/projects.ts'
import { receiptFile, type ReceiptFileJson } from '../../protocol/receipt-file.ts'
import { checkReceipt, type Receipt } from '../../protocol/receipt.ts'
import { maxServerKeys, type ModelInfo, type ServerMessage } from '../../protocol/server-messages.ts'
import type { Step } from '../../protocol/frames.ts'
import { checkTicket, type Ticket } from '../../protocol/ticket.ts'
import type { Welcome } from '../network/control-socket.ts'
import { discover, fetchBlob, fetchEvidence, fetchManifest, fetchReceipts, type ServerInfo } from '../network/discovery.ts'
import { findModel } from '../network/find-model.ts'
import type {
  CallOptions,
  ConnectOptions,
  Embedded,
  EmbedOptions,
  GenerateOptions,
  Generation,
  Message,
  Network,
  NetworkState,
  RunOptions,
  RunResult,
} from '../types.ts'
import type { Feeds, MapItem, MapOptions, Mapping, OnMapError } from '../map-types.ts'
import { abortable } from './abortable.ts'
import { Asking, type AskingPorts } from './asking.ts'
import { Generating } from './generation.ts'
import { mapModel, RunMapping } from './map.ts'
import type { Asker, Seat } from './seat.ts'
import { Seats } from './seats.ts'
import { NewsDesk, type SessionNews } from './session-news.ts'
import type { OnStep, SessionSource, SessionTerms, Told } from './session-source.ts'

/** Manifests and small files kept, by hash. */
const maxKept = 32

/** Times that a session under way is sent on, in all its life. */
const maxSessionMoves = 32
/** Answers that wait for their receipts; of the oldest nothing more is told. */
const maxUnsettled = 64

/** A request under way. */
interface Opened {
  readonly asking: Asking
  /** The server where it lives, and what it is called there. */
  seat: Seat
  id: number
  moves: number
  /** Whether that server has been shown the session's ticket, or has issued it. */
  shown: boolean
  /** What it has countersigned: told again after a reconnection. */
  readonly proofs: readonly Bytes[]
  readonly onProgress: CallOptions['onProgress']
}

export class RequesterNetwork extends EventTarget implements Network, SessionSource {
  readonly #identity: Identity
  readonly #seats: Seats
  readonly #links: LinkTable
  readonly #opened = new Map<SessionId, Opened>()
  /** Over, and without a receipt: a server that was away when they ended needs what was countersigned. */
  readonly #unsettled = new Map<SessionId, Opened>()
  readonly #news = new NewsDesk()
  readonly #manifests = new Map<Revision, Promise<Manifest>>()
  readonly #files = new Map<string, Promise<Uint8Array>>()
  readonly #tokenizers = new Map<string, Promise<ChatTokenizer>>()
  readonly #encoderTokenizers = new Map<string, Promise<EncoderTokenizer>>()
  readonly #closing = new AbortController()
  #serverKeys: readonly string[] = []
  #state: NetworkState = 'connecting'

  /** @throws ManyhandsError when no server of the list can be reached */
  static async connect(options: ConnectOptions): Promise<RequesterNetwork> {
    const servers = typeof options.server === 'string' ? [options.server] : options.server
    const { apiKey } = options
    if (apiKey !== undefined && !isProjectKey(apiKey))
      throw new ManyhandsError('bad-input', 'That is no project’s key: one begins with mh_ and has 46 characters.')
    const asker = { identity: options.identity ?? (await createIdentity()), ...(apiKey === undefined ? {} : { apiKey }) }
    let failure = new ManyhandsError('bad-input', 'connect needs the address of a server.')
    for (const server of servers) {
      try {
        const network = new RequesterNetwork(await discover(server, options.signal), asker)
        options.signal?.addEventListener('abort', () => void network.close(), { once: true })
        await network.#welcomed(options.signal)
        return network
      } catch (thrown) {
        failure = asError(thrown)
        if (failure.code === 'aborted') break
      }
    }
    throw failure
  }

  private constructor(info: ServerInfo, asker: Asker) {
    super()
    const { identity } = asker
    this.#identity = identity
    this.#links = new LinkTable(identity, {
      dial: (peer) => this.#seats.reaching(peer).hub.dial(peer),
      released: (id) => this.#seats.each((seat) => seat.hub.release(id)),
      step: (link, step) => this.#deliver(step.session, (asking) => asking.receive(step satisfies Step, link.remote)),
      message: (link, message) => {
        const session = 'session' in message ? message.session : message.t === 'open' ? message.ticket.session : undefined
        if (session !== undefined) this.#deliver(session, (asking) => asking.message(message, link.remote, link))
      },
      custody: (link, signedChunk) => {
        const { session } = decodeChunk(signedChunk.subarray(0, chunkBytes))
        this.#deliver(session, (asking) => asking.custody(signedChunk, link.remote))
      },
      closed: (peer, reason, link) => {
        for (const { asking } of this.#opened.values()) if (asking.host.peer === peer) asking.linkLost(reason, link)
      },
    })
    const hub = {
      connection: (id: number, channel: RTCDataChannel, terms: LinkTerms) => this.#links.add(id, rtcChannel(channel), terms),
      fingerprints: (id: number, fingerprints: Fingerprints) => this.#links.bind(id, fingerprints),
      gone: (id: number) => this.#links.close(id, new ManyhandsError('peer-lost', 'The connection to a peer closed.')),
    }
    this.#seats = new Seats(info, asker, hub, {
      welcomed: (seat, welcome, anew) => this.#welcome(seat, welcome, anew),
      message: (seat, message) => this.#message(seat, message),
      lost: (seat) => {
        if (seat === this.#seats.home && this.#state !== 'connecting') this.#setState('degraded')
      },
      left: (seat) => {
        for (const opened of this.#opened.values()) if (opened.seat === seat) this.#moveTo(this.#seats.home, opened)
      },
    })
  }

  /** Loaded when it is first used: most pages ask without it. A value, and not a method, because clients call it alone. */
  readonly fetch: typeof globalThis.fetch = async (input, init) => (await import('../openai/fetch.ts')).openaiFetch(this, input, init)

  get state(): NetworkState {
    return this.#state
  }

  async models(signal?: AbortSignal): Promise<readonly ModelInfo[]> {
    const { reply } = await this.#seats.home.socket.request((id) => ({ t: 'models', id }), 'models', { signal })
    return reply.models
  }

  generate(model: string, input: string | readonly Message[], options: GenerateOptions = {}): Generation {
    const question = import('./question.ts').then(({ prepare }) => prepare(this, model, input, options))
    return new Generating(this, question, options)
  }

  async run(model: string, feeds: Feeds, options: RunOptions = {}): Promise<RunResult> {
    // With onnxruntime's tensors, which who only chats does not load. So below.
    const { runFeeds, runnable } = await import('./run.ts')
    return runFeeds(this, await runnable(this, model, options.signal), feeds, options)
  }

  map<I = Feeds, E extends OnMapError = 'throw'>(
    model: string,
    inputs: Iterable<I> | AsyncIterable<I>,
    options: MapOptions<I, E> = {},
  ): Mapping<MapItem<I, E>> {
    return new RunMapping(() => mapModel(this, model, options.signal), inputs, options)
  }

  async embed(model: string, values: readonly string[], options: EmbedOptions = {}): Promise<Embedded> {
    const { embed } = await import('./embed.ts')
    return embed(this, model, values, options)
  }

  async file(model: string, name: string): Promise<Uint8Array> {
    const manifest = await this.manifest(model)
    const ref = manifest.files?.[name]
    if (!ref) throw new ManyhandsError('not-found', `${manifest.name} has no file '${name}'.`)
    return this.blob(ref)
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    const reason = new ManyhandsError('closed', 'The connection was closed.')
    this.#setState('closed')
    this.#closing.abort()
    for (const { asking } of this.#opened.values()) asking.fail(reason)
    this.#news.close(reason)
    this.#links.closeAll(reason)
    this.#seats.close(reason)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ---- For generation.ts and run.ts --------------------------------------------------------------------------------

  /** By name or revision. @throws ManyhandsError unknown-model */
  async manifest(model: string, signal?: AbortSignal): Promise<Manifest> {
    const revision = await this.revision(model, signal)
    return keep(this.#manifests, revision, () => fetchManifest(this.#seats.home.info, revision, this.#closing.signal))
  }

  async revision(model: string, signal?: AbortSignal): Promise<Revision> {
    return findModel(await this.models(signal), model)
  }

  /** Made once: reading a vocabulary takes as long as many a token. */
  tokenizer({ json, config }: NonNullable<Manifest['tokenizer']>): Promise<ChatTokenizer> {
    return keep(this.#tokenizers, json.hash + config.hash, async () => {
      // As large as all the rest of this, and only for models of text: comes with the first of them.
      const { createTokenizer } = await import('../../models/chat.ts')
      return createTokenizer(await this.blob(json), await this.blob(config))
    })
  }

  /** Made once, and its code fetched when it is first wanted. */
  encoderTokenizer({ json, config }: NonNullable<Manifest['tokenizer']>): Promise<EncoderTokenizer> {
    return keep(this.#encoderTokenizers, json.hash + config.hash, async () => {
      const { createEncoderTokenizer } = await import('../../models/encoder-tokenizer.ts')
      return createEncoderTokenizer(await this.blob(json), await this.blob(config))
    })
  }

  blob(ref: { hash: Manifest['graph']['hash']; bytes: number }): Promise<Uint8Array> {
    return keep(this.#files, ref.hash, () => fetchBlob(this.#seats.home.info, ref, this.#closing.signal))
  }

  /**
   * A routed session, ready to start; it connects to its last stage meanwhile.
   * @throws ManyhandsError no-volunteers, busy, context-overflow, peer-lost, aborted …
   */
  async open({ tensors, ...terms }: SessionTerms, onStep: OnStep, options: CallOptions): Promise<{ asking: Asking; news: SessionNews }> {
    const { seat, id, reply } = await this.#seats.route(terms, options)
    options.onProgress?.({ phase: 'connecting' })
    const ticket = await checkTicket(reply.ticket, this.#serverKeys, Date.now())
    const { session } = ticket
    const forget = () => {
      const opened = this.#opened.get(session)
      ;(opened?.seat ?? seat).socket.send({ t: 'close', id: opened?.id ?? id })
      this.#opened.delete(session)
      if (opened) this.#unsettled.set(session, opened)
      if (this.#unsettled.size > maxUnsettled) this.#unsettled.delete(this.#unsettled.keys().next().value as SessionId)
    }
    try {
      if (ticket.revision !== terms.revision || ticket.requester.peer !== this.#identity.id)
        throw new ManyhandsError('bad-ticket', 'The server routed another request than this one.')
      const proofs: Bytes[] = []
      const check = async (newer: unknown) => {
        const checked = await checkTicket(newer, this.#serverKeys, Date.now())
        this.#seats.keep(checked, this.#seats.of(session))
        return checked
      }
      const ports: AskingPorts = {
        identity: this.#identity,
        link: (peer) => this.#links.to(peer),
        check,
        proof: (proof) => {
          proofs.push(proof)
          this.#opened.get(session)?.seat.socket.sendBinary(proof)
        },
        fault: (peer, error) => this.#seats.of(session).socket.send({ t: 'fault', session, peer, error: error.toWire() }),
      }
      this.#seats.keep(ticket, seat)
      const asking = new Asking(ticket, tensors.feeds, tensors.answer, ports, { step: onStep })
      this.#opened.set(session, { asking, seat, id, moves: 0, shown: true, proofs, onProgress: options.onProgress })
      const onAbort = () => asking.fail(new ManyhandsError('aborted', 'Stopped.'))
      options.signal?.addEventListener('abort', onAbort, { once: true })
      void asking.ended
        .catch(() => undefined)
        .finally(() => {
          options.signal?.removeEventListener('abort', onAbort)
          forget()
        })
      return { asking, news: this.#news.follow(session, asking.ended) }
    } catch (thrown) {
      forget()
      throw thrown
    }
  }

  dispute(sessions: readonly SessionId[]): void {
    const [first] = sessions
    this.#seats.of(first).socket.send({ t: 'dispute', sessions: [...sessions] })
  }

  async record(receipt: Receipt, told: Told): Promise<ReceiptFileJson> {
    const [receipts, evidence] = await Promise.all([
      fetchReceipts(this.#seats.home.info, receipt.request, this.#closing.signal),
      fetchEvidence(this.#seats.home.info, receipt.session, this.#closing.signal),
    ])
    return receiptFile({ server: this.#seats.home.info.base.href, receipts, evidence, ...told })
  }

  // ------------------------------------------------------------------------------------------------------------------

  async #welcomed(signal: AbortSignal | undefined): Promise<void> {
    try {
      await abortable(this.#seats.home.ready, signal)
    } catch (thrown) {
      await this.close()
      throw thrown
    }
  }

  #welcome(seat: Seat, { serverKeys }: Welcome, anew: boolean): void {
    const { serverKey } = seat.info
    const told = serverKeys.includes(serverKey) ? serverKeys : [serverKey]
    this.#serverKeys = [...new Set([...told, ...this.#serverKeys])].slice(0, maxServerKeys)
    if (seat === this.#seats.home) this.#setState('ready')
    // Back after a while: everybody is told where to go on.
    for (const opened of this.#opened.values()) {
      if (opened.seat !== seat) continue
      if (anew) opened.shown = false
      this.#reopen(opened)
    }
    for (const opened of this.#unsettled.values()) if (opened.seat === seat) this.#tellProofs(opened, anew)
  }

  /** A server that was started anew, or is another one, is told what is under way. */
  #reopen(opened: Opened): void {
    const { seat, id, asking } = opened
    this.#tellProofs(opened, !opened.shown)
    seat.socket.send({ t: 'reopen', id, session: asking.ticket.session })
  }

  /** @param anew whether the server knows nothing of the session */
  #tellProofs(opened: Opened, anew: boolean): void {
    const { seat, asking, proofs } = opened
    if (anew) opened.shown = seat.socket.send({ t: 'adopt', ticket: asking.ticket })
    // A server takes a proof that it has for nothing.
    for (const proof of proofs) seat.socket.sendBinary(proof)
  }

  /** A swarm is another server's now, with its sessions. */
  async #follow(from: Seat, { revision, url }: Extract<ServerMessage, { t: 'moved' }>): Promise<void> {
    const moving = [...this.#opened.values()].filter((o) => o.seat === from && o.asking.ticket.revision === revision)
    if (moving.length === 0) return
    const { seat } = await this.#seats.follow(url, this.#closing.signal)
    for (const opened of moving) if (opened.seat === from) this.#moveTo(seat, opened)
  }

  #moveTo(seat: Seat, opened: Opened): void {
    const { asking } = opened
    if (!this.#opened.has(asking.ticket.session)) return
    opened.moves += 1
    if (opened.moves > maxSessionMoves)
      return asking.fail(new ManyhandsError('unavailable', 'No server has this answer’s volunteers for long. Ask again.'))
    opened.seat = seat
    opened.id = seat.socket.newId()
    this.#seats.keep(asking.ticket, seat)
    // While it is down, its next welcome does this.
    opened.shown = false
    this.#reopen(opened)
  }

  #byId(seat: Seat, id: number | undefined): Opened | undefined {
    if (id === undefined) return undefined
    for (const opened of this.#opened.values()) if (opened.seat === seat && opened.id === id) return opened
    return undefined
  }

  #message(seat: Seat, message: ServerMessage): void {
    if (message.t === 'route') this.#rerouted(this.#byId(seat, message.id), message.ticket)
    if (message.t === 'session') void this.#opened.get(message.ticket.session)?.asking.rerouted(message.ticket)
    if (message.t === 'receipt') void this.#takeReceipt(message.receipt)
    if (message.t === 'error') this.#byId(seat, message.id)?.asking.fail(fromWire(message.error))
    if (message.t === 'wrong') this.#news.wrong(message.session, message.reason)
    if (message.t === 'waiting') this.#byId(seat, message.id)?.onProgress?.({ phase: 'waiting', reason: message.reason })
    // Rejects when this network is closed meanwhile.
    if (message.t === 'moved') void this.#follow(seat, message).catch(() => undefined)
    if (message.t !== 'session-closed') return
    this.#unsettled.delete(message.session)
    const opened = this.#opened.get(message.session)
    // From the server where it lives now.
    if (opened?.seat === seat) opened.asking.fail(new ManyhandsError('peer-lost', 'The session was closed.'))
  }

  #rerouted(opened: Opened | undefined, ticket: Ticket): void {
    if (!opened) return
    const changed = ticket.stages.some(({ peer }, i) => peer !== opened.asking.ticket.stages[i]?.peer)
    opened.onProgress?.({
      phase: 'waiting',
      reason: changed ? 'A volunteer left; another one takes over.' : 'The answer goes on where it stood.',
    })
    void opened.asking.rerouted(ticket)
  }

  async #takeReceipt(receipt: Receipt): Promise<void> {
    if (!this.#serverKeys.includes(receipt.serverKey) || !(await checkReceipt(receipt))) return
    this.#unsettled.delete(receipt.session)
    this.#news.receipt(receipt)
  }

  #deliver(session: SessionId, use: (asking: Asking) => void): void {
    const asking = this.#opened.get(session)?.asking
    if (!asking) return
    try {
      use(asking)
    } catch (thrown) {
      asking.blame(asError(thrown))
    }
  }

  #setState(state: NetworkState): void {
    if (this.#state === state || this.#state === 'closed') return
    this.#state = state
    this.dispatchEvent(new Event('state'))
  }
}

/** What was fetched before, or the fetch; failures are not kept, the oldest goes. */
function keep<K, T>(cache: Map<K, Promise<T>>, key: K, make: () => Promise<T>): Promise<T> {
  const known = cache.get(key)
  if (known) return known
  const made = make()
  cache.set(key, made)
  made.catch(() => cache.delete(key))
  if (cache.size > maxKept) cache.delete(cache.keys().next().value as K)
  return made
}
