import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { deferred } from '../../link/deferred.ts'
import { LinkHistory, type HistoryStep } from '../../link/history.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import { fromBase64 } from '../../protocol/base64.ts'
import type { Step } from '../../protocol/frames.ts'
import type { Hash, PeerId, Revision, SessionId } from '../../protocol/ids.ts'
import { createIdentity } from '../../protocol/keys.ts'
import { signShadowTicket, type ShadowTicket } from '../../protocol/shadow.ts'
import { sketchDistance } from '../../protocol/sketch.ts'
import { packTensors, tensorBytes } from '../../protocol/tensors.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import { ShadowScene, writeDown, writeDownRun, type WrittenDown } from '../../testing/shadows.ts'
import { ToyEngine, toyManifest } from '../../testing/toy-engine.ts'
import type { StepOutput } from '../engine/engine.ts'
import { maxShadows, revealMs, shadowPatienceMs } from './shadow-limits.ts'
import { float32View, writeTokens } from './step-tensors.ts'

const manifest = toyManifest(6)
const prompt = Array.from({ length: 45 }, (_, i) => (i * 7 + 3) % 90)
const runs = [15, 15, 15]
const ranges = [
  { first: 0, end: 2 },
  { first: 2, end: 4 },
  { first: 4, end: 6 },
] as const
const seed = 'a5'.repeat(32)
let scene: ShadowScene | undefined

afterEach(() => scene?.stop())

const engine = (stage: number) => new ToyEngine(manifest, ranges[stage] as (typeof ranges)[number])
const answer = (engines = ranges.map((range) => new ToyEngine(manifest, range))) => writeDown(engines, prompt, runs, 40)

async function audit(stage: number, written?: WrittenDown, change: Partial<ShadowTicket> = {}) {
  scene = await ShadowScene.start(written ?? (await answer()), engine(stage))
  const ticket = await scene.ticket(stage, change)
  return { scene, ticket }
}

/** A toy stage whose outputs are changed before anyone sees them. */
class Cheat extends ToyEngine {
  readonly #change: (values: Float32Array) => void

  constructor(range: (typeof ranges)[number], change: (values: Float32Array) => void) {
    super(manifest, range)
    this.#change = change
  }

  override async run(step: Parameters<ToyEngine['run']>[0]): Promise<StepOutput> {
    const output = await super.run(step)
    for (const { bytes } of output.outputs) this.#change(float32View(bytes))
    return output
  }
}

const column = (...values: number[]) => ({
  dtype: 'float32' as const,
  dims: [1, values.length],
  bytes: new Uint8Array(Float32Array.from(values).buffer),
})

/** Two blocks of a model that runs once: the first doubles its row and brings what it got along, the second adds the two. */
class ToyFilter extends ToyEngine {
  static readonly #row = { name: 'row', dtype: 'float32' as const, shape: [1, 'n'] }
  override readonly inputSpecs
  override readonly outputSpecs

