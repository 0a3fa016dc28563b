import { afterEach, describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import type { TokenOdds } from '../../protocol/logprobs.ts'
import { unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import { disturbed } from '../../testing/disturbed.ts'
import { Ring } from '../../testing/ring.ts'
import { ToyEngine, toyAnswer, toyManifest, toyVocab } from '../../testing/toy-engine.ts'
import { feedSpecs, readTokens } from './step-tensors.ts'

const revision = '11'.repeat(32) as Revision
const boundaries = [0, 3, 6]
const manifest = toyManifest(6)
const prompt = Array.from({ length: 20 }, (_, i) => (i * 7 + 3) % 90)
const odds = { count: 3, vocab: toyVocab }
let ring: Ring | undefined

afterEach(() => ring?.stop(new ManyhandsError('closed', 'The test is over.')))

/** Two stages and a spare for each. */
async function asked() {
  const engines = [0, 1, 0, 1].map((i) => new ToyEngine(manifest, { first: boundaries[i] as number, end: boundaries[i + 1] as number }))
  ring = await Ring.start(engines, revision)
  const told: { id: number; odds: TokenOdds | undefined }[] = []
  const at: Record<number, () => unknown> = {}
  const ticket = await ring.ticket(boundaries, { revision, maxPositions: 200 })
  const asking = await ring.ask(ticket, (step, odds) => {
    const [value] = unpackTensors(step.payload, feedSpecs(manifest))
    const [id] = readTokens(value as TensorValue, step.rows, toyVocab) as [number]
    told.push({ id, odds })
    void at[told.length]?.()
  })
  return { ring, asking, told, at }
}

/** Toy logits are 1 at the token and 0 elsewhere. */
const likely = 1 - Math.log(Math.E + toyVocab - 1)

describe('[LP1] odds that are asked for', () => {
  it('come with every token, and are of the logits that it was chosen from', async () => {
    const { ring, asking, told } = await asked()
    asking.start(prompt.length, 30, odds)
    ring.sendPrompt(asking, prompt)
    await asking.ended
    expect(told.map(({ id }) => id)).toEqual(toyAnswer(prompt, boundaries, 30))
    for (const { id, odds } of told) {
      expect(odds?.logprob).toBeCloseTo(likely, 12)
      expect(odds?.top.map(([of]) => of)).toEqual([id, ...[0, 1, 2].filter((of) => of !== id)].slice(0, 3))
    }
  })

  it('come from whoever takes over as the last stage', async () => {
    const { ring, asking, told, at } = await asked()
    at[10] = () => {
      ring.kill(1)
      void ring.reroute(asking.ticket.session, [0, 3])
    }
    asking.start(prompt.length, 30, odds)
    ring.sendPrompt(asking, prompt)
    await asking.ended
    expect(told.map(({ id }) => id)).toEqual(toyAnswer(prompt, boundaries, 30))
    expect(told.every(({ odds }) => odds !== undefined)).toBe(true)
  })

  it('come whatever happens to the pipeline', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const run = await disturbed(seed, odds)
      expect(run.ids, `seed ${seed}: ${run.story.join(', ')}`).toEqual(run.wanted)
      run.stop()
    }
  })

  it('that are missing are the last stage’s fault, and its token is not taken', async () => {
    const { ring, asking, told } = await asked()
    const channel = ring.channels.get(`${ring.identities[1]?.id}<${ring.requester.id}`)
    if (!channel) throw new Error('The requester has no channel to the last stage.')
    channel.tamper = (message) => (Buffer.from(message.subarray(0, 40)).includes('"odds"') ? undefined : message)
    asking.start(prompt.length, 30, odds)
    ring.sendPrompt(asking, prompt)
    await expect.poll(() => ring.blamed).toEqual([asking.host.peer])
    expect(told).toEqual([])
  })
})

it('[LP1] odds that nobody asked for are not sent', async () => {
  const { ring, asking, told } = await asked()
  asking.start(prompt.length, 10)
  ring.sendPrompt(asking, prompt)
  await asking.ended
  expect(told.every(({ odds }) => odds === undefined)).toBe(true)
  for (const channel of ring.channels.values()) expect(channel.sent.some((message) => Buffer.from(message).includes('"odds"'))).toBe(false)
})
