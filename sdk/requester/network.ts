/**
 * A requester's place in the network: one control socket, the peers it has met, and the requests under way. `generate` and
 * `run` are written on top, in generation.ts and run.ts.
 */
import { rtcChannel } from '../../link/channel.ts'
import { deferred } from '../../link/deferred.ts'
import { LinkTable } from '../../link/link-table.ts'
import { createTokenizer, type ChatTokenizer } from '../../models/chat.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { asError, fromWire, ManyhandsError } from '../../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../../protocol/ids.ts'
import { createIdentity, type Identity } from '../../protocol/keys.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { receiptFile, type ReceiptFileJson } from '../../protocol/receipt-file.ts'
import { checkReceipt, type Receipt } from '../../protocol/receipt.ts'
import type { ModelInfo, ServerMessage } from '../../protocol/server-messages.ts'
import type { Step } from '../../protocol/frames.ts'
import { checkTicket } from '../../protocol/ticket.ts'
import { ControlSocket, type Welcome } from '../network/control-socket.ts'
import { discover, fetchBlob, fetchEvidence, fetchManifest, fetchReceipts, type ServerInfo } from '../network/discovery.ts'
import { findModel } from '../network/find-model.ts'
import { PeerHub } from '../network/peer-hub.ts'
import type {
  CallOptions,
  ConnectOptions,
  GenerateOptions,
  Generation,
  Message,
  Network,
  NetworkState,
  RunOptions,
  RunResult,
} from '../types.ts'
import type { Tensor } from 'onnxruntime-common'
import { Asking, type AskingPorts } from './asking.ts'
import { Generating } from './generation.ts'
import { prepare } from './question.ts'
import { runModel } from './run.ts'
import { NewsDesk, type SessionNews } from './session-news.ts'
import type { SessionSource, SessionTerms, Told } from './session-source.ts'

/** Manifests and small files kept, by hash. */
const maxKept = 32

/** A request under way, by its `open`. */
interface Opened {
  readonly asking: Asking
  /** What it has countersigned: told again after a reconnection. */
  readonly proofs: readonly Bytes[]
  readonly onProgress: CallOptions['onProgress']
}

export class RequesterNetwork extends EventTarget implements Network, SessionSource {
  readonly #info: ServerInfo
  readonly #identity: Identity
  readonly #socket: ControlSocket
  readonly #hub: PeerHub
  readonly #links: LinkTable
  readonly #askings = new Map<SessionId, Asking>()
  readonly #byOpenId = new Map<number, Opened>()
  readonly #news = new NewsDesk()
  readonly #manifests = new Map<Revision, Promise<Manifest>>()
  readonly #files = new Map<string, Promise<Uint8Array>>()
  readonly #tokenizers = new Map<string, Promise<ChatTokenizer>>()
  readonly #firstWelcome = deferred<void>()
  readonly #closing = new AbortController()
  #serverKeys: readonly string[] = []
  /** The server's start, as it said at the last welcome. */
  #boot: string | undefined
  #state: NetworkState = 'connecting'