  constructor(range: { first: number; end: number }) {
    const { decoder: _, ...once } = toyManifest(2)
    super(once, range)
    const two = [ToyFilter.#row, { ...ToyFilter.#row, name: 'twice' }]
    this.inputSpecs = range.first === 0 ? [ToyFilter.#row] : two
    this.outputSpecs = range.first === 0 ? two : [ToyFilter.#row]
  }

  override async run({ inputs }: Parameters<ToyEngine['run']>[0]): Promise<StepOutput> {
    const [a, b] = inputs.map(({ bytes }) => [...float32View(bytes)])
    const outputs = b ? [column(...b.map((x, i) => x + (a?.[i] ?? 0)))] : [column(...(a ?? [])), column(...(a ?? []).map((x) => 2 * x))]
    return { outputs, runMs: 1 }
  }
}

/** A history with some of its steps changed. */
function altered(history: LinkHistory, change: (steps: HistoryStep[]) => HistoryStep[]): LinkHistory {
  const other = new LinkHistory()
  for (const step of change([...history.from(0)])) {
    if (history.chunkStart(step.position) === step.position) other.cut()
    other.add(step)
  }
  other.sign(other.end)
  return other
}

const withLink = (written: WrittenDown, link: number, change: (steps: HistoryStep[]) => HistoryStep[]): WrittenDown => ({
  ...written,
  links: new Map([...written.links, [link, altered(written.links.get(link) as LinkHistory, change)]]),
})

describe('[SH4] an audit of an honest stage commits to just what the stage signed', () => {
  for (const [stage, name] of ['first', 'inner', 'last'].entries()) {
    it(`of the ${name} one`, async () => {
      const { scene, ticket } = await audit(stage)
      expect(await scene.answerTo(ticket)).toEqual({ t: 'audited', shadow: ticket.shadow, ...(await scene.expected(ticket)) })
      expect(scene.shadows.done).toEqual({ audits: 1, rows: ticket.rows })
      expect(scene.feeds.size).toBe(0)
    })
  }

  it('of one that is a whole pipeline', async () => {
    const whole = () => new ToyEngine(manifest, { first: 0, end: 6 })
    scene = await ShadowScene.start(await writeDown([whole()], prompt, runs, 40), whole())
    const ticket = await scene.ticket(0)
    expect(ticket.outputs.map(({ link }) => link)).toEqual([1, 3])
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'audited', ...(await scene.expected(ticket)) })
  })

  it('of one whose tokens were drawn with a seed', async () => {
    const sampling = { temperature: 0.9, topP: 0.8, seed: 77 }
    const written = await writeDown(
      ranges.map((_, i) => engine(i)),
      prompt,
      runs,
      40,
      sampling,
    )
    const { scene, ticket } = await audit(2, written)
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'audited', ...(await scene.expected(ticket)) })
  })

  it('of a model without a decoder, also where an inner cut has two tensors', async () => {
    const stages = () => [new ToyFilter({ first: 0, end: 1 }), new ToyFilter({ first: 1, end: 2 })]
    const written = await writeDownRun(stages(), packTensors([column(1, 2, 3)]))
    for (const [stage, fresh] of stages().entries()) {
      scene = await ShadowScene.start(written, fresh)
      const ticket = await scene.ticket(stage, { maxPositions: 1 })
      expect(ticket.outputs.map(({ link, cuts }) => [link, ...cuts])).toEqual([[stage + 1, 1]])
      expect(await scene.answerTo(ticket)).toMatchObject({ t: 'audited', ...(await scene.expected(ticket)) })
      scene.stop()
    }
  })

  it('of a part of its rows', async () => {
    const written = await answer()
    const { scene, ticket } = await audit(1, written, { rows: 30, inputCuts: [30], outputs: [{ link: 2, position: 0, cuts: [30] }] })
    const told = await scene.answerTo(ticket)
    const [first] = await scene.signed(2)
    expect(told).toMatchObject({ t: 'audited', outputs: [[first?.hash]] })
  })

  it('of what a replacement sent, from where it took over', async () => {
    const { scene, ticket } = await audit(1, undefined, {})
    const chunks = await scene.signed(2)
    const late = await scene.ticket(1, {
      outputs: [{ link: 2, position: chunks[1]?.position ?? 0, cuts: chunks.slice(1).map(({ rows }) => rows) }],
    })
    expect(await scene.answerTo(late)).toMatchObject({ outputs: [chunks.slice(1).map(({ hash }) => hash)] })
    expect(ticket.rows).toBe(late.rows)
  })
})

