/**
 * Audits over real pipelines: stage nodes in memory compute, sign, keep and compute again; the server's audits choose, compare
 * and judge. Only the engines are toys.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { chunkBytes, decodeChunk } from '../protocol/custody.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision } from '../protocol/ids.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { linkEnds, signTicket, type Backend, type Ticket } from '../protocol/ticket.ts'
import { Ring } from '../testing/ring.ts'
import { holder, usualReady } from '../testing/swarms.ts'
import { ToyEngine, toyManifest } from '../testing/toy-engine.ts'
import type { StageReport, StepInput, StepOutput } from '../worker/engine/engine.ts'
import { float32View } from '../worker/ring/step-tensors.ts'
import { Audits } from './audits.ts'
import { CustodyLedger } from './custody-ledger.ts'
import type { Serving } from './routing.ts'
import { expectedRows, provisional, type Done } from './settlement.ts'
import { openEmbedded } from './sqlite-store.ts'
import { Standings } from './standings.ts'
import type { Store } from './store.ts'
import { trustEverybody, type EndedSession } from './trust-port.ts'

const revision = '11'.repeat(32) as Revision
const boundaries = [0, 3, 6]
const manifest = toyManifest(6)
const prompt = Array.from({ length: 21 }, (_, i) => (i * 5 + 3) % 90)

/** What an engine does to each value that it computes. */
type Alter = (value: number, index: number, step: StepInput) => number

class AlteredEngine extends ToyEngine {
  readonly #alter: Alter
  override readonly report: StageReport

  constructor(first: number, backend: Backend, alter: Alter) {
    super(manifest, { first, end: first + 3 })
    this.#alter = alter
    const { report } = new ToyEngine(manifest, this.range)
    this.report = { ...report, backend }
  }

  override async run(step: StepInput): Promise<StepOutput> {
    const ran = await super.run(step)
    for (const { bytes } of ran.outputs) {
      const values = float32View(bytes)
      values.forEach((value, i) => (values[i] = this.#alter(value, i, step)))
    }
    return ran
  }
}

const honest: Alter = (value) => value
/** As another backend rounds: a few parts in a million at most, upwards, so that the toy's remainders don't jump. */
const rounding: Alter = (value, i) => value * (1 + (1 + ((i * 7919) % 13)) * 2e-7)

let directory: string
let store: Store
let epoch: number
let ring: Ring | undefined

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'manyhands-audits-ring-'))
  const embedded = openEmbedded(directory, '')
  store = embedded.store
  epoch = (await embedded.ownership.ownerOf(revision))?.epoch ?? 0
})
afterEach(async () => {
  ring?.stop(new ManyhandsError('closed', 'The test is over.'))
  await store.close()
  await rm(directory, { recursive: true })
})

interface Kind {
  readonly alter?: Alter
  readonly backend?: Backend
}

/** Two producers and, for each, `replicas` others; one answer; everything that may be audited is, until its receipt is settled or it is found wrong. */
async function audited(producers: readonly [Kind, Kind], replicas: readonly Kind[]) {
  const kinds = [
    ...producers.map((kind, i) => ({ ...kind, first: 3 * i })),
    ...[0, 3].flatMap((first) => replicas.map((kind) => ({ ...kind, first }))),
  ]
  const here = await Ring.start(
    kinds.map(({ first, backend, alter }) => new AlteredEngine(first, backend ?? 'wasm', alter ?? honest)),
    revision,
  )
  ring = here
  const volunteers = new Map(
    kinds.map(({ first, backend }, i) => {
      const { id: peer, publicKey: key } = here.identities[i] as Ring['requester']
      const ready = { ...usualReady, backend: backend ?? 'wasm', rowLimit: 32, cachePositions: 4096 }
      return [peer, { ...(holder(i, revision, { first, end: first + 3 }, ready) as Serving), peer, key }] as const
    }),
  )
  const failures: unknown[] = []
  const standings = new Standings({
    store,
    anchors: new Set(volunteers.keys()),
    epochOf: () => epoch,
    now: Date.now,
    changed: () => undefined,
    failed: (thrown) => failures.push(thrown),
  })
  const over: { receipt?: Receipt; wrong?: readonly PeerId[] } = {}
  let finish: () => void
  const finished = new Promise<void>((resolve) => (finish = resolve))
  const nodeOf = (peer: PeerId) => here.nodes[here.identities.findIndex(({ id }) => id === peer)]
  const sent: ServerMessage[] = []
  const audits: Audits = new Audits({
    identity: here.server,
    store,
    standings,
    serving: () => volunteers.values(),
    volunteer: (peer) => volunteers.get(peer),
    gaveFor: () => undefined,
    online: (peer) => volunteers.has(peer),
    send: (peer, message) => {
      sent.push(message)
      const shadows = nodeOf(peer)?.shadows
      if (message.t === 'shadow') void shadows?.start(message.ticket)
      if (message.t === 'reveal') shadows?.reveal(message)
      if (message.t === 'shadow-closed') shadows?.close(message.shadow)
      if (message.t === 'receipt') over.receipt = message.receipt
      if (over.receipt) finish()
      return true
    },
    now: Date.now,
    uptime: () => performance.now(),
    // Always drawn; who it falls on is nobody's choice.
    random: () => Math.random() / 100,
    randomBytes,
    wrong: (_, __, without) => {
      over.wrong = without
      finish()
    },
    doubted: () => undefined,
    log: () => undefined,
    failed: (thrown) => failures.push(thrown),
  })
  let heard = 0
  const listening = async (): Promise<void> => {
    for (;;) {
      await here.heard((_) => here.told.length > heard)
      const [message, peer] = [here.told[heard], here.tellers[heard]]
      heard += 1
      if (message?.t === 'audited') audits.audited(peer as PeerId, message)
      if (message?.t === 'sketched') audits.sketched(peer as PeerId, message)
      if (message?.t === 'unaudited') audits.unaudited(peer as PeerId, message)
    }
  }
  void listening()

  const ticket = await here.ticket(boundaries, { revision })
  const { signature: _, ...unsigned } = ticket
  const backends = await signTicket(
    { ...unsigned, stages: unsigned.stages.map((s, i) => ({ ...s, backend: producers[i]?.backend ?? 'wasm' })) },
    here.server.privateKey,
  )
  const tokens = await here.generate(backends, new ToyEngine(manifest, { first: 3, end: 6 }), prompt, 40)
  const done = (await here.heard((m) => m.t === 'done')) as Done
  const ended = await endedOf(here, backends, done)
  const first = await provisional(ended, { identity: here.server, store, trust: trustEverybody, gaveFor: () => undefined, now: Date.now })
  await store.commit(revision, epoch, first.writes)
  await audits.ended(ended, first.receipt)
  await finished
  await standings.written()
  const entries = await store.audits({ session: ticket.session }, 100)
  return { over, entries, failures, sent, tokens, peers: [...volunteers.keys()], custody: ended.custody }
}

