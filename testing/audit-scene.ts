/**
 * Audits with all that they need but engines: a real store, volunteers that are little objects, and sessions that ended with
 * chunks of known content. What a chunk holds is named by the link, its rows and the lies of those who computed it, so that
 * whoever computes it again honestly comes to another hash where somebody lied.
 */
import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import { toHex, utf8 } from '../protocol/bytes.ts'
import type { Chunk } from '../protocol/custody.ts'
import { sha256, sha256Bytes } from '../protocol/hash.ts'
import type { Hash, PeerId, SessionId } from '../protocol/ids.ts'
import { sign, type Identity } from '../protocol/keys.ts'
import { signReceipt, type Receipt } from '../protocol/receipt.ts'
import { serverMessageSchema, type ServerMessage, type StandingInfo } from '../protocol/server-messages.ts'
import { inputsHash, type ShadowTicket } from '../protocol/shadow.ts'
import { answerLink, logitsLink, promptLink, ringLink, sessionLinks, type Ticket } from '../protocol/ticket.ts'
import { Audits } from '../signaling-server/audits.ts'
import type { CustodyLedger } from '../signaling-server/custody-ledger.ts'
import type { Serving } from '../signaling-server/routing.ts'
import { Standings } from '../signaling-server/standings.ts'
import type { Store } from '../signaling-server/store.ts'
import type { EndedSession } from '../signaling-server/trust-port.ts'
import { undisturbed } from './custody.ts'
import { sampleReceipt } from './sample-receipts.ts'
import { holder, peerOf, plainManifest, revisionOf, usualReady } from './swarms.ts'

/** How a volunteer answers when it is asked to compute something again. */
export type Manner =
  | 'honest'
  /** Says what the stage said, whatever it was. */
  | 'agreeing'
  /** Another outcome than anybody's, each time. */
  | 'lying'
  /** Of other rows than it was to be given, it says. */
  | 'other-rows'
  | 'malformed'
  | 'busy'
  | 'blames-source'
  | 'silent'

export const blocks = 2
export const revision = revisionOf(7)
export const manifest = plainManifest([1, 1], { layers: 2, kvHeads: 1, headDim: 1, vocab: 8, context: 2048, eos: [0] })
const promptRuns = [16, 4]
const answerRows = 16
const prompt = promptRuns.reduce((sum, rows) => sum + rows, 0)

interface Lies {
  /** By stage; empty for none. */
  readonly [stage: number]: string
}

interface Played {
  readonly ticket: Ticket
  readonly lies: Lies
}

export class AuditScene {
  audits!: Audits
  standings!: Standings
  readonly volunteers = new Map<PeerId, Serving>()
  readonly manners = new Map<PeerId, Manner>()
  readonly gone = new Set<PeerId>()
  told: { readonly peer: PeerId; readonly message: ServerMessage }[] = []
  readonly wrong: { readonly session: SessionId; readonly without: readonly PeerId[] }[] = []
  readonly doubted: string[] = []
  readonly infos = new Map<PeerId, StandingInfo>()
  readonly failures: unknown[] = []
  wall = 1_700_000_000_000
  uptime = 1_000
  random: () => number = Math.random
  /** How far what is fetched is from what an auditor computed itself. */
  sketches: 'near' | 'far' = 'near'
  /** What volunteers are about to say. */
  readonly said: (() => void)[] = []
  readonly #store: Store
  readonly #server: Identity
  readonly #epoch: number
  readonly #anchors: readonly PeerId[]
  readonly #sessions = new Map<SessionId, Played>()
  readonly #answering = new Set<Promise<void>>()
  #number = 0

  constructor(server: Identity, store: Store, epoch: number, anchors: readonly PeerId[] = []) {
    this.#store = store
    this.#server = server
    this.#epoch = epoch
    this.#anchors = anchors
    this.restart()
  }