describe('[SH4] an audit of a stage that cheated commits to something else', () => {
  const cases: [name: string, stage: number, change: (values: Float32Array) => void][] = [
    ['zeros', 1, (values) => void values.fill(0)],
    ['one number a little off', 1, (values) => void (values[0] = (values[0] as number) + 1e-3)],
    ['other logits for the same token', 2, (values) => values.forEach((x, i) => (values[i] = x * 2))],
    ['another token', 2, (values) => values.reverse()],
  ]
  for (const [name, stage, change] of cases) {
    it(name, async () => {
      const engines = ranges.map((range, i) => (i === stage ? new Cheat(range, change) : new ToyEngine(manifest, range)))
      const { scene, ticket } = await audit(stage, await answer(engines))
      const told = await scene.answerTo(ticket)
      const expected = await scene.expected(ticket)
      expect(told).toMatchObject({ t: 'audited', inputs: expected.inputs })
      expect(told.t === 'audited' && told.outputs.at(-1)?.every((hash, i) => hash !== expected.outputs.at(-1)?.[i])).toBe(true)
    })
  }

  it('a token that does not follow from its logits', async () => {
    const written = await answer()
    const lied = withLink(written, 3, (steps) =>
      steps.map((step, i) => (i === 5 ? { ...step, payload: packTensors([writeTokens([1])]) } : step)),
    )
    const { scene, ticket } = await audit(2, lied)
    const told = await scene.answerTo(ticket)
    const expected = await scene.expected(ticket)
    expect(told.t === 'audited' && told.outputs[0]?.map((hash, i) => hash === expected.outputs[0]?.[i])).toEqual([false, true, true])
    expect(told.t === 'audited' && told.outputs[1]).toEqual(expected.outputs[1])
  })
})

describe('[SH2] a source that hands over other rows than were signed', () => {
  const changes: [name: string, change: (steps: HistoryStep[]) => HistoryStep[]][] = [
    ['one value of one row', (steps) => steps.map((s, i) => (i === 4 ? { ...s, payload: flipped(s.payload) } : s))],
    [
      'the same values in other runs',
      ([first, second, ...rest]) => [
        ...[0, 1].map((n) => cutOut(first as HistoryStep, n === 0 ? 0 : 1, n === 0 ? 1 : 14)),
        second as HistoryStep,
        ...rest,
      ],
    ],
  ]
  for (const [name, change] of changes) {
    it(`shows in the commitment: ${name}`, async () => {
      const written = await answer()
      const { scene, ticket } = await audit(1, withLink(written, 1, change))
      const honest = await (await ShadowScene.start(written, engine(1))).expected(ticket)
      expect(await scene.answerTo(ticket)).toMatchObject({ t: 'audited', inputs: expect.not.stringContaining(honest.inputs) })
    })
  }

  it('is named when it has fewer rows', async () => {
    const written = await answer()
    const fewer = withLink(written, 1, (steps) => steps.slice(0, 20))
    scene = await ShadowScene.start(fewer, engine(1))
    const whole = await ShadowScene.start(written, engine(1))
    const { rows, inputCuts, outputs } = await whole.ticket(1)
    const ticket = await scene.ticket(1, { rows, inputCuts, outputs })
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', peer: scene.source.id, error: { code: 'not-found' } })
  })

  it('is named when it keeps nothing of the session', async () => {
    const { scene, ticket } = await audit(1, undefined, { session: 'ee'.repeat(16) as SessionId })
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', peer: scene.source.id, error: { code: 'not-found' } })
  })

  it('is named when it goes away', async () => {
    const { scene, ticket } = await audit(1)
    scene.scheduler.setPaused(true)
    scene.intercept = () => {
      setImmediate(() => scene.cut())
      return true
    }
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', peer: scene.source.id, error: { code: 'peer-lost' } })
  })

  const nonsense: [name: string, steps: (ticket: ShadowTicket, honest: HistoryStep[]) => HistoryStep[]][] = [
    ['rows out of order', (_, [first, second]) => [second as HistoryStep, first as HistoryStep]],
    ['rows twice', (_, [first]) => [first as HistoryStep, first as HistoryStep]],
    ['a run of more rows than the session had', (_, [first]) => [{ ...(first as HistoryStep), rows: 17 }]],
    ['rows past the last', ({ rows }, [first]) => [{ ...(first as HistoryStep), position: rows }]],
    ['tensors of another shape', (_, [first]) => [{ ...(first as HistoryStep), payload: packTensors([writeTokens([1])]) }]],
    ['no tensors at all', (_, [first]) => [{ ...(first as HistoryStep), payload: new Uint8Array(3) }]],
  ]
  for (const [name, make] of nonsense) {
    it(`is named when it sends ${name}`, async () => {
      const { scene, ticket } = await audit(1)
      const steps = make(ticket, [...(scene.written.links.get(1) as LinkHistory).from(0)])
      scene.intercept = (link, message) => message.t === 'feed' && sendAll(link, ticket, steps)
      expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', peer: scene.source.id, error: { code: 'bad-message' } })
    })
  }

  it('is named when a first stage gets ids outside the vocabulary', async () => {
    const { scene, ticket } = await audit(0)
    const step = { position: 0, rows: 2, emitFrom: 0, computeMicros: 0, payload: packTensors([writeTokens([1, 99_999])]) }
    scene.intercept = (link, message) => message.t === 'feed' && sendAll(link, ticket, [step])
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', peer: scene.source.id, error: { code: 'bad-message' } })
  })

  it("is not heard when it sends to a shadow that is another's to feed", async () => {
    const { scene, ticket } = await audit(1, undefined, { source: { peer: '77'.repeat(32) as PeerId, key: '77'.repeat(32) } })
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', error: { code: 'bad-ticket' } })
  })
})