async function endedOf({ proofs, requester }: Ring, ticket: Ticket, done: Done): Promise<EndedSession> {
  const ledger = new CustodyLedger(ticket)
  for (const proof of proofs) {
    const { link } = decodeChunk(proof.subarray(0, chunkBytes))
    await ledger.add(new Uint8Array(proof), linkEnds(ticket, link)?.to as PeerId)
  }
  const { session, maxPositions, sampling } = ticket
  const { id: peer, publicKey: key } = requester
  return {
    session,
    request: session,
    asked: { peer, key, network: undefined, id: 1, revision, maxPositions, sampling },
    manifest,
    ledger,
    custody: ledger.result(expectedRows(ticket, manifest, done)),
    done,
    epoch,
  }
}

it('[AU3] an honest pipeline has all that its stages signed computed again, with the same outcome', async () => {
  const { over, entries, failures, custody } = await audited([{}, {}], [{}])
  expect(custody.reasons).toEqual([])
  expect(entries.map((e) => e.outcome)).toEqual(['agreed', 'agreed'])
  expect(over.receipt).toMatchObject({ status: 'settled' })
  expect(over.receipt?.audits.done).toBe(over.receipt?.audits.of)
  expect(failures).toEqual([])
})

it.each([
  ['a first stage that answers zeros from some row on', 0, ((value, _, { position }) => (position > 30 ? 0 : value)) satisfies Alter],
  [
    'a last stage that takes another token once',
    1,
    ((value, i, { position }) => (position === 33 ? Number(i === 5) : value)) satisfies Alter,
  ],
  ['logits that are not what was computed, with the same tokens', 1, ((value) => value * 2) satisfies Alter],
] as const)('[AU5] %s is found, and nobody else', async (_, stage, alter) => {
  const { over, entries, peers, failures } = await audited(stage === 0 ? [{ alter }, {}] : [{}, { alter }], [{}, {}, {}, {}])
  expect(over.wrong).toEqual([peers[stage]])
  expect(entries.filter((e) => e.outcome === 'lost').map((e) => e.peer)).toContain(peers[stage])
  expect(entries.filter((e) => e.outcome === 'auditor-lost')).toEqual([])
  expect(await store.strikes(peers[1 - stage] as PeerId)).toEqual([])
  expect((await store.strikes(peers[stage] as PeerId)).length).toBe(1)
  expect(failures).toEqual([])
})

it.each([0, 1])('[AU3] [SK] stage %i on another backend agrees within its rounding: sketches are compared', async (stage) => {
  const gpu = { backend: 'webgpu', alter: rounding } as const
  const { over, entries, sent, failures } = await audited(stage === 0 ? [gpu, {}] : [{}, gpu], [{}])
  expect(sent.filter((m) => m.t === 'reveal').length).toBe(1)
  expect(entries.map((e) => e.outcome)).toEqual(['agreed', 'agreed'])
  expect(over.receipt?.status).toBe('settled')
  expect(failures).toEqual([])
})

it('[AU3] [SK] a stage on another backend that computes with less than it should is found by its sketches', async () => {
  const rough: Alter = (value, i) => value * (1 + ((i * 7919) % 13) * 2e-5)
  const { over, peers } = await audited([{ backend: 'webgpu', alter: rough }, {}], [{}, {}, {}, {}])
  expect(over.wrong).toEqual([peers[0]])
})
