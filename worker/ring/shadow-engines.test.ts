/** Audits by real engines, whose wasm runs are equal to the bit: every stage of an answer, honest and not. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { deferred } from '../../link/deferred.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { Revision } from '../../protocol/ids.ts'
import { loadCheatingStage } from '../../testing/cheats/cheat.ts'
import { cheats, type CheatName } from '../../testing/cheats/index.ts'
import { audit, committed, shadowTicket, tokenOf } from '../../testing/ring-shadows.ts'
import { Ring } from '../../testing/ring.ts'
import { ShadowScene, writeDown } from '../../testing/shadows.ts'
import { loadHere, publishedBlobs, publishTiny, type PublishedModel } from '../../testing/tiny-stages.ts'
import type { StageEngine } from '../engine/engine.ts'
import { ortFromPackage } from '../engine/node-engine.ts'

const revision = '11'.repeat(32) as Revision
const prompt = Array.from({ length: 37 }, (_, i) => 3 + ((i * 7) % 250))
const runs = [13, 12, 12]
let model: PublishedModel
let ends: readonly number[]
let scene: ShadowScene | undefined

beforeAll(async () => {
  model = await publishTiny({ layers: 4, context: 128 })
  const { length } = model.manifest.blocks
  ends = [0, Math.floor(length / 3), Math.floor((2 * length) / 3), length]
}, 60_000)

afterEach(() => scene?.stop())

const load = (stage: number) => loadHere(model, ends[stage] as number, ends[stage + 1] as number)
const all = (instead: ReadonlyMap<number, StageEngine> = new Map()) =>
  Promise.all([0, 1, 2].map((stage) => Promise.resolve(instead.get(stage) ?? load(stage))))

const cheating = (name: CheatName, stage: number) =>
  loadCheatingStage(
    cheats[name](),
    {
      manifest: model.manifest,
      range: { first: ends[stage] as number, end: ends[stage + 1] as number },
      backends: ['wasm'],
      memoryBytes: 2 ** 30,
    },
    { ort: ortFromPackage(), blobs: publishedBlobs(model), threads: 1 },
    { signal: new AbortController().signal, onProgress: () => undefined },
  )

describe('[SH4] an audit on wasm', () => {
  it('is equal to the bit for every honest stage, on a cache of another size', async () => {
    const written = await writeDown(await all(), prompt, runs, 40, { temperature: 0.8, topP: 0.9, seed: 5 })
    for (const stage of [0, 1, 2]) {
      scene = await ShadowScene.start(written, await load(stage))
      const ticket = await scene.ticket(stage)
      expect(await scene.answerTo(ticket)).toMatchObject({ t: 'audited', ...(await scene.expected(ticket)) })
      scene.stop()
    }
  }, 60_000)

  for (const name of ['skipped layer', 'f16 weights in one layer', 'f16 cache', 'a small error'] as const) {
    it(`is not for a stage that cheats: ${name}`, async () => {
      const written = await writeDown(await all(new Map([[1, await cheating(name, 1)]])), prompt, runs, 12)
      scene = await ShadowScene.start(written, await load(1))
      const ticket = await scene.ticket(1)
      const { inputs, outputs } = await scene.expected(ticket)
      const told = await scene.answerTo(ticket)
      expect(told).toMatchObject({ t: 'audited', inputs })
      // A cache is rounded where rows are read back: a first run may be right.
      expect(told.t === 'audited' && told.outputs[0]?.filter((hash, i) => hash === outputs[0]?.[i])).toEqual([])
    }, 60_000)
  }
})

describe('[SH6] a standby on wasm', () => {
  it('takes a last stage over, answers as that would have, and is audited as if it had been there from the first row', async () => {
    const [, middle = 0] = ends
    const boundaries = [0, middle, model.manifest.blocks.length]
    const last = () => loadHere(model, middle, model.manifest.blocks.length)
    const engines = await Promise.all([loadHere(model, 0, middle), last(), last(), last()])
    const [undisturbed, ring] = await Promise.all([Ring.start(engines.slice(0, 2), revision), Ring.start(engines, revision)])
    try {
      const expected = await undisturbed.generate(
        await undisturbed.ticket(boundaries, { revision, maxPositions: 128 }),
        engines[1],
        prompt,
        80,
      )
      const ticket = await ring.ticket(boundaries, { revision, maxPositions: 128 })
      const tokens: Step[] = []
      const [begun, far] = [deferred<void>(), deferred<void>()]
      const asking = await ring.ask(ticket, (step) => {
        tokens.push(step)
        if (tokens.length === 1) begun.resolve()
        if (tokens.length === 50) far.resolve()
      })
      asking.start(prompt.length, 80)
      ring.sendPrompt(asking, prompt)
      await begun.promise
      const standby = await shadowTicket(ring, ticket, 1, prompt.length, { shadow: 2, source: 0 }, 'standby')
      void ring.nodes[2]?.shadows.start(standby)
      await far.promise
      ring.kill(1)
      const next = await ring.reroute(ticket.session, [0, 2])
      await asking.ended
      expect(tokens.map(tokenOf)).toEqual(expected)
      await expect.poll(() => ring.nodes.reduce((sum, node) => sum + node.stats().sessions, 0)).toBe(0)
      const again = await shadowTicket(ring, next, 1, prompt.length, { shadow: 3, source: 0 })
      expect(await audit(ring, 3, again)).toMatchObject({ t: 'audited', ...(await committed(ring, again)) })
    } finally {
      for (const each of [undisturbed, ring]) each.stop(new ManyhandsError('closed', 'The test is over.'))
    }
  }, 240_000)
})
