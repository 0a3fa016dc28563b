/** Shadows in whole pipelines: what stages signed is computed again by another peer, or taken over by it in the middle of an answer. */
import { afterEach, describe, expect, it } from 'vitest'
import { fromBase64 } from '../../protocol/base64.ts'
import { toHex } from '../../protocol/bytes.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Hash, PeerId, Revision } from '../../protocol/ids.ts'
import { Ring } from '../../testing/ring.ts'
import { audit, committed, shadowTicket, signedOn, tokenOf } from '../../testing/ring-shadows.ts'
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

/** A toy that says it runs on a GPU: its numbers are not expected to be another's to the bit. */
const onGpu = (toy: ToyEngine): ToyEngine => Object.assign(toy, { report: { ...toy.report, backend: 'webgpu' as const } })

describe('[SH5] where backends differ', () => {
  it('rows are fetched from who holds them: activations from the next stage, the last logits from the host itself', async () => {
    const manifest = toyManifest(6)
    const parts = [0, 3, 0, 3].map((first) => onGpu(new ToyEngine(manifest, { first, end: first + 3 })))
    ring = await Ring.start(parts, revision)
    const made = await ring.ticket([0, 3, 6], { revision })
    const ticket = { ...made, stages: made.stages.map((stage) => ({ ...stage, backend: 'webgpu' as const })) }
    await ring.generate(made, parts[1] as ToyEngine, promptOfLongAnswer([0, 3, 6], 90), 90)
    await expect.poll(() => ring?.nodes.reduce((sum, node) => sum + node.stats().sessions, 0)).toBe(0)
    for (const { stage, links, rows } of [
      { stage: 0, links: [1], rows: undefined },
      { stage: 1, links: [4, 2], rows: 64 },
    ]) {
      const shadow = await shadowTicket(ring, ticket, stage, prompt.length, { shadow: 2 + stage, source: 1 - stage })
      expect(await audit(ring, 2 + stage, shadow)).toMatchObject({ t: 'audited', ...(await committed(ring, shadow)) })
      let left = rows ?? Infinity
      const near = signedOn(ring, ticket.session, links[0] as number)
        .reverse()
        .filter((chunk) => (left -= chunk.rows) >= 0)
      const chunks = near.flatMap(({ firstPosition, rows }) =>
        links.map((link) => {
          const signed = signedOn(ring as Ring, ticket.session, link).find((c) => c.firstPosition === firstPosition)
          return { link, position: firstPosition, rows, hash: toHex(signed?.payloadHash ?? new Uint8Array()) as Hash }
        }),
      )
      expect(chunks.length).toBeGreaterThan(1)
      const holder = ring.identities[1]?.id as PeerId
      ring.nodes[2 + stage]?.shadows.reveal({ t: 'reveal', shadow: shadow.shadow, seed: '5a'.repeat(32), holder, chunks })
      const told = await ring.heard((m) => 'shadow' in m && m.shadow === shadow.shadow && m.t !== 'audited')
      expect(told).toMatchObject({ t: 'sketched' })
      expect(told.t === 'sketched' && told.own).toBe(told.t === 'sketched' && told.theirs)
      expect(told.t === 'sketched' && fromBase64(told.own).length).toBe(16 * near.reduce((sum, chunk) => sum + chunk.rows, 0))
    }
  })
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
      const [begun, far, warm] = [deferred<void>(), deferred<void>(), deferred<void>()]
      ;(engines[standby] as ToyEngine).before = ({ position, rows }) => {
        ran.push(...Array.from({ length: rows }, (_, i) => position + i))
        if (position > prompt.length + 33) warm.resolve()
      }
      const tokens: number[] = []
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
      await Promise.all([far.promise, warm.promise])
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