  /** @throws ManyhandsError when no server of the list can be reached */
  static async connect(options: ConnectOptions): Promise<RequesterNetwork> {
    const servers = typeof options.server === 'string' ? [options.server] : options.server
    const identity = options.identity ?? (await createIdentity())
    let failure = new ManyhandsError('bad-input', 'connect needs the address of a server.')
    for (const server of servers) {
      try {
        const network = new RequesterNetwork(await discover(server, options.signal), identity)
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

  private constructor(info: ServerInfo, identity: Identity) {
    super()
    this.#info = info
    this.#identity = identity
    this.#firstWelcome.promise.catch(() => undefined)
    this.#links = new LinkTable(identity, {
      dial: (peer) => this.#hub.dial(peer),
      released: (id) => this.#hub.release(id),
      step: (link, step) => this.#deliver(step.session, (asking) => asking.receive(step satisfies Step, link.remote)),
      message: (link, message) => {
        const session = 'session' in message ? message.session : message.t === 'open' ? message.ticket.session : undefined
        if (session !== undefined) this.#deliver(session, (asking) => asking.message(message, link.remote, link))
      },
      custody: (link, signedChunk) => {
        const { session } = decodeChunk(signedChunk.subarray(0, chunkBytes))
        this.#deliver(session, (asking) => asking.custody(signedChunk, link.remote))
      },
      closed: (peer, reason) => {
        for (const asking of this.#askings.values()) if (asking.host.peer === peer) asking.linkLost(reason)
      },
    })
    this.#hub = new PeerHub(info, false, {
      connection: (id, channel, terms) => this.#links.add(id, rtcChannel(channel), terms),
      fingerprints: (id, fingerprints) => this.#links.bind(id, fingerprints),
      gone: (id) => this.#links.close(id, new ManyhandsError('peer-lost', 'The connection to a peer closed.')),
    })
    this.#socket = new ControlSocket(info, identity, {
      welcomed: (welcome) => this.#welcome(welcome),
      message: (message) => this.#message(message),
      lost: (reason) => {
        if (this.#state === 'connecting') this.#firstWelcome.reject(reason)
        else this.#setState('degraded')
      },
    })
  }

  get state(): NetworkState {
    return this.#state
  }

  async models(signal?: AbortSignal): Promise<readonly ModelInfo[]> {
    const { reply } = await this.#socket.request((id) => ({ t: 'models', id }), 'models', { signal })
    return reply.models
  }

  generate(model: string, input: string | readonly Message[], options: GenerateOptions = {}): Generation {
    return new Generating(this, prepare(this, model, input, options), options)
  }

  run(model: string, feeds: Readonly<Record<string, Tensor>>, options: RunOptions = {}): Promise<RunResult> {
    return runModel(this, model, feeds, options)
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
    this.#firstWelcome.reject(reason)
    for (const asking of this.#askings.values()) asking.fail(reason)
    this.#news.close(reason)
    this.#links.closeAll(reason)
    this.#hub.close()
    this.#socket.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ---- For generation.ts and run.ts --------------------------------------------------------------------------------

  /** By name or revision. @throws ManyhandsError unknown-model */
  async manifest(model: string, signal?: AbortSignal): Promise<Manifest> {
    const revision = await this.revision(model, signal)
    return keep(this.#manifests, revision, () => fetchManifest(this.#info, revision, this.#closing.signal))
  }

  async revision(model: string, signal?: AbortSignal): Promise<Revision> {
    return findModel(await this.models(signal), model)
  }

  /** Made once: reading a vocabulary takes as long as many a token. */
  tokenizer({ json, config }: NonNullable<Manifest['tokenizer']>): Promise<ChatTokenizer> {
    return keep(this.#tokenizers, json.hash + config.hash, async () => createTokenizer(await this.blob(json), await this.blob(config)))
  }

  blob(ref: { hash: Manifest['graph']['hash']; bytes: number }): Promise<Uint8Array> {
    return keep(this.#files, ref.hash, () => fetchBlob(this.#info, ref, this.#closing.signal))
  }

  /**
   * A routed session, ready to start; it connects to its last stage meanwhile.
   * @throws ManyhandsError no-volunteers, busy, context-overflow, peer-lost, aborted …
   */
  async open(
    { tensors, ...terms }: SessionTerms,
    onStep: (step: Step) => void,
    options: CallOptions,
  ): Promise<{ asking: Asking; news: SessionNews }> {
    const { id, reply } = await this.#socket.request((id) => ({ t: 'open', id, ...terms }), 'route', {
      signal: options.signal,
      interim: (message) => message.t === 'queued' && options.onProgress?.({ phase: 'queued', ahead: message.ahead }),
    })
    options.onProgress?.({ phase: 'connecting' })
    const ticket = await checkTicket(reply.ticket, this.#serverKeys, Date.now())
    const forget = () => {
      this.#socket.send({ t: 'close', id })
      this.#askings.delete(ticket.session)
      this.#byOpenId.delete(id)
    }
    try {
      if (ticket.revision !== terms.revision || ticket.requester.peer !== this.#identity.id)
        throw new ManyhandsError('bad-ticket', 'The server routed another request than this one.')
      const proofs: Bytes[] = []
      const ports: AskingPorts = {
        identity: this.#identity,
        link: (peer) => this.#links.to(peer),
        check: (newer) => checkTicket(newer, this.#serverKeys, Date.now()),
        proof: (proof) => {
          proofs.push(proof)
          this.#socket.sendBinary(proof)
        },
        fault: (peer, error) => this.fault(ticket.session, peer, error),
      }
      const asking = new Asking(ticket, tensors.feeds, tensors.answer, ports, { step: onStep })
      this.#askings.set(ticket.session, asking)
      this.#byOpenId.set(id, { asking, proofs, onProgress: options.onProgress })
      const onAbort = () => asking.fail(new ManyhandsError('aborted', 'Stopped.'))
      options.signal?.addEventListener('abort', onAbort, { once: true })
      void asking.ended
        .catch(() => undefined)
        .finally(() => {
          options.signal?.removeEventListener('abort', onAbort)
          forget()
        })
      return { asking, news: this.#news.follow(ticket.session, asking.ended) }
    } catch (thrown) {
      forget()
      throw thrown
    }
  }

  dispute(sessions: readonly SessionId[]): void {
    this.#socket.send({ t: 'dispute', sessions: [...sessions] })
  }

  fault(session: SessionId, peer: PeerId, error: ManyhandsError): void {
    this.#socket.send({ t: 'fault', session, peer, error: error.toWire() })
  }

  async record(receipt: Receipt, told: Told): Promise<ReceiptFileJson> {
    const [receipts, evidence] = await Promise.all([
      fetchReceipts(this.#info, receipt.request, this.#closing.signal),
      fetchEvidence(this.#info, receipt.session, this.#closing.signal),
    ])
    return receiptFile({ server: this.#info.base.href, receipts, evidence, ...told })
  }

  // ------------------------------------------------------------------------------------------------------------------

  async #welcomed(signal: AbortSignal | undefined): Promise<void> {
    try {
      await abortable(this.#firstWelcome.promise, signal)
    } catch (thrown) {
      await this.close()
      throw thrown
    }
  }

  #welcome(welcome: Welcome): void {
    this.#serverKeys = welcome.serverKeys.includes(this.#info.serverKey) ? welcome.serverKeys : [this.#info.serverKey]
    this.#setState('ready')
    this.#firstWelcome.resolve()
    void this.#hub.welcomed(welcome)
    this.#reopen(welcome.boot)
  }

  /** Back after a while: a server that was started anew is told what is under way, and everybody where to go on. */
  #reopen(boot: string): void {
    const anew = this.#boot !== undefined && this.#boot !== boot
    this.#boot = boot
    for (const [id, { asking, proofs }] of this.#byOpenId) {
      if (anew) this.#socket.send({ t: 'adopt', ticket: asking.ticket })
      // A server takes a proof that it has for nothing.
      for (const proof of proofs) this.#socket.sendBinary(proof)
      this.#socket.send({ t: 'reopen', id, session: asking.ticket.session })
    }
  }

  #message(message: ServerMessage): void {
    if (message.t === 'route') void this.#byOpenId.get(message.id)?.asking.rerouted(message.ticket)
    if (message.t === 'session') void this.#askings.get(message.ticket.session)?.rerouted(message.ticket)
    if (message.t === 'receipt') void this.#takeReceipt(message.receipt)
    if (message.t === 'error' && message.id !== undefined) this.#byOpenId.get(message.id)?.asking.fail(fromWire(message.error))
    if (message.t === 'wrong') this.#news.wrong(message.session, message.reason)
    if (message.t === 'waiting') this.#byOpenId.get(message.id)?.onProgress?.({ phase: 'waiting', reason: message.reason })
    if (message.t === 'session-closed') this.#askings.get(message.session)?.fail(new ManyhandsError('peer-lost', 'The session was closed.'))
  }

  async #takeReceipt(receipt: Receipt): Promise<void> {
    if (!this.#serverKeys.includes(receipt.serverKey) || !(await checkReceipt(receipt))) return
    this.#news.receipt(receipt)
  }

  #deliver(session: SessionId, use: (asking: Asking) => void): void {
    const asking = this.#askings.get(session)
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

/** @throws ManyhandsError aborted as soon as the signal says so */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  const aborted = deferred<never>()
  const onAbort = () => aborted.reject(new ManyhandsError('aborted', 'Stopped.'))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
