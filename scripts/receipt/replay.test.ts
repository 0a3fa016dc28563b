import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Bytes } from '../../protocol/bytes.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import { createIdentity, type Identity } from '../../protocol/keys.ts'
import { readReceiptFile } from '../../protocol/receipt-file.ts'
import { sampleToken, type Sampling } from '../../protocol/sampling.ts'
import { signTicket, type Backend, type Ticket } from '../../protocol/ticket.ts'
import { answerProofs, int64Bytes, makeReceiptFile, signSteps } from '../../testing/receipt-files.ts'
import { makeTicket } from '../../testing/tickets.ts'
import { loadHere, publishTiny, type PublishedModel } from '../../testing/tiny-stages.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import type { StageEngine, StepOutput } from '../../worker/engine/engine.ts'
import { float32View, writeTokens } from '../../worker/ring/step-tensors.ts'
import { replay } from './replay.ts'
import { verifyReceipt } from './verify.ts'

const identities = await Promise.all(Array.from({ length: 7 }, () => createIdentity()))
const [server, requester, ...stages] = identities as [Identity, Identity, ...Identity[]]
const parties = [requester, ...stages]
const prompt = Array.from({ length: 45 }, (_, i) => (i * 7 + 3) % 250)
const runs = [15, 15, 15]
const tokens = 12
const greedy: Sampling = { temperature: 0, topP: 1, seed: 0 }

let model: PublishedModel
let boundaries: number[]
/** Loaded once; each has its sessions by name. */
let engines: StageEngine[]
/** What the last replay said that it was doing. */
let said: string[] = []

beforeAll(async () => {
  model = await publishTiny({ layers: 2 })
  const blocks = model.manifest.blocks.length
  boundaries = [0, 2, 4, blocks]
  engines = await Promise.all(boundaries.slice(1).map((end, i) => loadHere(model, boundaries[i] as number, end)))
})
afterAll(() => Promise.all(engines.map((engine) => engine.dispose())))

/** A stage's dishonesty: what it sends instead. */
type Cheat = (stage: number, position: number, output: readonly TensorValue[]) => readonly TensorValue[]
const honest: Cheat = (_stage, _position, output) => output

/** An answer by these stages one after the other, and what every link carried, by link and position. */
async function answerOf(
  ticket: Ticket,
  cheat: Cheat = honest,
  choose = sampleToken,
): Promise<{ answer: number[]; carried: Map<string, Bytes> }> {
  const carried = new Map<string, Bytes>()
  const { session, sampling } = ticket
  for (const engine of engines) engine.open(session, 128)
  const answer: number[] = []
  const steps = runs.map((rows, i) => ({ position: 15 * i, rows, ids: prompt.slice(15 * i, 15 * i + rows) }))
  for (let step = steps.shift(); step; step = steps.shift()) {
    let values: readonly TensorValue[] = [writeTokens(step.ids)]
    for (const [i, engine] of engines.entries()) {
      const isLast = i === engines.length - 1
      const { position, rows } = step
      const logitsFrom = isLast ? Math.min(rows, Math.max(0, prompt.length - 1 - position)) : rows
      const { outputs }: StepOutput = await engine.run({ session, position, rows, inputs: values, logitsFrom })
      values = cheat(i, position, outputs)
      if (!isLast) carried.set(`${i + 1} ${position}`, new Uint8Array(Buffer.concat(values.map(({ bytes }) => bytes))))
    }
    const logits = values[0]
    if (!logits) continue
    const at = step.position + step.rows
    carried.set(`${engines.length + 2} ${at}`, await sha256Bytes(logits.bytes))
    const id = choose(float32View(logits.bytes), at, sampling ?? greedy)
    answer.push(id)
    if (answer.length < tokens && steps.length === 0) steps.push({ position: at, rows: 1, ids: [id] })
  }
  for (const engine of engines) engine.close(session)
  return { answer, carried }
}

const pipeline = (sampling = greedy) => makeTicket(server, requester, stages.slice(0, 3), { sampling, boundaries })