describe('[SH1] a shadow ticket is refused', () => {
  const changes: [name: string, change: Partial<ShadowTicket>, code: string][] = [
    ['of other blocks', { blocks: [0, 2] }, 'bad-ticket'],
    ['of another model', { revision: '22'.repeat(32) as Revision }, 'bad-ticket'],
    ['that has expired', { expiresAt: 1 }, 'bad-ticket'],
    ["of another link than the stage's", { link: 2 }, 'bad-ticket'],
    ['of a last stage that is none', { last: true }, 'bad-ticket'],
    ['without rows', { rows: 0, inputCuts: [] }, 'bad-ticket'],
    ['whose cuts are of other rows', { inputCuts: [3] }, 'bad-ticket'],
    ['of links that the stage has not', { outputs: [{ link: 4, position: 0, cuts: [3] }] }, 'bad-ticket'],
    ['whose runs are too long for this engine', { maxRows: 64 }, 'unsupported'],
  ]
  for (const [name, change, code] of changes) {
    it(name, async () => {
      const { scene, ticket } = await audit(1, undefined, change)
      const told = await scene.answerTo(ticket)
      expect(told).toMatchObject({ t: 'unaudited', error: { code } })
      expect(told).not.toHaveProperty('peer')
    })
  }

  it('of another server, or changed after it was signed', async () => {
    const { scene, ticket } = await audit(1)
    const stranger = await createIdentity()
    const foreign = await signShadowTicket({ ...ticket, serverKey: stranger.publicKey }, stranger.privateKey)
    for (const bad of [foreign, { ...ticket, rows: ticket.rows - 1 }])
      expect(await scene.answerTo(bad)).toMatchObject({ t: 'unaudited', error: { code: 'bad-ticket' } })
  })

  it('of a last stage, where it does not say where the answer begins', async () => {
    const { scene, ticket } = await audit(2, undefined, { promptLength: 0 })
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', error: { code: 'bad-ticket' } })
  })

  it('that cuts outputs which its rows do not give', async () => {
    const { scene, ticket } = await audit(1, undefined, { outputs: [{ link: 2, position: 0, cuts: Array.from({ length: 8 }, () => 32) }] })
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', error: { code: 'bad-ticket' } })
  })

  it('past the bound of shadows at once', async () => {
    const { scene } = await audit(1)
    scene.scheduler.setPaused(true)
    const tickets = await Promise.all(Array.from({ length: maxShadows + 1 }, () => scene.ticket(1)))
    for (const ticket of tickets) await scene.shadows.start(ticket)
    expect(scene.told).toMatchObject([{ t: 'unaudited', shadow: tickets.at(-1)?.shadow, error: { code: 'busy' } }])
  })

  it('by a source when it is shown by another than it names', async () => {
    const { scene } = await audit(1)
    const other = await createIdentity()
    const foreign = await scene.ticket(1, { peer: other.id, key: other.publicKey })
    const link = { remote: scene.auditor.id, sent: [] as unknown[], sendMessage: (m: unknown) => void link.sent.push(m) }
    expect(scene.feeds.message(link as unknown as PeerLink, { t: 'feed', ticket: foreign })).toBe(true)
    await expect.poll(() => link.sent).toMatchObject([{ t: 'fault', session: foreign.shadow, error: { code: 'bad-ticket' } }])
  })
})

