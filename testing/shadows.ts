/**
 * A shadow and its source, joined by channels in memory: an answer is computed and written down link by link, then a peer
 * computes one of its stages again. The shadows, the feeds and the links are the shipped ones.
 */
import { deferred } from '../link/deferred.ts'
import { LinkHistory } from '../link/history.ts'
import { LinkTable } from '../link/link-table.ts'
import type { PeerLink } from '../link/peer-link.ts'
import { concatBytes, toHex } from '../protocol/bytes.ts'
import type { ClientMessage } from '../protocol/client-messages.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { sha256, sha256Bytes } from '../protocol/hash.ts'
import type { Hash, Revision, SessionId } from '../protocol/ids.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { chunkRows } from '../protocol/limits.ts'
import type { LinkMessage } from '../protocol/link-messages.ts'
import { sampleToken, type Sampling } from '../protocol/sampling.ts'
import { inputsHash, signShadowTicket, type InputCut, type ShadowTicket } from '../protocol/shadow.ts'
import { packTensors, tensorBytes, unpackTensors } from '../protocol/tensors.ts'
import type { StageEngine } from '../worker/engine/engine.ts'
import { Feeds } from '../worker/ring/feeds.ts'
import { Scheduler } from '../worker/ring/scheduler.ts'
import { Shadows } from '../worker/ring/shadows.ts'
import { float32View, writeTokens } from '../worker/ring/step-tensors.ts'
import { channelPair } from './channel-pair.ts'

const revision = '11'.repeat(32) as Revision
const greedy: Sampling = { temperature: 0, topP: 1, seed: 0 }

/** What went over every link of one answer, and the last stage's logits by the position of the token chosen from them. */
export interface WrittenDown {
  readonly stages: readonly StageEngine[]
  readonly session: SessionId
  readonly promptLength: number
  readonly sampling: Sampling | null
  readonly links: ReadonlyMap<number, LinkHistory>
  readonly logits: ReadonlyMap<number, Uint8Array>
}

/** Runs a decoder's stages one after the other, as a pipeline does. @param runs rows of the prompt's runs */
export async function writeDown(
  stages: readonly StageEngine[],
  prompt: readonly number[],
  runs: readonly number[],
  tokens: number,
  sampling: Sampling = greedy,
): Promise<WrittenDown> {
  const session = toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId
  const links = new Map([...stages, 0, 0, 0].map((_, link) => [link, new LinkHistory()]))
  const logits = new Map<number, Uint8Array>()
  const add = (link: number, position: number, rows: number, payload: Uint8Array) =>
    links.get(link)?.add({ position, rows, emitFrom: position, computeMicros: 0, payload })
  for (const stage of stages) stage.open(session, prompt.length + tokens)
  const run = async (position: number, ids: readonly number[]): Promise<number> => {
    const logitsFrom = Math.min(ids.length, Math.max(0, prompt.length - 1 - position))
    let payload: Uint8Array = packTensors([writeTokens(ids)])
    for (const [i, stage] of stages.entries()) {
      add(i, position, ids.length, payload)
      const inputs = unpackTensors(payload, stage.inputSpecs)
      payload = packTensors((await stage.run({ session, position, rows: ids.length, inputs, logitsFrom })).outputs)
    }
    const next = position + ids.length
    if (next < prompt.length) return 0
    const row = tensorBytes(payload, 1)
    const id = sampleToken(float32View(row), next, sampling)
    logits.set(next, row)
    // The last token is not fed back: it stands in a chunk of its own.
    if (next === prompt.length + tokens - 1) for (const link of [stages.length, stages.length + 2]) links.get(link)?.cut()
    add(stages.length, next, 1, packTensors([writeTokens([id])]))
    add(stages.length + 2, next, 1, packTensors([{ dtype: 'uint8', dims: [1, 32], bytes: await sha256Bytes(row) }]))
    return id
  }
  let at = 0
  let id = 0
  for (const rows of runs) {
    id = await run(at, prompt.slice(at, at + rows))
    at += rows
  }
  links.get(0)?.cut()
  for (let n = 1; n < tokens; n++) id = await run(prompt.length + n - 1, [id])
  for (const stage of stages) stage.close(session)
  for (const history of links.values()) history.sign(history.end)
  return { stages, session, promptLength: prompt.length, sampling, links, logits }
}