/** The replay's findings of a file that is proved. */
async function replayed(tickets: readonly Ticket[], proofs: readonly Bytes[], answer: readonly number[]) {
  const json = await makeReceiptFile({ server, parties, tickets, proofs, prompt: { ids: prompt }, answer: { ids: answer } })
  const file = readReceiptFile(JSON.stringify(json))
  const { checks, proven } = await verifyReceipt(file, { keys: [server.publicKey], why: 'the test' })
  expect(checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  said = []
  return replay(file, proven, {
    manifest: model.manifest,
    load: async ({ first }) => lent(engines[boundaries.indexOf(first)] as StageEngine),
    progress: (line) => said.push(line),
  })
}

async function answeredBy(cheat: Cheat, choose = sampleToken, sampling = greedy, backends: readonly Backend[] = []) {
  const { signature: _, ...body } = await pipeline(sampling)
  const ticket = await signTicket(
    { ...body, stages: body.stages.map((stage, i) => ({ ...stage, backend: backends[i] ?? 'wasm' })) },
    server.privateKey,
  )
  const { answer, carried } = await answerOf(ticket, cheat, choose)
  const proofs = await answerProofs(ticket, parties, runs, prompt, answer, (link, position) => carried.get(`${link} ${position}`) as Bytes)
  return replayed([ticket], proofs, answer)
}

const verdicts = (checks: Awaited<ReturnType<typeof replay>>) => checks.map(({ name, verdict }) => `${name}: ${verdict}`)

/** An engine that outlives who borrows it. */
const lent = (engine: StageEngine): StageEngine => ({
  manifest: engine.manifest,
  range: engine.range,
  report: engine.report,
  lost: engine.lost,
  inputSpecs: engine.inputSpecs,
  outputSpecs: engine.outputSpecs,
  open: (session, positions) => engine.open(session, positions),
  held: (session) => engine.held(session),
  rollback: (session, position) => engine.rollback(session, position),
  close: (session) => engine.close(session),
  run: (step) => engine.run(step),
  dispose: async () => undefined,
})

/** The first value, a thousandth larger. */
function nudged([first, ...rest]: readonly TensorValue[]): readonly TensorValue[] {
  if (!first) return []
  const bytes = first.bytes.slice()
  const values = new Float32Array(bytes.buffer)
  values[0] = (values[0] as number) * 1.001
  return [{ ...first, bytes }, ...rest]
}

describe('a replay', () => {
  it('of an honest answer is equal on every link and in every token', async () => {
    const checks = await answeredBy(honest)
    expect(checks.map(({ name, says }) => `${name}: ${says}`)).toEqual([
      'replay, stage 1: 2 chunks equal bit for bit',
      'replay, stage 2: 2 chunks equal bit for bit',
      'replay, logits of stage 3: 2 chunks equal bit for bit',
      'replay, tokens: 12 tokens, each what the model gives',
    ])
  })

  it('[SM2] chooses as the ticket says', async () => {
    const sampled = { temperature: 0.9, topP: 0.95, seed: 7 }
    expect(verdicts(await answeredBy(honest, sampleToken, sampled))).toEqual([
      'replay, stage 1: ok',
      'replay, stage 2: ok',
      'replay, logits of stage 3: ok',
      'replay, tokens: ok',
    ])
    const other = await answeredBy(honest, (logits, position) => sampleToken(logits, position, { ...sampled, seed: 8 }), sampled)
    expect(other.at(-1)).toMatchObject({ verdict: 'wrong' })
  })

  it('names the stage that sent something else, and the first chunk in which it did', async () => {
    const checks = await answeredBy((stage, position, output) => (stage === 1 && position >= 50 ? nudged(output) : output))
    expect(verdicts(checks)).toEqual([
      'replay, stage 1: ok',
      'replay, stage 2: wrong',
      'replay, logits of stage 3: open',
      expect.stringMatching(/^replay, tokens/),
    ])
    expect(checks[1]?.says).toBe(
      `generation 0, link 2 (stage 2 to stage 3), chunk 1 (rows 30 to 55): not what stage 2 (${stages[1]?.id.slice(0, 8)}, blocks 3 to 4 on wasm) should have sent`,
    )
  })

  it('finds the smallest lie of the first stage, from the prompt on', async () => {
    const checks = await answeredBy((stage, _position, output) => (stage === 0 ? nudged(output) : output))
    expect(verdicts(checks).slice(0, 3)).toEqual(['replay, stage 1: wrong', 'replay, stage 2: open', 'replay, logits of stage 3: open'])
    expect(checks[0]?.says).toContain('chunk 0 (rows 0 to 29)')
  })

  it('names a host that chose another token than its logits give', async () => {
    const checks = await answeredBy(honest, (logits, position, sampling) => {
      const best = sampleToken(logits, position, sampling)
      return position === 50 ? (best + 1) % 200 : best
    })
    expect(verdicts(checks)).toEqual([
      'replay, stage 1: ok',
      'replay, stage 2: ok',
      'replay, logits of stage 3: ok',
      'replay, tokens: wrong',
    ])
    expect(checks[3]?.says).toMatch(/^token 6 \(position 50\): the model gives \d+, the answer has \d+, by stage 3/)
  })

  it('names a host whose logits are not its own', async () => {
    const checks = await answeredBy((stage, position, output) => (stage === 2 && position >= 50 ? nudged(output) : output))
    expect(verdicts(checks).slice(0, 3)).toEqual(['replay, stage 1: ok', 'replay, stage 2: ok', 'replay, logits of stage 3: wrong'])
  })

  it('goes on with its own values where a stage ran on a GPU, and compares the tokens', async () => {
    const checks = await answeredBy(honest, sampleToken, greedy, ['wasm', 'webgpu', 'wasm'])
    expect(checks.map(({ says }) => says)).toEqual([
      '2 chunks equal bit for bit',
      '0 chunks equal bit for bit; 2 chunks not comparable by hash: a GPU rounds otherwise',
      '0 chunks equal bit for bit; 2 chunks not comparable by hash: a GPU rounds otherwise',
      '12 tokens, each what the model gives',
    ])
  })
})

describe('[RR] a replay of a rerouted answer', () => {
  /** Stage 2 is replaced after row 52: its replacement computes everything, others are sent the chunks that they lack. */
  async function rerouted(cheat: Cheat) {
    const before = await pipeline()
    const { signature: _, ...body } = before
    const replacement = stages[3] as Identity
    const changed = { peer: replacement.id, key: replacement.publicKey }
    const after = await signTicket(
      { ...body, generation: 1, stages: before.stages.map((stage, i) => (i === 1 ? { ...stage, ...changed } : stage)) },
      server.privateKey,
    )
    const { answer, carried } = await answerOf(before)
    const lied = await answerOf(before, cheat)
    const ids = [...prompt, ...answer]
    const fed = [
      ...runs.map((rows, i) => ({ position: 15 * i, rows })),
      ...answer.slice(0, -1).map((_, i) => ({ position: 45 + i, rows: 1 })),
    ]
    const answered = answer.map((_, i) => ({ position: 45 + i, rows: 1 }))
    const tokensOf = (steps: typeof fed) =>
      steps.map((step) => ({ ...step, bytes: int64Bytes(ids.slice(step.position, step.position + step.rows)) }))
    const valuesOf = (steps: typeof fed, link: number, from: Map<string, Bytes>) =>
      steps.map((step) => ({ ...step, bytes: from.get(`${link} ${step.position}`) as Bytes }))
    const upTo = (steps: typeof fed, end: number) => steps.filter(({ position }) => position < end)
    const from = (steps: typeof fed, start: number) => steps.filter(({ position }) => position >= start)
    const proofs = [
      ...(await signSteps(before, parties, 0, tokensOf(upTo(fed, 53)), [45])),
      ...(await signSteps(before, parties, 1, valuesOf(upTo(fed, 53), 1, carried))),
      ...(await signSteps(before, parties, 2, valuesOf(upTo(fed, 52), 2, lied.carried))),
      ...(await signSteps(before, parties, 3, tokensOf(upTo(answered, 53)))),
      ...(await signSteps(before, parties, 4, tokensOf(fed.slice(0, 3)))),
      ...(await signSteps(before, parties, 5, valuesOf(upTo(answered, 53), 5, carried))),
      ...(await signSteps(after, parties, 0, tokensOf(from(fed, 45)))),
      ...(await signSteps(after, parties, 1, valuesOf(fed, 1, carried))),
      ...(await signSteps(after, parties, 2, valuesOf(from(fed, 30), 2, carried))),
      ...(await signSteps(after, parties, 3, tokensOf(from(answered, 45)), [56])),
      ...(await signSteps(after, parties, 5, valuesOf(from(answered, 45), 5, carried), [56])),
    ]
    return replayed([before, after], proofs, answer)
  }

  it('is equal in both generations, and runs nothing twice', async () => {
    const checks = await rerouted(honest)
    expect(checks.map(({ name, says }) => `${name}: ${says}`)).toEqual([
      'replay, stage 1: 2 chunks equal bit for bit',
      'replay, stage 1, generation 1: 2 chunks equal bit for bit',
      'replay, stage 2: 2 chunks equal bit for bit',
      'replay, stage 2, generation 1: 1 chunk equal bit for bit',
      'replay, logits of stage 3: 1 chunk equal bit for bit',
      'replay, logits of stage 3, generation 1: 2 chunks equal bit for bit',
      'replay, tokens: 12 tokens, each what the model gives',
    ])
    // Three runs of the prompt and 11 tokens fed back, at each of three stages.
    expect(said.filter((line) => line.includes('computed'))).toHaveLength(3 * 14)
  })

  it('names a stage that lied before it was replaced, and nobody else', async () => {
    const checks = await rerouted((stage, position, output) => (stage === 1 && position >= 50 ? nudged(output) : output))
    expect(verdicts(checks)).toEqual([
      'replay, stage 1: ok',
      'replay, stage 1, generation 1: ok',
      'replay, stage 2: wrong',
      'replay, stage 2, generation 1: ok',
      'replay, logits of stage 3: open',
      'replay, logits of stage 3, generation 1: ok',
      'replay, tokens: ok',
    ])
    expect(checks[2]?.says).toContain(
      `generation 0, link 2 (stage 2 to stage 3), chunk 1 (rows 30 to 51): not what stage 2 (${stages[1]?.id.slice(0, 8)}`,
    )
  })
})
