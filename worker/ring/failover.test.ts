import { afterEach, describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import { custodyFlaw, disturbed } from '../../testing/disturbed.ts'
import { Ring } from '../../testing/ring.ts'
import { ToyEngine, toyAnswer, toyManifest } from '../../testing/toy-engine.ts'
import { feedSpecs, readTokens } from './step-tensors.ts'
import { unpackTensors, type TensorValue } from '../../protocol/tensors.ts'

const revision = '11'.repeat(32) as Revision
const boundaries = [0, 2, 4, 6]
const manifest = toyManifest(6)
const prompt = Array.from({ length: 45 }, (_, i) => (i * 7 + 3) % 90)
let ring!: Ring

afterEach(() => ring?.stop(new ManyhandsError('closed', 'The test is over.')))

const engineFor = (stage: number, bounds: readonly number[] = boundaries) =>
  new ToyEngine(manifest, { first: bounds[stage] as number, end: bounds[stage + 1] as number })

/** Three stages and, behind them, a spare for each. */
async function spared(bounds: readonly number[] = boundaries) {
  const stages = bounds.slice(1).map((_, i) => engineFor(i, bounds))
  const spares = bounds.slice(1).map((_, i) => engineFor(i, bounds))
  ring = await Ring.start([...stages, ...spares], revision)
  return { engines: [...stages, ...spares], ticket: await ring.ticket(bounds, { revision, maxPositions: 400 }) }
}

/** Asks, and calls `at` when so many tokens have come. */
async function answer(ticket: Ticket, tokens: number, at: Record<number, () => unknown>): Promise<number[]> {
  const ids: number[] = []
  const asking = await ring.ask(ticket, (step) => {
    const [value] = unpackTensors(step.payload, feedSpecs(manifest))
    ids.push(...readTokens(value as TensorValue, step.rows, 97))
    void at[ids.length]?.()
  })
  asking.start(prompt.length, tokens)
  ring.sendPrompt(asking, prompt)
  void at[0]?.()
  const { finish, signature } = await asking.ended
  expect(finish).not.toBe('error')
  const bytes = new Uint8Array(Uint32Array.from(ids).buffer)
  await asking.checkAnswer(bytes, signature)
  return ids
}

describe('[RR] whatever happens to a pipeline', () => {
  const runs = Number(process.env['MANYHANDS_FAILOVERS'] ?? 60)

  it("the answer is the whole model's, without a hole or a repetition, and custody covers every row", async () => {
    for (let seed = 1; seed <= runs; seed++) await undisturbed(seed)
  })
})

async function undisturbed(seed: number): Promise<void> {
  const run = await disturbed(seed)
  try {
    expect(run.ids, `seed ${seed}: ${run.story.join(', ')}`).toEqual(run.wanted)
    await expect.poll(() => custodyFlaw(run), { message: `seed ${seed}: ${run.story.join(', ')}` }).toBeUndefined()
  } finally {
    run.stop()
  }
}

describe('[RR] a stage that dies mid-answer', () => {
  for (const stage of [0, 1, 2]) {
    it(`is replaced: stage ${stage} of 3, and the text is the same`, async () => {
      const { ticket } = await spared()
      const ids = await answer(ticket, 60, {
        20: () => {
          ring.kill(stage)
          void ring.reroute(
            ticket.session,
            [0, 1, 2].map((s) => (s === stage ? s + 3 : s)),
          )
        },
      })
      expect(ids).toEqual(toyAnswer(prompt, boundaries, 60))
    })
  }
})
