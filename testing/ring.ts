/**
 * A whole pipeline in one process: stage nodes and a requester joined by channels in memory. The engines are handed in; links,
 * custody, sessions and the requester are the shipped ones.
 */
import { deferred } from '../link/deferred.ts'
import { LinkTable } from '../link/link-table.ts'
import type { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision } from '../protocol/ids.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import type { Step } from '../protocol/frames.ts'
import type { ClientMessage } from '../protocol/client-messages.ts'
import { packTensors, unpackTensors, type TensorValue } from '../protocol/tensors.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { Asking } from '../sdk/requester/asking.ts'
import { evenRuns } from '../sdk/requester/token-pipeline.ts'
import type { StageEngine } from '../worker/engine/engine.ts'
import { StageNode } from '../worker/ring/stage-node.ts'
import { feedSpecs, readTokens, writeTokens } from '../worker/ring/step-tensors.ts'
import { channelPair, type MemoryChannel } from './channel-pair.ts'
import { makeTicket, type TicketOptions } from './tickets.ts'

interface Party {
  readonly identity: Identity
  add(id: number, channel: MemoryChannel, role: 'dialer' | 'acceptor', remote: PeerId, nonce: string): void
}

export class Ring {
  readonly server: Identity
  readonly requester: Identity
  readonly identities: readonly Identity[]
  readonly nodes: StageNode[] = []
  readonly proofs: Uint8Array[] = []
  readonly told: Extract<ClientMessage, { t: 'done' | 'fault' }>[] = []
  /** Every channel made, by its two ends' ids. */
  readonly channels = new Map<string, MemoryChannel>()
  readonly #parties = new Map<PeerId, Party>()
  readonly #links: LinkTable
  readonly #askings = new Map<string, Asking>()
  #nextChannel = 1
  readonly #toldWaiters: (() => void)[] = []

  static async start(engines: readonly StageEngine[], revision: Revision): Promise<Ring> {
    const [server, requester, ...stages] = await Promise.all(Array.from({ length: engines.length + 2 }, () => createIdentity()))
    return new Ring(server as Identity, requester as Identity, stages, engines, revision)
  }

  private constructor(
    server: Identity,
    requester: Identity,
    identities: readonly Identity[],
    engines: readonly StageEngine[],
    revision: Revision,
  ) {
    this.server = server
    this.requester = requester
    this.identities = identities
    this.#links = new LinkTable(requester, {
      dial: (peer) => this.#dial(requester.id, peer),
      released: () => undefined,
      step: (_, step) => this.#askings.get(step.session)?.receive(step),
      message: (_, message) => 'session' in message && this.#askings.get(message.session)?.message(message),
      custody: (_, chunk) => this.#askings.get(Buffer.from(chunk.subarray(0, 16)).toString('hex'))?.custody(chunk),
      closed: (_, reason) => {
        for (const asking of this.#askings.values()) asking.fail(reason)
      },
    })
    this.#join(requester, this.#links)
    identities.forEach((identity, i) => {
      const node = new StageNode(identity, revision, [server.publicKey], engines[i] as StageEngine, {
        dial: (peer) => this.#dial(identity.id, peer),
        released: () => undefined,
        proof: (proof) => void this.proofs.push(proof),
        tellServer: (message) => {
          this.told.push(message)
          for (const wake of this.#toldWaiters.splice(0)) wake()
        },
        changed: () => undefined,
      })
      this.nodes.push(node)
      this.#join(identity, node.links)
    })
  }

  ticket(boundaries: readonly number[], options: TicketOptions = {}): Promise<Ticket> {
    return makeTicket(this.server, this.requester, this.identities, { ...options, boundaries })
  }

  /** Opens a session at the last stage, ready to start. */
  async ask(ticket: Ticket, onStep: (step: Step) => void): Promise<Asking> {
    const link = await this.#links.to((ticket.stages.at(-1) as Ticket['stages'][number]).peer)
    const asking = new Asking(ticket, 1, 1, { identity: this.requester, link, proof: (p) => void this.proofs.push(p) }, { step: onStep })
    this.#askings.set(ticket.session, asking)
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
      asking.send(from, to - from, packTensors([writeTokens(prompt.slice(from, to))]))
    }
    void asking.flush()
  }

  /** Resolves when someone has told the server such a thing. */
  async heard(match: (message: Ring['told'][number]) => boolean): Promise<Ring['told'][number]> {
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
    this.#links.closeAll(reason)
  }

  #join(identity: Identity, links: LinkTable): void {
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
    const [a, b] = channelPair()
    this.channels.set(`${from}>${to}`, a)
    this.channels.set(`${to}<${from}`, b)
    const id = this.#nextChannel++
    const nonce = id.toString(16).padStart(32, '0')
    this.#parties.get(from)?.add(id, a, 'dialer', to, nonce)
    this.#parties.get(to)?.add(id, b, 'acceptor', from, nonce)
  }
}
