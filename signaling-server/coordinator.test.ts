/** All of the server's decisions together, over a real store: what volunteers and requesters see of each other, and whatever they say. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fromHex } from '../protocol/bytes.ts'
import { proofBytes } from '../protocol/custody.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { leaseMs } from '../protocol/limits.ts'
import type { PeerId, ProjectId, SessionId } from '../protocol/ids.ts'
import type { Audience } from '../protocol/projects.ts'
import { serverMessageSchema, type ServerMessage } from '../protocol/server-messages.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { fuzzRuns, seededRandom } from '../testing/fuzz.ts'
import { peerOf, plainManifest, revisionOf } from '../testing/swarms.ts'
import { cats } from '../testing/projects.ts'
import type { Said } from './control-sockets.ts'
import type { PublishedModel } from './catalogue.ts'
import { Coordinator } from './coordinator.ts'
import { endedReason } from './givers.ts'
import { LiveOverview } from './live-overview.ts'
import { openEmbedded, type Embedded } from './sqlite-store.ts'

const mega = 1_000_000
const hash = 'c'.repeat(64)
const stats = { steps: 0, rows: 0, busyMs: 0, sentBytes: 0, receivedBytes: 0 }
const sampling = { temperature: 0, topP: 1, seed: 0 }
const decoder = { layers: 3, kvHeads: 1, headDim: 1, vocab: 8, context: 2048, eos: [0] }

const published = (n: number, blocks: number): PublishedModel => ({
  revision: revisionOf(n),
  manifest: plainManifest(
    Array.from({ length: blocks }, () => mega),
    decoder,
  ),
  publication: { v: 1, revision: revisionOf(n), publisher: hash, issuedAt: 1, signature: 'd'.repeat(128) },
})

let directory: string
let embedded: Embedded
let server: Identity

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'manyhands-coordinator-'))
  embedded = openEmbedded(directory, '')
  server = await createIdentity()
})
afterAll(async () => {
  await embedded.store.close()
  await rm(directory, { recursive: true })
})

/** A coordinator, and peers that hear everything and remember what they can use. */
class Scene {
  readonly coordinator: Coordinator
  readonly failures: unknown[] = []
  readonly here = new Set<PeerId>()
  readonly told: { readonly peer: PeerId; readonly message: ServerMessage }[] = []
  readonly leases = new Map<PeerId, string>()
  readonly sessions: SessionId[] = []
  readonly tickets: Ticket[] = []
  uptime = 1_000
  readonly audiences = new Map<ProjectId, Audience>()
  readonly consents: [ProjectId, PeerId][] = []
  keyRefusal: ManyhandsError | undefined

  constructor(stages: 'auto' | number = 3) {
    this.coordinator = new Coordinator({
      identity: server,
      store: embedded.store,
      stages,
      anchors: new Set(),
      serverKeys: () => [server.publicKey],
      epochOf: () => 1,
      audience: (project) => this.audiences.get(project),
      keyRefusal: () => this.keyRefusal,
      consented: (project, peer) => this.consents.push([project, peer]),
      send: (peer, message) => this.#hear(peer, message),
      now: () => 1_700_000_000_000 + this.uptime,
      uptime: () => this.uptime,
      log: () => undefined,
      failed: (thrown) => this.failures.push(thrown),
    })
  }

  say(peer: PeerId, message: Said, network?: string, project?: ProjectId): void {
    this.here.add(peer)
    const keyed = project && { project: { id: project, hash: '' } }
    this.coordinator.receive({ peer, key: peer, network, ...keyed }, message)
  }

  offer(peer: PeerId, project?: ProjectId): void {
    this.say(peer, { t: 'offer', models: [], memoryBytes: 20 * mega, power: 1, backends: ['wasm'], ...(project ? { project } : {}) })
  }

  ready(peer: PeerId): void {
    const lease = this.leases.get(peer) ?? '0'.repeat(32)
    this.say(peer, { t: 'ready', lease, backend: 'wasm', adapter: '', rowLimit: 16, msPerRow: 20, cachePositions: 4096 })
  }

  pass(ms: number): void {
    this.uptime += ms
    this.coordinator.tick()
  }

  get availability() {
    return this.coordinator.models().map((model) => model.availability)
  }

  #hear(peer: PeerId, message: ServerMessage): boolean {
    if (!this.here.has(peer)) return false
    this.told.push({ peer, message })
    if (message.t === 'assign') this.leases.set(peer, message.lease)
    if (message.t === 'unassign') this.leases.delete(peer)
    if (message.t === 'session') {
      this.sessions.push(message.ticket.session)
      this.tickets.push(message.ticket)
    }
    return true
  }
}

const [ada, bob, cyd, dan] = [1, 2, 3, 4].map(peerOf) as [PeerId, PeerId, PeerId, PeerId]