describe('[SH5] once the seed is revealed', () => {
  /** On backends that round differently hashes can't be compared. */
  const other = { backend: 'webgpu' } as const

  async function revealed(stage: number, written: WrittenDown, links: readonly number[]) {
    const { scene, ticket } = await audit(stage, written, other)
    await scene.answerTo(ticket)
    const chunks = []
    for (const { position, rows, hash } of (await scene.signed(links[0] as number)).slice(-2))
      for (const link of links)
        chunks.push({ link, position, rows, hash: (await scene.signed(link)).find((c) => c.position === position)?.hash ?? hash })
    scene.shadows.reveal({ t: 'reveal', shadow: ticket.shadow, seed, holder: scene.source.id, chunks })
    return scene.heard(ticket.shadow, (message) => message.t !== 'audited')
  }

  const sketch = (text: string) => new Float32Array(fromBase64(text).buffer)

  for (const [stage, links] of [
    [1, [2]],
    [2, [5, 3]],
  ] as const) {
    it(`an honest stage's sketches are the shadow's own: stage ${stage}`, async () => {
      const told = await revealed(stage, await answer(), links)
      if (told.t !== 'sketched') throw new Error(JSON.stringify(told))
      expect(sketch(told.own).length).toBeGreaterThan(0)
      expect(sketchDistance(sketch(told.own), sketch(told.theirs)).worst).toBe(0)
    })
  }

  it("a cheat's are not", async () => {
    const engines = ranges.map((range, i) => (i === 1 ? new Cheat(range, (values) => void values.fill(1)) : new ToyEngine(manifest, range)))
    const told = await revealed(1, await answer(engines), [2])
    expect(told.t === 'sketched' && sketchDistance(sketch(told.own), sketch(told.theirs)).worst).toBeGreaterThan(0.1)
  })

  it('a token that does not follow from the logits is as far off as can be', async () => {
    const lied = withLink(await answer(), 3, (steps) =>
      steps.map((step, i) => (i === steps.length - 1 ? { ...step, payload: packTensors([writeTokens([1])]) } : step)),
    )
    const told = await revealed(2, lied, [5, 3])
    expect(told.t === 'sketched' && Array.from(sketch(told.theirs).slice(-4))).toEqual([0, 0, 0, 0])
    expect(told.t === 'sketched' && Array.from(sketch(told.own).slice(-4))).not.toEqual([0, 0, 0, 0])
  })

  it('a holder that hands over other rows than were signed is named', async () => {
    const written = await answer()
    const { scene, ticket } = await audit(1, written, other)
    await scene.answerTo(ticket)
    const [chunk] = await scene.signed(2)
    scene.shadows.reveal({
      t: 'reveal',
      shadow: ticket.shadow,
      seed,
      holder: scene.source.id,
      chunks: [{ link: 2, position: 0, rows: chunk?.rows ?? 0, hash: '00'.repeat(32) as Hash }],
    })
    expect(await scene.heard(ticket.shadow, (m) => m.t === 'unaudited')).toMatchObject({
      peer: scene.source.id,
      error: { code: 'hash-mismatch' },
    })
  })

  it('a holder that does not keep them is named', async () => {
    const { scene, ticket } = await audit(1, undefined, other)
    await scene.answerTo(ticket)
    scene.shadows.reveal({
      t: 'reveal',
      shadow: ticket.shadow,
      seed,
      holder: scene.source.id,
      chunks: [{ link: 2, position: 3, rows: 5, hash: '00'.repeat(32) as Hash }],
    })
    expect(await scene.heard(ticket.shadow, (m) => m.t === 'unaudited')).toMatchObject({
      peer: scene.source.id,
      error: { code: 'not-found' },
    })
  })

  it('what was not among its outputs is not compared', async () => {
    const { scene, ticket } = await audit(1, undefined, other)
    await scene.answerTo(ticket)
    const chunk = { link: 3, position: 0, rows: 5, hash: '00'.repeat(32) as Hash }
    scene.shadows.reveal({ t: 'reveal', shadow: ticket.shadow, seed, holder: scene.source.id, chunks: [chunk] })
    const told = await scene.heard(ticket.shadow, (m) => m.t === 'unaudited')
    expect(told).toMatchObject({ error: { code: 'not-found' } })
    expect(told).not.toHaveProperty('peer')
  })
})

