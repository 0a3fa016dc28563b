/**
 * A whole pipeline in one process: stage nodes and a requester joined by channels in memory. The engines are handed in; links,
 * custody, sessions and the requester are the shipped ones. The server is the test: it makes the tickets.
 */
import { deferred } from '../link/deferred.ts'
import { LinkTable } from '../link/link-table.ts'
import { asError, ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { unpackTensors, type TensorValue } from '../protocol/tensors.ts'
import { checkTicket, signTicket, type Ticket, type TicketStage } from '../protocol/ticket.ts'
import { Asking, type AskingPorts } from '../sdk/requester/asking.ts'
import type { OnStep } from '../sdk/requester/session-source.ts'
import { evenRuns } from '../sdk/requester/token-pipeline.ts'
import type { StageEngine } from '../worker/engine/engine.ts'
import type { StageWord } from '../worker/ring/session.ts'
import type { ShadowWord } from '../worker/ring/shadow-session.ts'
import { StageNode } from '../worker/ring/stage-node.ts'
import { feedSpecs, packTokens, readTokens } from '../worker/ring/step-tensors.ts'
import { channelPair, type MemoryChannel } from './channel-pair.ts'
import { makeTicket, type TicketOptions } from './tickets.ts'

/** Greedy where nothing is said; null without a decoder. */
type RingTicketOptions = Omit<TicketOptions, 'sampling'> & { readonly sampling?: TicketOptions['sampling'] | null }

interface Party {
  readonly identity: Identity
  add(id: number, channel: MemoryChannel, role: 'dialer' | 'acceptor', remote: PeerId, nonce: string): void
}

export class Ring {
  readonly server: Identity
  readonly requester: Identity
  readonly identities: Identity[] = []
  readonly nodes: StageNode[] = []
  readonly proofs: Uint8Array[] = []
  readonly told: (StageWord | ShadowWord)[] = []
  /** Who told it, in the same order. */
  readonly tellers: PeerId[] = []
  /** What the requester told of its last stages. */
  readonly blamed: PeerId[] = []
  /** Every channel made, by its two ends' ids; a later one between the same takes the place. */
  readonly channels = new Map<string, MemoryChannel>()
  /** Called when a peer says that it has lost another. */
  onLost: (by: PeerId, lost: PeerId) => void = () => undefined
  /** Called for every channel made, with each of its ends. */
  onChannel: (from: PeerId, to: PeerId, channel: MemoryChannel) => void = () => undefined
  /** Called for everything that is sent on any channel. */
  onSent: () => void = () => undefined
  readonly #revision: Revision
  readonly #parties = new Map<PeerId, Party>()
  readonly #dead = new Set<PeerId>()
  readonly #links: LinkTable
  readonly #askings = new Map<string, Asking>()
  readonly #tickets = new Map<SessionId, Ticket>()
  #nextChannel = 1
  readonly #toldWaiters: (() => void)[] = []

  static async start(engines: readonly StageEngine[], revision: Revision): Promise<Ring> {
    const [server, requester] = await Promise.all([createIdentity(), createIdentity()])
    const ring = new Ring(server, requester, revision)
    for (const engine of engines) await ring.join(engine)
    return ring
  }

  private constructor(server: Identity, requester: Identity, revision: Revision) {
    this.server = server
    this.requester = requester
    this.#revision = revision
    const asking = (session: string, use: (asking: Asking) => void) => {
      const found = this.#askings.get(session)
      if (!found) return
      try {
        use(found)
      } catch (thrown) {
        found.blame(asError(thrown))
      }
    }
    this.#links = new LinkTable(requester, {
      dial: (peer) => this.#dial(requester.id, peer),
      released: () => undefined,
      step: (link, step) => asking(step.session, (a) => a.receive(step, link.remote)),
      message: (link, message) => {
        const session = 'session' in message ? message.session : message.t === 'open' ? message.ticket.session : ''
        asking(session, (a) => a.message(message, link.remote, link))
      },
      custody: (link, chunk) => asking(Buffer.from(chunk.subarray(0, 16)).toString('hex'), (a) => a.custody(chunk, link.remote)),
      closed: (peer, reason, link) => {
        for (const a of this.#askings.values()) if (a.host.peer === peer) a.linkLost(reason, link)
      },
    })
    this.#enter(requester, this.#links)
  }

  /** Another volunteer, ready to serve its engine's blocks: its place among `nodes` and `identities`. */
  async join(engine: StageEngine): Promise<number> {
    const identity = await createIdentity()
    const node = new StageNode(identity, this.#revision, [this.server.publicKey], engine, {
      dial: (peer) => this.#dial(identity.id, peer),
      released: () => undefined,
      opened: () => undefined,
      proof: (proof) => void this.proofs.push(proof),
      tellServer: (message) => {
        if (this.#dead.has(identity.id)) return
        this.told.push(message)
        this.tellers.push(identity.id)
        if (message.t === 'fault' && message.peer !== undefined) this.onLost(identity.id, message.peer)
        for (const wake of this.#toldWaiters.splice(0)) wake()
      },
      changed: () => undefined,
    })
    this.#enter(identity, node.links)
    this.identities.push(identity)
    return this.nodes.push(node) - 1
  }

  /** By those volunteers, in order, that joined at the start, or by `stages`. */
  async ticket(boundaries: readonly number[], options: RingTicketOptions = {}, stages?: readonly number[]): Promise<Ticket> {
    const who = stages?.map((i) => this.identities[i] as Identity) ?? this.identities.slice(0, boundaries.length - 1)
    const { sampling = { temperature: 0, topP: 1, seed: 0 }, ...others } = options
    const ticket = await makeTicket(this.server, this.requester, who, { ...others, boundaries, ...(sampling ? { sampling } : {}) })
    this.#tickets.set(ticket.session, ticket)
    return ticket
  }

  /** Opens a session at the last stage, ready to start. */
  async ask(ticket: Ticket, onStep: OnStep, tensors = { feeds: 1, answer: 1 }): Promise<Asking> {
    const ports: AskingPorts = {
      identity: this.requester,
      link: (peer) => this.#links.to(peer),
      check: (newer) => checkTicket(newer, [this.server.publicKey], Date.now()),
      proof: (proof) => void this.proofs.push(proof),
      fault: (peer) => {
        this.blamed.push(peer)
        this.onLost(this.requester.id, peer)
      },
    }
    const asking = new Asking(ticket, tensors.feeds, tensors.answer, ports, { step: onStep })
    this.#askings.set(ticket.session, asking)
    await this.#links.to(asking.host.peer)
    return asking
  }

  /** Token ids in, token ids out. */
  async generate(ticket: Ticket, engine: StageEngine, prompt: readonly number[], maxTokens: number): Promise<number[]> {
    const ids: number[] = []
    const vocab = engine.manifest.decoder?.vocab ?? 0
    const asking = await this.ask(ticket, (step) => {
      const [value] = unpackTensors(step.payload, feedSpecs(engine.manifest))
      ids.push(...readTokens(value as TensorValue, step.rows, vocab))
    })
    asking.start(prompt.length, maxTokens)
    this.sendPrompt(asking, prompt)
    await asking.ended
    return ids
  }

  sendPrompt(asking: Asking, prompt: readonly number[]): void {
    for (const { from, to } of evenRuns(prompt.length, asking.ticket.maxRows)) {
      asking.send(from, to - from, packTokens(prompt.slice(from, to)))
    }
    void asking.flush()
  }

  // ---- The server's part -------------------------------------------------------------------------------------------

  /** The session goes on with these volunteers: everybody old and new hears of it, and the requester where `told`. */
  async reroute(session: SessionId, stages: readonly number[], told = true): Promise<Ticket> {
    const old = this.#tickets.get(session) as Ticket
    const named = stages.map((at, i) => {
      const { id, publicKey } = this.identities[at] as Identity
      return { peer: id, key: publicKey, blocks: (old.stages[i] as TicketStage).blocks, backend: 'wasm' as const }
    })
    const { signature: _, ...rest } = old
    const unsigned = { ...rest, stages: named, generation: old.generation + 1 }
    // Known before it is signed: what is rerouted meanwhile is a generation later.
    this.#tickets.set(session, { ...unsigned, signature: '' })
    const ticket = await signTicket(unsigned, this.server.privateKey)
    for (const { peer } of [...old.stages, ...named]) {
      if (!this.#dead.has(peer))
        void this.#node(peer)
          ?.open(ticket)
          .catch(() => undefined)
    }
    if (told) void this.#askings.get(session)?.rerouted(ticket)
    return ticket
  }

  closeSession(session: SessionId): void {
    for (const node of this.nodes) node.closeSession(session)
  }

  /** Gone without a word: its channels close, and nothing that it says is heard. */
  kill(at: number): void {
    const { id } = this.identities[at] as Identity
    this.#dead.add(id)
    for (const [ends, channel] of this.channels) if (ends.startsWith(id) || ends.endsWith(id)) channel.kill()
    this.nodes[at]?.stop(new ManyhandsError('peer-lost', 'Killed.'))
  }

  /** The connections between two parties break. */
  breakLink(a: PeerId, b: PeerId): void {
    for (const ends of [`${a}>${b}`, `${b}>${a}`]) this.channels.get(ends)?.close()
  }

  /** Resolves when someone has told the server such a thing. */
  async heard(match: (message: StageWord | ShadowWord) => boolean): Promise<StageWord | ShadowWord> {
    for (;;) {
      const found = this.told.find(match)
      if (found) return found
      const next = deferred<void>()
      this.#toldWaiters.push(() => next.resolve())
      await next.promise
    }
  }

  stop(reason: ManyhandsError): void {
    for (const node of this.nodes) node.stop(reason)
    for (const asking of this.#askings.values()) asking.fail(reason)
    this.#links.closeAll(reason)
  }

  #node(peer: PeerId): StageNode | undefined {
    return this.nodes[this.identities.findIndex(({ id }) => id === peer)]
  }

  #enter(identity: Identity, links: LinkTable): void {
    this.#parties.set(identity.id, {
      identity,
      add: (id, channel, role, remote, nonce) => {
        links.add(id, channel, { remote, role, nonce })
        const prints = { dialer: 'sha-256 aa', acceptor: 'sha-256 bb' }
        links.bind(id, { local: prints[role], remote: prints[role === 'dialer' ? 'acceptor' : 'dialer'] })
      },
    })
  }

  #dial(from: PeerId, to: PeerId): void {
    if (this.#dead.has(from) || this.#dead.has(to)) return
    const [a, b] = channelPair()
    for (const end of [a, b]) end.onSent = () => this.onSent()
    this.onChannel(from, to, a)
    this.onChannel(to, from, b)
    this.channels.set(`${from}>${to}`, a)
    this.channels.set(`${to}<${from}`, b)
    const id = this.#nextChannel++
    const nonce = id.toString(16).padStart(32, '0')
    this.#parties.get(from)?.add(id, a, 'dialer', to, nonce)
    this.#parties.get(to)?.add(id, b, 'acceptor', from, nonce)
  }
}