it('a model is unavailable, downloadable while its parts load, available when they are ready', () => {
  const s = new Scene(2)
  s.coordinator.setModels([published(1, 4)])
  expect(s.availability).toEqual(['unavailable'])
  s.offer(ada)
  expect(s.availability).toEqual(['unavailable'])
  s.offer(bob)
  expect(s.availability).toEqual(['downloadable'])
  s.ready(ada)
  expect(s.availability).toEqual(['downloadable'])
  expect(s.coordinator.serves(ada)).toBe(true)
  expect(s.coordinator.serves(bob)).toBe(false)
  s.ready(bob)
  expect(s.availability).toEqual(['available'])
  expect(s.coordinator.models()[0]).toMatchObject({ volunteers: 2, stages: [{ ready: 1 }, { ready: 1 }] })
  s.coordinator.gone(ada)
  expect(s.availability).toEqual(['unavailable'])
})

it('a model that goes takes its assignments along, one that comes finds those without', () => {
  const s = new Scene(1)
  s.coordinator.setModels([published(1, 2)])
  s.offer(ada)
  s.ready(ada)
  const lease = s.leases.get(ada)
  s.coordinator.setModels([published(2, 2)])
  expect(s.told.at(-1)).toMatchObject({ peer: ada, message: { t: 'unassign', lease } })
  s.say(bob, { t: 'open', id: 1, revision: revisionOf(1), maxPositions: 10, sampling })
  expect(s.told.at(-1)).toMatchObject({ peer: bob, message: { t: 'error', id: 1, error: { code: 'unknown-model' } } })
  s.offer(ada)
  expect(s.told.at(-1)).toMatchObject({ peer: ada, message: { t: 'assign', revision: revisionOf(2) } })
})

it('a key that comes again by another socket waits no more for what the one before asked', () => {
  const s = new Scene(1)
  s.coordinator.setModels([published(1, 1)])
  s.offer(ada)
  s.ready(ada)
  for (let id = 0; id < 12; id++) s.say(bob, { t: 'open', id, revision: revisionOf(1), maxPositions: 10, sampling })
  expect(s.coordinator.sessions.queued).toBeGreaterThan(0)
  s.coordinator.joined(bob)
  expect(s.coordinator.sessions.queued).toBe(0)
})

it('[PJ3] a model that a project’s own alone hold is there for the project, and for nobody else', () => {
  const s = new Scene(1)
  s.audiences.set(cats, 'only')
  s.coordinator.setModels([published(1, 1)])
  s.offer(ada, cats)
  s.ready(ada)
  expect(s.consents).toEqual([[cats, ada]])
  expect(s.coordinator.models(cats).map((m) => m.availability)).toEqual(['available'])
  expect(s.coordinator.models().map((m) => m.availability)).toEqual(['unavailable'])
  const open = { t: 'open', id: 1, revision: revisionOf(1), maxPositions: 10, sampling } as const
  s.say(bob, open)
  expect(s.told.at(-1)).toMatchObject({ peer: bob, message: { t: 'error', error: { code: 'no-volunteers' } } })
  s.say(bob, { t: 'models', id: 2 }, undefined, cats)
  expect(s.told.at(-1)).toMatchObject({ message: { t: 'models', models: [{ availability: 'available', volunteers: 1 }] } })
})

it('[OV1] the overview is made once a second at most, without whom a project has to itself, with the speed of the last minute', () => {
  const s = new Scene(1)
  s.audiences.set(cats, 'only')
  s.coordinator.setModels([published(1, 2)])
  for (const [peer, project] of [[ada], [bob, cats]] as const) {
    s.offer(peer, project)
    s.ready(peer)
  }
  const { coordinator } = s
  const live = new LiveOverview({ coordinator, models: () => coordinator.models(), now: () => 5, uptime: () => s.uptime })
  const first = live.now()
  expect(first.volunteers).toMatchObject({ online: 2, serving: 2 })
  expect(first.models[0]).toMatchObject({ coverage: [{ blocks: [0, 2], holders: 1, ready: 1, proven: 0 }], rowsPerSecond: 0 })
  const { rows } = coordinator.sessions
  const seconds = (count: number, rowsEach: number) => {
    for (let i = 0; i < count; i++) {
      rows.set(revisionOf(1), (rows.get(revisionOf(1)) ?? 0) + rowsEach)
      s.uptime += 1_000
      live.tick()
    }
  }
  s.uptime += 999
  expect(live.now()).toBe(first)
  seconds(100, 50)
  expect(live.now().models[0]?.rowsPerSecond).toBeCloseTo(50, 0)
  seconds(70, 0)
  expect(live.now().models[0]?.rowsPerSecond).toBe(0)
})