describe('[SH6] a standby', () => {
  const standby: Partial<ShadowTicket> = { role: 'standby', rows: 0, inputCuts: [], outputs: [] }

  for (const [stage, sent] of [
    [0, 1],
    [1, 2],
    [2, 5],
  ] as const) {
    it(`has, when it takes over, the rows that came and what became of them: stage ${stage}`, async () => {
      const written = await answer()
      const taking = engine(stage)
      scene = await ShadowScene.start(written, taking)
      scene.live.add(written.session)
      const ticket = await scene.ticket(stage, standby)
      await scene.shadows.start(ticket)
      const rows = written.links.get(stage)?.end ?? 0
      await expect.poll(() => scene?.shadows.pace(ticket.shadow)?.held).toBe(rows)
      const found = scene.shadows.standby(
        { session: written.session, stages: ranges.map(({ first, end }) => ({ blocks: [first, end] })) } as unknown as Ticket,
        stage,
      )
      const warm = await found?.takeOver()
      expect(warm?.cacheKey).toBe(ticket.shadow)
      expect(taking.held(ticket.shadow)).toBe(rows)
      expect(payloads(warm?.received)).toEqual(payloads(written.links.get(stage)))
      expect(payloads(warm?.sent)).toEqual(payloads(written.links.get(sent)))
      expect(scene.shadows.has(ticket.shadow)).toBe(false)
      await expect.poll(() => scene?.feeds.size).toBe(0)
    })
  }

  it('goes back when its session does, and has what came instead', async () => {
    const written = await answer()
    const taking = engine(1)
    const growing = new LinkHistory()
    const steps = [...(written.links.get(1) as LinkHistory).from(0)]
    scene = await ShadowScene.start({ ...written, links: new Map([...written.links, [1, growing]]) }, taking)
    scene.live.add(written.session)
    const ticket = await scene.ticket(1, standby)
    await scene.shadows.start(ticket)
    const held = (rows: number) => expect.poll(() => scene?.shadows.pace(ticket.shadow)?.held).toBe(rows)
    for (const step of steps.slice(0, 20)) growing.add(step)
    growing.sign(growing.end)
    await held(steps[20]?.position as number)
    growing.truncate(50)
    for (const step of steps.slice(8, 12)) growing.add(step)
    growing.sign(growing.end)
    await held(54)
    expect(taking.held(ticket.shadow)).toBe(54)
    expect(growing.end).toBe(54)
  })

  it('is over, and says so, when its source has no more to give', async () => {
    const written = await answer()
    const { scene, ticket } = await audit(1, written, standby)
    expect(await scene.answerTo(ticket)).toMatchObject({ t: 'unaudited', error: { code: 'closed' } })
  })
})

describe('[SH3] an audit waits', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  it('for a turn, and gives up when answers leave it none', async () => {
    const { scene, ticket } = await audit(1)
    scene.scheduler.setPaused(true)
    void scene.shadows.start(ticket)
    // A row is here and waits.
    await vi.waitFor(() => expect(scene.shadows.pace(ticket.shadow)?.serviceMs).toBeGreaterThan(0))
    vi.advanceTimersByTime(shadowPatienceMs)
    const told = await scene.heard(ticket.shadow, () => true)
    expect(told).toMatchObject({ t: 'unaudited', error: { code: 'busy' } })
    expect(told).not.toHaveProperty('peer')
  })

  it('for its source, and names one that stays silent', async () => {
    const { scene, ticket } = await audit(1)
    const asked = deferred<void>()
    scene.intercept = () => (asked.resolve(), true)
    void scene.shadows.start(ticket)
    await asked.promise
    vi.advanceTimersByTime(shadowPatienceMs)
    expect(await scene.heard(ticket.shadow, () => true)).toMatchObject({
      t: 'unaudited',
      peer: scene.source.id,
      error: { code: 'timeout' },
    })
  })

  it('to be asked for a comparison, a while, and lets go', async () => {
    const { scene, ticket } = await audit(1)
    await scene.answerTo(ticket)
    expect(scene.shadows.has(ticket.shadow)).toBe(true)
    vi.advanceTimersByTime(revealMs)
    expect(scene.shadows.has(ticket.shadow)).toBe(false)
    expect(scene.told.length).toBe(1)
  })
})

