/** Shadows in whole pipelines: what stages signed is computed again by another peer, or taken over by it in the middle of an answer. */
import { afterEach, describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { Revision } from '../../protocol/ids.ts'
import { Ring } from '../../testing/ring.ts'
import { audit, committed, shadowTicket } from '../../testing/ring-shadows.ts'
import type { TicketOptions } from '../../testing/tickets.ts'
import { ToyEngine, toyAnswer, toyManifest } from '../../testing/toy-engine.ts'
import { deferred } from '../../link/deferred.ts'

const revision = '11'.repeat(32) as Revision
const prompt = Array.from({ length: 45 }, (_, i) => (i * 7 + 3) % 90)
let ring: Ring | undefined

afterEach(() => ring?.stop(new ManyhandsError('closed', 'The test is over.')))

/** A prompt whose answer reaches `tokens` without an end token. */
function promptOfLongAnswer(boundaries: readonly number[], tokens: number): number[] {
  for (let n = 0; ; n++) {
    const candidate = prompt.map((id) => (id + n) % 90)
    if (toyAnswer(candidate, boundaries, tokens).length === tokens) return candidate
  }
}

const tokenOf = ({ payload }: Step): number => Number(new DataView(payload.buffer, payload.byteOffset + 9).getBigInt64(0, true))

/** A pipeline, and for every stage another volunteer with the same blocks behind it: stage i has volunteer n + i. */
async function twice(boundaries: readonly number[]) {
  const manifest = toyManifest(boundaries.at(-1) as number)
  const make = () => boundaries.slice(0, -1).map((first, i) => new ToyEngine(manifest, { first, end: boundaries[i + 1] as number }))
  const engines = [...make(), ...make()]
  ring = await Ring.start(engines, revision)
  return {
    ring,
    engines,
    stages: boundaries.length - 1,
    ticket: (options: TicketOptions = {}) => (ring as Ring).ticket(boundaries, { revision, ...options }),
  }
}

describe('[SH4] of an answer over a whole pipeline', () => {
  for (const boundaries of [
    [0, 6],
    [0, 3, 6],
    [0, 2, 4, 6],
  ]) {
    it(`every stage's audit commits to what the stage signed, fed by either end: ${boundaries.length - 1} stages`, async () => {
      const { ring, engines, stages, ticket: make } = await twice(boundaries)
      const ticket = await make({ sampling: { temperature: 0.7, topP: 0.9, seed: 3 } })
      await ring.generate(ticket, engines[stages - 1] as ToyEngine, prompt, 50)
      // Every signature of the answer is in once its end has been all round.
      await expect.poll(() => ring.nodes.reduce((sum, node) => sum + node.stats().sessions, 0)).toBe(0)
      for (let stage = 0; stage < stages; stage++) {
        for (const source of new Set([(stage + stages - 1) % stages, stage])) {
          const shadow = await shadowTicket(ring, ticket, stage, prompt.length, { shadow: stages + stage, source })
          expect(await audit(ring, stages + stage, shadow)).toMatchObject({ t: 'audited', ...(await committed(ring, shadow)) })
        }
        expect(ring.nodes[stages + stage]?.stats()).toMatchObject({ audits: stages > 1 ? 2 : 1 })
      }
    })
  }
})

describe('[SH6] a standby', () => {
  const boundaries = [0, 2, 4, 6]
  const prompt = promptOfLongAnswer(boundaries, 160)

  for (const stage of [0, 1, 2]) {
    it(`takes stage ${stage} over in the middle of an answer, which is the same, and runs next to nothing twice`, async () => {
      const { ring, engines, stages, ticket: make } = await twice(boundaries)
      const ticket = await make()
      const standby = stages + stage
      const ran: number[] = []
      ;(engines[standby] as ToyEngine).before = ({ position, rows }) =>
        void ran.push(...Array.from({ length: rows }, (_, i) => position + i))
      const tokens: number[] = []
      const [begun, far] = [deferred<void>(), deferred<void>()]
      const asking = await ring.ask(ticket, (step) => {
        tokens.push(tokenOf(step))
        if (tokens.length === 1) begun.resolve()
        if (tokens.length === 100) far.resolve()
      })
      asking.start(prompt.length, 160)
      ring.sendPrompt(asking, prompt)
      await begun.promise
      const source = (stage + stages - 1) % stages
      const shadow = await shadowTicket(ring, ticket, stage, prompt.length, { shadow: standby, source }, 'standby')
      void ring.nodes[standby]?.shadows.start(shadow)
      await far.promise
      ring.kill(stage)
      const held = ring.nodes[standby]?.probe(shadow.shadow)?.held ?? 0
      await ring.reroute(
        ticket.session,
        [0, 1, 2].map((i) => (i === stage ? standby : i)),
      )
      await asking.ended
      expect(tokens).toEqual(toyAnswer(prompt, boundaries, 160))
      // A chunk behind, and of what it held at most the row that the next token is chosen from is run again.
      expect(held).toBeGreaterThan(prompt.length + 32)
      expect(ran.length - new Set(ran).size).toBeLessThanOrEqual(1)
    })
  }

  it('of a last stage goes on from what the requester has, also where it has run further', async () => {
    const { ring, ticket: make } = await twice(boundaries)
    const ticket = await make()
    const tokens: number[] = []
    const [begun, some] = [deferred<void>(), deferred<void>()]
    const asking = await ring.ask(ticket, (step) => {
      tokens.push(tokenOf(step))
      if (tokens.length === 1) begun.resolve()
      // Nothing more reaches the requester; the ring goes on for a while.
      if (tokens.length === 20) {
        const toRequester = ring.channels.get(`${ring.identities[2]?.id}<${ring.requester.id}`)
        if (toRequester) toRequester.tamper = () => undefined
        some.resolve()
      }
    })
    asking.start(prompt.length, 160)
    ring.sendPrompt(asking, prompt)
    await begun.promise
    const shadow = await shadowTicket(ring, ticket, 2, prompt.length, { shadow: 5, source: 1 }, 'standby')
    void ring.nodes[5]?.shadows.start(shadow)
    await some.promise
    await expect.poll(() => ring.nodes[5]?.probe(shadow.shadow)?.held).toBeGreaterThan(prompt.length + 21)
    ring.kill(2)
    await ring.reroute(ticket.session, [0, 1, 5])
    await asking.ended
    expect(tokens).toEqual(toyAnswer(prompt, boundaries, 160))
  })
})