it('[PJ4] a part that only a project’s own hold is given to the next who comes for everybody', () => {
  const s = new Scene(2)
  s.audiences.set(cats, 'only')
  s.coordinator.setModels([published(1, 2)])
  s.offer(ada, cats)
  s.ready(ada)
  s.offer(bob)
  s.ready(bob)
  s.offer(cyd)
  s.ready(cyd)
  const given = s.told.flatMap(({ peer, message }) => (message.t === 'assign' ? [[peer, message.blocks] as const] : []))
  expect(given).toEqual([
    [ada, [0, 1]],
    [bob, [0, 1]],
    [cyd, [1, 2]],
  ])
})

it('[PJ5] a project that changes is served so from then on', () => {
  const s = new Scene(1)
  s.audiences.set(cats, 'only')
  s.coordinator.setModels([published(1, 1)])
  s.offer(ada, cats)
  s.ready(ada)
  const open = (id: number) => s.say(bob, { t: 'open', id, revision: revisionOf(1), maxPositions: 10, sampling })
  open(1)
  expect(s.told.at(-1)).toMatchObject({ message: { t: 'error', id: 1, error: { code: 'no-volunteers' } } })
  s.audiences.set(cats, 'first')
  s.coordinator.projectChanged(cats)
  open(2)
  expect(s.coordinator.sessions.live).toBe(1)
})

it('[PJ5] a project that ends takes no requests any more; its volunteers finish what they have, and are told why', () => {
  const s = new Scene(1)
  s.audiences.set(cats, 'first')
  s.coordinator.setModels([published(1, 1)])
  s.offer(ada, cats)
  s.ready(ada)
  const open = (id: number) => s.say(bob, { t: 'open', id, revision: revisionOf(1), maxPositions: 10, sampling }, undefined, cats)
  open(1)
  expect(s.coordinator.sessions.live).toBe(1)
  s.audiences.delete(cats)
  s.keyRefusal = new ManyhandsError('forbidden', 'The project Cats has ended.')
  s.coordinator.projectChanged(cats)
  s.pass(1_000)
  open(2)
  expect(s.told.at(-1)).toMatchObject({ peer: bob, message: { t: 'error', id: 2, error: { code: 'forbidden' } } })
  expect(s.coordinator.sessions.live).toBe(1)
  expect(s.leases.has(ada)).toBe(true)
  s.say(bob, { t: 'close', id: 1 }, undefined, cats)
  s.pass(10_000)
  s.pass(1_000)
  expect(s.leases.has(ada)).toBe(false)
  s.offer(ada, cats)
  expect(s.told.at(-1)).toMatchObject({ peer: ada, message: { t: 'idle', reason: endedReason } })
  s.offer(ada)
  expect(s.told.at(-1)).toMatchObject({ peer: ada, message: { t: 'assign' } })
})

it('a volunteer that did not offer a backend can’t be ready on it', () => {
  const s = new Scene(1)
  s.coordinator.setModels([published(1, 1)])
  s.offer(ada)
  const lease = s.leases.get(ada) ?? ''
  const ready = () => s.say(ada, { t: 'ready', lease, backend: 'webgpu', adapter: '', rowLimit: 16, msPerRow: 20, cachePositions: 4096 })
  expect(ready).toThrow(expect.objectContaining({ code: 'bad-message' }))
})

const stepsAScene = 1_000

it(
  `[fuzz] whatever ${fuzzRuns} messages of a few peers say, nothing breaks, nothing is left over, and what they hear they can read`,
  { timeout: 120_000 + 5 * fuzzRuns },
  async () => {
    const totals = { opened: 0, settled: 0, failed: 0, busy: 0, chunksFailed: 0 }
    for (let scene = 0; scene * stepsAScene < fuzzRuns; scene++) {
      const random = seededRandom(scene)
      const s = new Scene(([1, 2, 3, 'auto'] as const)[scene % 4])
      s.coordinator.setModels([published(1, 3)])
      for (let step = 0; step < stepsAScene; step++) {
        try {
          act(s, random)
        } catch (thrown) {
          if (!(thrown instanceof ManyhandsError)) throw new Error(`scene ${scene} broke at step ${step}`, { cause: thrown })
        }
        // Tickets are signed and receipts written meanwhile.
        if (step % 20 === 0) await new Promise(setImmediate)
        expect(s.coordinator.volunteers).toBeLessThanOrEqual(4)
      }
      for (const { message } of s.told)
        if (!v.is(serverMessageSchema, message)) throw new Error(`scene ${scene}: ${JSON.stringify(message)}`)
      for (const peer of s.here) {
        s.here.delete(peer)
        s.coordinator.gone(peer)
      }
      for (let i = 0; i < 3; i++) s.pass(2 * leaseMs)
      await s.coordinator.sessions.settleAll()
      const { sessions, volunteers } = s.coordinator
      expect({ scene, live: sessions.live, queued: sessions.queued, volunteers, failures: s.failures }).toEqual({
        scene,
        live: 0,
        queued: 0,
        volunteers: 0,
        failures: [],
      })
      expect(s.availability.every((a) => a === 'unavailable')).toBe(true)
      for (const what of ['opened', 'settled', 'failed', 'busy', 'chunksFailed'] as const) totals[what] += sessions.counts[what]
    }
    // All of it really happened.
    for (const count of Object.values(totals)) expect(count).toBeGreaterThan(fuzzRuns / 1_000)
  },
)

