/** Sessions with all that they need: a real store, real keys, two volunteers and their replicas, and a time that only the test lets pass. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, beforeEach } from 'vitest'
import type { PeerId } from '../protocol/ids.ts'
import type { WireError } from '../protocol/errors.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import type { Ticket } from '../protocol/ticket.ts'
import type { Asked } from '../signaling-server/live-session.ts'
import type { ProjectStore } from '../signaling-server/projects/project-store.ts'
import { Sessions } from '../signaling-server/sessions.ts'
import { openEmbedded } from '../signaling-server/sqlite-store.ts'
import type { Store } from '../signaling-server/store.ts'
import type { Model, Volunteer } from '../signaling-server/swarm.ts'
import { trustEverybody, type Trust } from '../signaling-server/trust-port.ts'
import { reports } from './custody.ts'
import { holder, plainManifest, plainModel, usualReady } from './swarms.ts'

type Kind = ServerMessage['t']
type Told<T extends Kind> = Extract<ServerMessage, { t: T }>

/** Positions of the model, and of each volunteer's cache. */
export const context = 2048
export const model: Model = {
  ...plainModel(0, [1, 1]),
  manifest: plainManifest([1, 1], { layers: 2, kvHeads: 1, headDim: 1, vocab: 8, context, eos: [0] }),
}
const stats = { promptHash: 'a'.repeat(64), answerHash: 'b'.repeat(64) }

export let server: Identity
export let requester: Identity
/** Of the two volunteers, and of a replica of each. */
export let stageKeys: [Identity, Identity, Identity, Identity]
export let store: Store
export let epoch: number
export let projects: ProjectStore

/** Keys once for a file, a store of its own for every test. */
export function useSessionScene(): void {
  beforeAll(async () => {
    ;[server, requester, ...stageKeys] = (await Promise.all(Array.from({ length: 6 }, () => createIdentity()))) as [
      Identity,
      Identity,
      Identity,
      Identity,
      Identity,
      Identity,
    ]
  })
  beforeEach(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'manyhands-sessions-'))
    const embedded = openEmbedded(directory, '')
    store = embedded.store
    projects = embedded.projects
    epoch = (await embedded.ownership.ownerOf(model.revision))?.epoch ?? 0
    return async () => {
      await store.close().catch(() => undefined)
      await rm(directory, { recursive: true })
    }
  })
}

/** Two volunteers that hold a half each, where the test wants them two more that hold the same, and whoever asks. */
export class SessionScene {
  readonly sessions: Sessions
  readonly volunteers: [Volunteer, Volunteer]
  /** Of the first, and of the second. They join with `join`. */
  readonly replicas: [Volunteer, Volunteer]
  readonly members: Set<Volunteer>
  readonly gone = new Set<PeerId>()
  readonly failures: unknown[] = []
  readonly lines: string[] = []
  offered = true
  wall = 1_700_000_000_000
  uptime = 1_000
  readonly #told: { readonly peer: PeerId; readonly message: ServerMessage }[] = []
  #wake: () => void = () => undefined

  constructor(change: { identity?: Identity; epoch?: number; trust?: Partial<Trust> } = {}) {
    const volunteer = (i: number) => ({
      ...holder(i, model.revision, { first: i % 2, end: (i % 2) + 1 }, { ...usualReady, cachePositions: context }),
      peer: stageKeys[i]?.id as PeerId,
      key: stageKeys[i]?.publicKey as string,
    })
    this.volunteers = [volunteer(0), volunteer(1)]
    this.replicas = [volunteer(2), volunteer(3)]
    this.members = new Set(this.volunteers)
    this.sessions = new Sessions({
      identity: change.identity ?? server,
      store,
      trust: { ...trustEverybody, ...change.trust },
      serverKeys: () => [server.publicKey],
      swarm: () => (this.offered ? { model, members: this.members } : undefined),
      epochOf: () => change.epoch ?? epoch,
      gaveFor: (peer) => [...this.members].find((v) => v.peer === peer)?.gives?.project,
      send: (peer, message) => {
        if (this.gone.has(peer)) return false
        this.#told.push({ peer, message })
        this.#wake()
        return true
      },
      now: () => this.wall,
      uptime: () => this.uptime,
      random: () => 0.5,
      log: (line) => this.lines.push(line),
      failed: (thrown) => {
        this.failures.push(thrown)
        this.#wake()
      },
    })
  }

  open(id: number, change: Partial<Asked> = {}): void {
    const { id: peer, publicKey: key } = requester
    this.sessions.open({
      peer,
      key,
      network: undefined,
      id,
      revision: model.revision,
      maxPositions: 100,
      sampling: { temperature: 0, topP: 1, seed: 0 },
      ...change,
    })
  }

  /** Serves from now on; those that wait may go on. */
  join(...volunteers: Volunteer[]): void {
    for (const v of volunteers) {
      this.gone.delete(v.peer)
      this.members.add(v)
    }
    this.sessions.roomMade()
  }

  /** Its socket is closed, or it left. */
  lose(...volunteers: Volunteer[]): void {
    for (const v of volunteers) {
      this.gone.add(v.peer)
      this.members.delete(v)
    }
    for (const v of volunteers) this.sessions.stageLost(v.peer, 'A volunteer went away.')
  }

  fault(ticket: Ticket, from: PeerId, error: WireError, peer?: PeerId): void {
    this.sessions.failover.fault(from, { t: 'fault', session: ticket.session, error, ...(peer ? { peer } : {}) })
  }

  /** The route of a generation, once the requester has it. */
  async rerouted(generation: number): Promise<Ticket> {
    return (await this.told('route', (route) => route.ticket.generation === generation)).ticket
  }

  all<T extends Kind>(kind: T, peer?: PeerId): Told<T>[] {
    return this.#told.filter((t) => t.message.t === kind && (peer === undefined || t.peer === peer)).map((t) => t.message as Told<T>)
  }

  /** The first of a kind that fits, once it has been said. */
  async told<T extends Kind>(kind: T, fits: (message: Told<T>) => boolean = () => true): Promise<Told<T>> {
    return this.until(() => this.all(kind).find(fits))
  }

  async until<T>(look: () => T | undefined): Promise<T> {
    let found = look()
    while (found === undefined) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
      found = look()
    }
    return found
  }

  async routed(id: number, change: Partial<Asked> = {}): Promise<Ticket> {
    this.open(id, change)
    return (await this.told('route', (route) => route.id === id)).ticket
  }

  done(ticket: Ticket, change: Partial<Parameters<Sessions['done']>[1]> = {}, from = ticket.stages.at(-1)?.peer as PeerId): void {
    this.sessions.done(from, {
      t: 'done',
      session: ticket.session,
      finish: 'stop',
      promptPositions: 16,
      answerPositions: 4,
      ...stats,
      ...change,
    })
  }

  async prove(ticket: Ticket): Promise<void> {
    for (const { proof, from } of await reports(ticket, [requester, ...stageKeys], [16], 4)) this.sessions.proofs(from, proof)
  }

  pass(ms: number): void {
    this.uptime += ms
    this.sessions.tick()
  }

  get load(): number[][] {
    return this.volunteers.map((v) => [v.sessions, v.positions])
  }
}

/** What a scene's `load` is when every place is free. */
export const idle = [
  [0, 0],
  [0, 0],
]