/** Runs the stages of a model without a decoder, once. @param feeds packed */
export async function writeDownRun(stages: readonly StageEngine[], feeds: Uint8Array): Promise<WrittenDown> {
  const session = toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId
  const links = new Map<number, LinkHistory>()
  let payload = feeds
  for (const [link, stage] of [...stages, undefined].entries()) {
    const history = new LinkHistory()
    history.add({ position: 0, rows: 1, emitFrom: 0, computeMicros: 0, payload })
    links.set(link, history)
    if (!stage) continue
    const inputs = unpackTensors(payload, stage.inputSpecs)
    payload = packTensors((await stage.run({ session, position: 0, rows: 1, inputs, logitsFrom: 0 })).outputs)
  }
  return { stages, session, promptLength: 1, sampling: null, links, logits: new Map() }
}

/** A link's chunks as custody describes them. */
export async function chunksOf(
  history: LinkHistory,
  tensors: number,
): Promise<(InputCut & { position: number; rows: number; hash: Hash })[]> {
  const steps = [...history.from(0)]
  const chunks = []
  for (let i = 0; i < steps.length;) {
    const position = steps[i]?.position ?? 0
    const of = steps.filter((step) => history.chunkStart(step.position) === position)
    let rows = 0
    let alone = 0
    for (const step of of) {
      if (step.rows === 1) alone = (alone | (1 << rows)) >>> 0
      rows += step.rows
    }
    const bytes = concatBytes(of.map((step) => tensorBytes(step.payload, tensors)))
    if (rows > chunkRows) throw new Error('a chunk holds more rows than fit')
    chunks.push({ position, rows, alone, payloadHash: await sha256Bytes(bytes), hash: await sha256(bytes) })
    i += of.length
  }
  return chunks
}

interface Party {
  readonly identity: Identity
  readonly links: LinkTable
}

type Told = Extract<ClientMessage, { t: 'audited' | 'sketched' | 'unaudited' }>

export class ShadowScene {
  readonly server: Identity
  readonly shadows: Shadows
  readonly feeds: Feeds
  readonly scheduler = new Scheduler()
  readonly told: Told[] = []
  readonly auditor: Identity
  readonly source: Identity
  readonly written: WrittenDown
  /** Sessions of which more may come. */
  readonly live = new Set<SessionId>()
  /** What the source's end hears first; true when it is dealt with. */
  intercept: (link: PeerLink, message: LinkMessage) => boolean = () => false
  readonly #parties: readonly Party[]
  readonly #waiting: (() => void)[] = []
  #channels = 1

  /** @param engine the auditor's */
  static async start(written: WrittenDown, engine: StageEngine): Promise<ShadowScene> {
    const [server, auditor, source] = await Promise.all([createIdentity(), createIdentity(), createIdentity()])
    return new ShadowScene(written, engine, server, auditor, source)
  }

  private constructor(written: WrittenDown, engine: StageEngine, server: Identity, auditor: Identity, source: Identity) {
    this.written = written
    this.server = server
    this.auditor = auditor
    this.source = source
    const quiet = { released: () => undefined, custody: () => undefined }
    const auditorLinks = new LinkTable(auditor, {
      ...quiet,
      dial: () => this.#dial(),
      step: (link, step) => this.shadows.step(step, link.remote),
      message: (link, message) => 'session' in message && this.shadows.message(message.session, message, link.remote),
      closed: (peer, reason) => this.shadows.peerLost(peer, reason),
    })
    const sourceLinks = new LinkTable(source, {
      ...quiet,
      dial: () => undefined,
      step: () => undefined,
      message: (link, message) => this.intercept(link, message) || this.feeds.message(link, message),
      closed: (peer) => this.feeds.peerLost(peer),
    })
    this.#parties = [
      { identity: auditor, links: auditorLinks },
      { identity: source, links: sourceLinks },
    ]
    this.shadows = new Shadows({
      self: auditor.id,
      revision,
      serverKeys: [server.publicKey],
      engine,
      scheduler: this.scheduler,
      link: (peer) => auditorLinks.to(peer),
      tellServer: (message) => {
        this.told.push(message)
        for (const wake of this.#waiting.splice(0)) wake()
      },
      ran: () => undefined,
    })
    this.feeds = new Feeds({
      self: source.id,
      serverKeys: [server.publicKey],
      history: (session, link) => (session === written.session ? written.links.get(link) : undefined),
      live: (session) => this.live.has(session),
      logits: (session, position) => (session === written.session ? written.logits.get(position) : undefined),
    })
  }