  /** A server that knows nothing but what is stored. */
  restart(): void {
    const clock = { now: () => this.wall, uptime: () => this.uptime }
    const failed = (thrown: unknown) => this.failures.push(thrown)
    this.standings = new Standings({
      store: this.#store,
      anchors: new Set(this.#anchors),
      epochOf: () => this.#epoch,
      now: clock.now,
      changed: (peer, info) => this.infos.set(peer, info),
      failed,
    })
    this.audits = new Audits({
      ...clock,
      identity: this.#server,
      store: this.#store,
      standings: this.standings,
      serving: () => [...this.volunteers.values()].filter((v) => !this.gone.has(v.peer)),
      volunteer: (peer) => this.volunteers.get(peer),
      gaveFor: (peer) => this.volunteers.get(peer)?.gives?.project,
      online: (peer) => !this.gone.has(peer),
      send: (peer, message) => this.#hear(peer, message),
      random: () => this.random(),
      randomBytes,
      wrong: (session, _, without) => this.wrong.push({ session, without }),
      doubted: (key) => this.doubted.push(key),
      log: () => undefined,
      failed,
    })
  }

  /** Holds one of the two blocks. */
  async join(n: number, block: number, manner: Manner = 'honest', ready: Partial<typeof usualReady> = {}): Promise<PeerId> {
    const volunteer = holder(
      n,
      revision,
      { first: block, end: block + 1 },
      { ...usualReady, msPerRow: 7.3, cachePositions: 2048, ...ready },
    ) as Serving
    // Tickets name keys; these volunteers sign nothing.
    this.volunteers.set(volunteer.peer, { ...volunteer, key: volunteer.peer })
    this.manners.set(volunteer.peer, manner)
    await this.standings.load(volunteer.peer, `network ${n}`)
    return volunteer.peer
  }

  /** So many agreements, as after a long time. */
  async trusted(peers: readonly PeerId[], agreements = 5_000): Promise<void> {
    for (const peer of peers) {
      const standing = { agreements, strikes: 0, sinceStrike: 0, rows: 0 }
      await this.standings.commit(revision, [], () => [{ t: 'standing', peer, standing }])
      await this.standings.load(peer, this.standings.known(peer).prefix)
    }
  }

  /** A session over these two that has ended, its first receipt written; `lies` by stage. */
  async answered(stages: readonly PeerId[], lies: Lies = {}): Promise<SessionId> {
    const session = (++this.#number).toString(16).padStart(32, '0') as SessionId
    const backendOf = (peer: PeerId) => this.volunteers.get(peer)?.holding.ready.backend ?? 'wasm'
    const ticket: Ticket = {
      v: 1,
      session,
      revision,
      requester: { peer: peerOf(999), key: peerOf(999) },
      stages: stages.map((peer, i) => ({ peer, key: peer, blocks: [i, i + 1], backend: backendOf(peer) })),
      sampling: { temperature: 0, topP: 1, seed: 0 },
      maxPositions: 256,
      maxRows: 16,
      epoch: 1,
      generation: 0,
      issuedAt: this.wall,
      expiresAt: this.wall + 60_000,
      serverKey: this.#server.publicKey,
      signature: '0'.repeat(128),
    }
    const played = { ticket, lies }
    this.#sessions.set(session, played)
    const chunks = new Map<number, Chunk[]>()
    for (const link of sessionLinks(ticket)) chunks.set(link, await chunksOf(played, link))
    const receipt = await signReceipt(receiptOf(ticket, this.wall), this.#server.privateKey)
    await this.standings.commit(revision, [], () => [{ t: 'receipt', receipt }])
    await this.audits.ended(endedOf(ticket, chunks), receipt)
    return session
  }

  /** Everything that volunteers have to say, and what comes of it, until nobody says anything more. */
  async settle(next: (waiting: number) => number = () => 0): Promise<void> {
    for (;;) {
      await this.quiet()
      if (this.said.length === 0) return
      for (const say of this.said.splice(next(this.said.length), 1)) say()
    }
  }

  pass(ms: number): void {
    this.uptime += ms
    this.wall += ms
    this.audits.tick()
  }

  receipts(session: SessionId): Promise<Receipt[]> {
    return this.#store.receipts(session)
  }

  messages<T extends ServerMessage['t']>(kind: T): (Extract<ServerMessage, { t: T }> & { to: PeerId })[] {
    return this.told.flatMap(({ peer, message }) =>
      message.t === kind ? [{ ...(message as Extract<ServerMessage, { t: T }>), to: peer }] : [],
    )
  }

  /** Signatures and commits under way are done: one that is asked for now comes after them. */
  async quiet(): Promise<void> {
    for (let calm = 0; calm < 4; calm++) {
      const before = this.told.length
      await this.standings.written()
      await sign(this.#server.privateKey, 'receipt', new Uint8Array(1))
      await Promise.all(this.#answering)
      await new Promise((resolve) => setImmediate(resolve))
      if (this.told.length !== before) calm = -1
    }
  }

  #hear(peer: PeerId, message: ServerMessage): boolean {
    if (this.gone.has(peer)) return false
    // What a peer could not read is nothing that was said.
    this.told.push({ peer, message: v.parse(serverMessageSchema, message) })
    if (message.t === 'reveal') {
      const rows = message.chunks.filter((c) => c.link !== blocks).reduce((sum, c) => sum + c.rows, 0)
      const own = sketchOf(rows, 1)
      const theirs = sketchOf(rows, this.sketches === 'near' ? 1 + 1e-6 : 1.5)
      this.said.push(() => this.audits.sketched(peer, { t: 'sketched', shadow: message.shadow, own, theirs }))
    }
    if (message.t === 'shadow') {
      const answering = this.#answerTo(peer, message.ticket).then((say) => {
        this.said.push(say)
        this.#answering.delete(answering)
      })
      this.#answering.add(answering)
    }
    return true
  }

  async #answerTo(peer: PeerId, ticket: ShadowTicket): Promise<() => void> {
    const played = this.#sessions.get(ticket.session) as Played
    const { shadow } = ticket
    const manner = this.manners.get(peer) as Manner
    const own = { ...played, lies: { ...played.lies, [ticket.stage]: manner === 'agreeing' ? (played.lies[ticket.stage] ?? '') : '' } }
    const outputs = await Promise.all(
      ticket.outputs.map(async ({ link, position, cuts }) => {
        let at = position
        const hashes: Hash[] = []
        for (const rows of cuts) {
          hashes.push(manner === 'lying' ? (toHex(randomBytes(32)) as Hash) : await sha256(content(own, link, at, rows)))
          at += rows
        }
        return hashes
      }),
    )
    const fed = (await chunksOf(played, ticket.link)).slice(0, ticket.inputCuts.length)
    const inputs = manner === 'other-rows' ? await sha256(randomBytes(32)) : await inputsHash(fed)
    const error = { code: 'busy', message: 'Not now.' } as const
    return () => {
      if (this.gone.has(peer)) return
      if (manner === 'silent') return
      if (manner === 'busy') return this.audits.unaudited(peer, { t: 'unaudited', shadow, error })
      if (manner === 'blames-source') return this.audits.unaudited(peer, { t: 'unaudited', shadow, peer: ticket.source.peer, error })
      this.audits.audited(peer, { t: 'audited', shadow, inputs, outputs: manner === 'malformed' ? [] : outputs })
    }
  }
}

const sketchOf = (rows: number, value: number) => Buffer.from(new Float32Array(4 * rows).fill(value).buffer).toString('base64')

/** What the rows of a chunk are, in words: an honest one of the same rows of the same session is the same. */
function content({ ticket, lies }: Played, link: number, at: number, rows: number): Uint8Array {
  const { session, stages } = ticket
  const before = (end: number) =>
    stages
      .slice(0, end)
      .map((_, i) => lies[i] ?? '')
      .join('|')
  const host = lies[stages.length - 1] ?? ''
  const isToken = link === ringLink || link === promptLink(ticket) || link === answerLink(ticket)
  const name = isToken ? `tokens ${at < prompt ? '' : host}` : `${link} ${before(link === logitsLink(ticket) ? stages.length : link)}`
  return utf8(`${session} ${at} ${rows} ${name}`)
}

async function chunksOf(played: Played, link: number): Promise<Chunk[]> {
  const { ticket } = played
  const { first, groups } = undisturbed(ticket, promptRuns, answerRows).get(link) ?? { first: 0, groups: [] }
  const { session, generation } = ticket
  const chunks: Chunk[] = []
  let at = first
  for (const [seq, steps] of groups.flatMap(cutAt32).entries()) {
    const rows = steps.reduce((sum, r) => sum + r, 0)
    chunks.push({
      session,
      generation,
      link,
      seq,
      firstPosition: at,
      rows,
      alone: 0,
      payloadHash: await sha256Bytes(content(played, link, at, rows)),
    })
    at += rows
  }
  return chunks
}

function cutAt32(steps: readonly number[]): number[][] {
  const cut: number[][] = []
  for (const rows of steps) {
    const open = cut.at(-1)
    if (open && open.reduce((sum, r) => sum + r, rows) <= 32) open.push(rows)
    else cut.push([rows])
  }
  return cut
}

function receiptOf({ session, stages, serverKey }: Ticket, issuedAt: number): Receipt {
  return sampleReceipt(0, {
    request: session,
    session,
    revision,
    stages: stages.map(({ peer, key, blocks: range, backend }) => ({ peer, key, blocks: range, backend, proven: false })),
    issuedAt,
    serverKey,
  })
}

function endedOf(ticket: Ticket, chunks: ReadonlyMap<number, readonly Chunk[]>): EndedSession {
  const { session, requester, sampling, maxPositions } = ticket
  const ledger = { ticket, tickets: [ticket], chunks: (_: number, link: number) => chunks.get(link) ?? [], rows: () => Infinity }
  return {
    session,
    request: session,
    asked: { ...requester, network: undefined, id: 1, revision, maxPositions, sampling },
    manifest,
    ledger: ledger as unknown as CustodyLedger,
    custody: { checked: 1, failed: 0, reasons: [], named: [] },
    done: {
      t: 'done',
      session,
      finish: 'stop',
      promptPositions: prompt,
      answerPositions: answerRows,
      promptHash: 'a'.repeat(64),
      answerHash: 'b'.repeat(64),
    },
    epoch: 1,
  }
}