describe('[SH5] rows of a session are fetched', () => {
  /** What a holder answers to a peer that shows a ticket. */
  async function fetched(change: Partial<ShadowTicket>, ask: { link: number; position: number; rows: number }) {
    const { scene } = await audit(1)
    const ticket = await scene.ticket(1, change)
    const said: unknown[] = []
    const link = {
      remote: scene.auditor.id,
      sendMessage: (message: unknown) => void said.push(message),
      sendStep: ({ session, link, position, rows }: Step) => void said.push({ session, link, position, rows }),
    } as unknown as PeerLink
    scene.feeds.message(link, { t: 'fetch', ticket, ...ask })
    await vi.waitFor(() => expect(said.length).toBeGreaterThan(0))
    return { said, ticket }
  }

  it('in the steps that they were sent in', async () => {
    const { said, ticket } = await fetched({}, { link: 2, position: 15, rows: 30 })
    expect(said).toEqual([15, 30].map((position) => ({ session: ticket.shadow, link: 2, position, rows: 15 })))
  })

  for (const [name, change, ask, code] of [
    ['not a part of a step', {}, { link: 2, position: 3, rows: 12 }, 'not-found'],
    ['not past what there is', {}, { link: 2, position: 80, rows: 32 }, 'not-found'],
    ['not of a link that the stage does not send on', {}, { link: 1, position: 0, rows: 15 }, 'bad-ticket'],
    ['not of another session', { session: 'ee'.repeat(16) as SessionId }, { link: 2, position: 0, rows: 15 }, 'not-found'],
    ['not with a ticket that has expired', { expiresAt: 1 }, { link: 2, position: 0, rows: 15 }, 'bad-ticket'],
  ] as const) {
    it(name, async () => {
      const { said, ticket } = await fetched(change, ask)
      expect(said).toMatchObject([{ t: 'fault', session: ticket.shadow, error: { code } }])
    })
  }

  it('not by another peer than the ticket names', async () => {
    const other = await createIdentity()
    const { said } = await fetched({ peer: other.id, key: other.publicKey }, { link: 2, position: 0, rows: 15 })
    expect(said).toMatchObject([{ t: 'fault', error: { code: 'bad-ticket' } }])
  })
})

const payloads = (history: LinkHistory | undefined) => [...(history?.from(0) ?? [])].map(({ position, payload }) => [position, ...payload])

function flipped(payload: Uint8Array): Uint8Array {
  const other = payload.slice()
  const bytes = tensorBytes(other, 1)
  bytes[2] = (bytes[2] as number) ^ 1
  return other
}

/** Rows `from` to `from + rows` of a step of toy activations, as a run of their own. */
function cutOut(step: HistoryStep, from: number, rows: number): HistoryStep {
  const rowBytes = tensorBytes(step.payload, 1).length / step.rows
  const bytes = tensorBytes(step.payload, 1).slice(from * rowBytes, (from + rows) * rowBytes)
  const payload = packTensors([{ dtype: 'float32', dims: [1, rows, rowBytes / 4], bytes }])
  return { ...step, position: step.position + from, emitFrom: step.position + from, rows, payload }
}

function sendAll(link: PeerLink, { shadow, link: of }: ShadowTicket, steps: readonly HistoryStep[]): boolean {
  for (const [seq, step] of steps.entries()) link.sendStep({ ...step, session: shadow, link: of, generation: 0, seq })
  return true
}