  /** An audit of one of the stages, as a server would order it. */
  async ticket(stage: number, change: Partial<ShadowTicket> = {}): Promise<ShadowTicket> {
    const { stages, session, links, promptLength, sampling } = this.written
    const { range, inputSpecs, manifest } = stages[stage] as StageEngine
    const last = range.end === manifest.blocks.length
    const inputs = await chunksOf(links.get(stage) as LinkHistory, inputSpecs.length)
    const outputs = last && manifest.decoder ? [stage + 1, stage + 3] : [stage + 1]
    const now = Date.now()
    return signShadowTicket(
      {
        v: 1,
        shadow: toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId,
        role: 'audit',
        session,
        revision,
        stage,
        blocks: [range.first, range.end],
        last,
        peer: this.auditor.id,
        key: this.auditor.publicKey,
        source: { peer: this.source.id, key: this.source.publicKey },
        link: stage,
        rows: links.get(stage)?.end ?? 0,
        inputCuts: inputs.map(({ rows }) => rows),
        outputs: await Promise.all(
          outputs.map(async (link) => {
            const chunks = await this.signed(link)
            return { link, position: chunks[0]?.position ?? 0, cuts: chunks.map(({ rows }) => rows) }
          }),
        ),
        promptLength,
        sampling,
        maxPositions: 256,
        maxRows: 16,
        backend: 'wasm',
        issuedAt: now,
        expiresAt: now + 60_000,
        serverKey: this.server.publicKey,
        ...change,
      },
      this.server.privateKey,
    )
  }

  /** The chunks that a stage signed on a link of the answer. */
  signed(link: number) {
    const { stages, links } = this.written
    const before = stages[link - 1]
    const last = before?.range.end === before?.manifest.blocks.length
    const tensors = before && !(last && before.manifest.decoder) ? before.outputSpecs.length : 1
    return chunksOf(links.get(link) as LinkHistory, tensors)
  }

  /** What an audit of a stage must commit to when it was computed as signed. */
  async expected(ticket: ShadowTicket): Promise<Pick<Extract<Told, { t: 'audited' }>, 'inputs' | 'outputs'>> {
    const { stages, links } = this.written
    const tensors = (stages[ticket.stage] as StageEngine).inputSpecs.length
    return {
      inputs: await inputsHash(await chunksOf(links.get(ticket.link) as LinkHistory, tensors)),
      outputs: await Promise.all(ticket.outputs.map(async ({ link }) => (await this.signed(link)).map(({ hash }) => hash))),
    }
  }

  /** Starts the shadow and resolves to the next thing it tells of it. */
  async answerTo(ticket: ShadowTicket): Promise<Told> {
    void this.shadows.start(ticket)
    return this.heard(ticket.shadow, () => true)
  }

  async heard(shadow: SessionId, match: (message: Told) => boolean): Promise<Told> {
    for (;;) {
      const found = this.told.find((message) => message.shadow === shadow && match(message))
      if (found) return found
      const next = deferred<void>()
      this.#waiting.push(() => next.resolve())
      await next.promise
    }
  }

  /** Breaks the connection between the two. */
  cut(): void {
    for (const { links } of this.#parties) links.closeAll(new ManyhandsError('peer-lost', 'The connection was cut.'))
  }

  stop(): void {
    this.shadows.stop(new ManyhandsError('closed', 'The test is over.'))
    this.feeds.stop()
    this.scheduler.stop()
    this.cut()
  }

  #dial(): void {
    const [a, b] = channelPair()
    const id = this.#channels++
    const prints = { dialer: 'sha-256 aa', acceptor: 'sha-256 bb' }
    const [auditor, source] = this.#parties as [Party, Party]
    const nonce = id.toString(16).padStart(32, '0')
    auditor.links.add(id, a, { remote: source.identity.id, role: 'dialer', nonce })
    source.links.add(id, b, { remote: auditor.identity.id, role: 'acceptor', nonce })
    auditor.links.bind(id, { local: prints.dialer, remote: prints.acceptor })
    source.links.bind(id, { local: prints.acceptor, remote: prints.dialer })
  }
}