/** One thing that somebody does: mostly what a peer in its place would, now and then anything. */
function act(s: Scene, random: (below: number) => number): void {
  const pick = <T>(all: readonly T[]): T => all[random(all.length)] as T
  const rarely = () => random(10) === 0
  const peer = pick([ada, bob, cyd, dan])
  const lease = rarely() ? 'f'.repeat(32) : (s.leases.get(rarely() ? ada : peer) ?? '0'.repeat(32))
  const session = s.sessions.at(-1 - random(20)) ?? ('0'.repeat(32) as SessionId)
  const revision = revisionOf(rarely() ? 2 : 1)
  const error = { code: 'gap', message: 'Somewhere\nelse.' } as const
  const offer: Said = {
    t: 'offer',
    models: rarely() ? [revision] : [],
    memoryBytes: (1 + random(5)) * mega,
    power: random(3) / 2,
    backends: ['wasm'],
  }
  const unsettle = [
    () => s.say(peer, offer),
    () => s.say(peer, { ...offer, backends: [], memoryBytes: 0 }),
    () => s.say(peer, { t: 'failed', lease, error }),
    () => s.say(peer, { t: 'leave' }),
    () => s.say(peer, { t: 'leaving' }),
    () =>
      s.say(peer, {
        t: 'fault',
        session,
        peer: pick([ada, bob, cyd, dan]),
        error: { code: pick(['peer-lost', 'hash-mismatch']), message: 'x' },
      }),
    () => s.say(peer, { t: 'fault', session, error }),
    () => s.say(peer, { t: 'pause', paused: random(3) === 0 }),
    () => s.coordinator.joined(peer),
    () => (s.here.delete(peer), s.coordinator.gone(peer)),
    () => s.coordinator.setModels(pick([[], [published(1, 3)], [published(1, 3), published(2, 2)]])),
    () => s.pass(pick([5_000, leaseMs + 1_000, 120_000])),
  ]
  const goOn = [
    () => s.leases.has(peer) || s.say(peer, offer),
    () => s.ready(peer),
    () =>
      s.say(peer, {
        t: 'ready',
        lease,
        backend: pick(['wasm', 'webgpu']),
        adapter: '',
        rowLimit: 1 + random(32),
        msPerRow: random(100),
        cachePositions: pick([100, 9000]),
      }),
    () => s.say(peer, { t: 'renew', lease, stats }),
    ...Array.from({ length: 8 }, () => () => {
      const maxPositions = pick([1, 10, 10, 10, 2048, 4096])
      s.say(peer, { t: 'open', id: random(40), revision, maxPositions, sampling }, pick([undefined, '192.0.2.0/24']))
    }),
    () => s.say(peer, { t: 'close', id: random(40) }),
    () => s.say(peer, { t: 'models', id: 1 }),
    () => s.say(peer, { t: 'reopen', id: random(40), session }),
    () => s.say(peer, { t: 'stalled', session, position: random(100), waitedMs: random(5000) }),
    () => s.say(peer, { t: 'pace', session, held: random(100), serviceMs: random(500) }),
    () => {
      const ticket = s.tickets.at(-1 - random(20))
      if (ticket) s.say(peer, { t: 'adopt', ticket: rarely() ? { ...ticket, maxRows: 7 } : ticket })
    },
    ...Array.from({ length: 6 }, () => () => {
      const finish = pick(['stop', 'length', 'aborted', 'error'] as const)
      s.say(peer, {
        t: 'done',
        session,
        finish,
        promptPositions: random(20),
        answerPositions: random(20),
        promptHash: hash,
        answerHash: hash,
      })
    }),
    () => {
      const proofs = Uint8Array.from({ length: proofBytes * random(4) + (rarely() ? 1 : 0) }, () => random(256))
      for (let at = 0; at + proofBytes <= proofs.length; at += proofBytes) proofs.set(fromHex(session), at)
      s.coordinator.sessions.proofs(peer, proofs)
    },
    () => s.pass(100),
  ]
  pick(random(30) === 0 ? unsettle : goOn)()
}
