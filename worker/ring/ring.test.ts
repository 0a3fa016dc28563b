import { afterEach, describe, expect, it } from 'vitest'
import { decodeChunk, chunkBytes, checkReceiver, checkSender } from '../../protocol/custody.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import { maxUnacknowledged } from '../../protocol/limits.ts'
import { answerLink, linkEnds, logitsLink, promptLink, sessionLinks, type Ticket } from '../../protocol/ticket.ts'
import { deferred } from '../../link/deferred.ts'
import { Ring } from '../../testing/ring.ts'
import { loadHere, publishTiny } from '../../testing/tiny-stages.ts'
import type { StageEngine } from '../engine/engine.ts'
import { ToyEngine, toyAnswer, toyManifest } from '../../testing/toy-engine.ts'

const revision = '11'.repeat(32) as Revision
const prompt = Array.from({ length: 45 }, (_, i) => (i * 7 + 3) % 90)
let ring: Ring | undefined

/** A prompt whose answer reaches `tokens` without an end token. */
function promptOfLongAnswer(boundaries: readonly number[], tokens: number): number[] {
  for (let n = 0; ; n++) {
    const candidate = prompt.map((id) => (id + n) % 90)
    if (toyAnswer(candidate, boundaries, tokens).length === tokens) return candidate
  }
}

afterEach(() => ring?.stop(new ManyhandsError('closed', 'The test is over.')))

async function pipeline(boundaries: readonly number[]) {
  const manifest = toyManifest(boundaries.at(-1) as number)
  const engines = boundaries.slice(0, -1).map((first, i) => new ToyEngine(manifest, { first, end: boundaries[i + 1] as number }))
  ring = await Ring.start(engines, revision)
  const ticket = (options = {}) => (ring as Ring).ticket(boundaries, { revision, ...options })
  return { ring, engines, ticket, last: engines.at(-1) as ToyEngine }
}

describe('[HO2] an answer', () => {
  for (const boundaries of [
    [0, 6],
    [0, 3, 6],
    [0, 2, 4, 6],
    [0, 1, 2, 3, 4, 5, 6],
  ]) {
    it(`over ${boundaries.length - 1} stages is the whole model's, token for token`, async () => {
      const { ring, ticket, last } = await pipeline(boundaries)
      expect(await ring.generate(await ticket(), last, prompt, 30)).toEqual(toyAnswer(prompt, boundaries, 30))
    })
  }

  it('is the same however many others run beside it', async () => {
    const { ring, ticket, last } = await pipeline([0, 2, 4, 6])
    const prompts = Array.from({ length: 6 }, (_, n) => prompt.map((id) => (id + n) % 90))
    const answers = await Promise.all(prompts.map(async (p) => ring.generate(await ticket(), last, p, 25)))
    expect(answers).toEqual(prompts.map((p) => toyAnswer(p, [0, 2, 4, 6], 25)))
  })

  it('[SE5] leaves no session behind at any stage', async () => {
    const { ring, ticket, last, engines } = await pipeline([0, 2, 4, 6])
    await ring.generate(await ticket(), last, prompt, 5)
    await ring.heard((m) => m.t === 'done')
    await new Promise((resolve) => setImmediate(resolve))
    await Promise.all(ring.nodes.map((node) => expect.poll(() => node.stats().sessions).toBe(0)))
    expect(engines.map((e) => e.openSessions)).toEqual([0, 0, 0])
  })

  it('[HO3] waits for the requester when too much is unacknowledged', async () => {
    const { ring, ticket, engines } = await pipeline([0, 3, 6])
    const prompt = promptOfLongAnswer([0, 3, 6], 300)
    const acks: (() => void)[] = []
    let tokens = 0
    const full = deferred<void>()
    const asking = await ring.ask(await ticket({ maxPositions: 400 }), () => {
      tokens += 1
      if (tokens === maxUnacknowledged) full.resolve()
    })
    // Acknowledgements are held back on the way.
    const channel = ring.channels.get(`${ring.requester.id}>${ring.identities[1]?.id}`)
    if (channel)
      channel.tamper = (m) =>
        String.fromCharCode(...m.subarray(0, 40)).includes('"ack"') ? void acks.push(() => channel.other?.deliver(m)) : m
    asking.start(prompt.length, 300)
    ring.sendPrompt(asking, prompt)
    await full.promise
    const steps = engines[0]?.held(asking.ticket.session)
    await new Promise((resolve) => setImmediate(resolve))
    expect(tokens).toBe(maxUnacknowledged)
    expect(engines[0]?.held(asking.ticket.session)).toBe(steps)
    if (channel) channel.tamper = (m) => m
    for (const deliver of acks) deliver()
    await asking.ended
    expect(tokens).toBe(toyAnswer(prompt, [0, 3, 6], 300).length)
  })
})

describe('over real stages', () => {
  it('an answer is that of the whole model in one peer, prompts of several runs included', async () => {
    const model = await publishTiny({ layers: 2 })
    const blocks = model.manifest.blocks.length
    const answers: number[][] = []
    for (const boundaries of [
      [0, blocks],
      [0, 2, 4, blocks],
    ]) {
      const engines = await Promise.all(boundaries.slice(1).map((end, i) => loadHere(model, boundaries[i] as number, end)))
      ring = await Ring.start(engines, revision)
      const ticket = await ring.ticket(boundaries, { revision, maxRows: 16 })
      answers.push(await ring.generate(ticket, engines.at(-1) as StageEngine, prompt, 40))
      ring.stop(new ManyhandsError('closed', 'The test is over.'))
      for (const engine of engines) await engine.dispose()
    }
    expect(answers[1]).toEqual(answers[0])
    expect(answers[0]?.length).toBeGreaterThan(1)
  })
})

describe('[CU6] custody', () => {
  for (const boundaries of [
    [0, 6],
    [0, 2, 4, 6],
  ]) {
    it(`over ${boundaries.length - 1} stages proves every row of every link, by the right two peers`, async () => {
      const { ring, ticket, last } = await pipeline(boundaries)
      const t: Ticket = await ticket()
      const answer = await ring.generate(t, last, prompt, 20)
      await ring.heard((m) => m.t === 'done')
      const fed = prompt.length + answer.length - 1
      const tokens = [answerLink(t), logitsLink(t)]
      const due = (link: number) => (tokens.includes(link) ? answer.length : link === promptLink(t) ? prompt.length : fed)
      const chunks = () => ring.proofs.map((proof) => decodeChunk(proof.subarray(0, chunkBytes)))
      const proven = (link: number) => chunks().reduce((sum, chunk) => sum + (chunk.link === link ? chunk.rows : 0), 0)
      await expect.poll(() => sessionLinks(t).map(proven)).toEqual(sessionLinks(t).map(due))
      const keyOf = (peer: string) => [t.requester, ...t.stages].find((p) => p.peer === peer)?.key ?? ''
      for (const [i, { link }] of chunks().entries()) {
        const proof = ring.proofs[i] as Uint8Array
        const ends = linkEnds(t, link)
        expect(await checkSender(proof, keyOf(ends?.from ?? ''))).toBe(true)
        expect(await checkReceiver(proof, keyOf(ends?.to ?? ''))).toBe(true)
      }
    })
  }
})

describe('what goes wrong', () => {
  it('in an engine ends that stage alone: the server hears whose part it was, and the others wait', async () => {
    const { ring, ticket, last, engines } = await pipeline([0, 2, 4, 6])
    const middle = engines[1] as ToyEngine
    middle.before = ({ position }) => {
      if (position > 50) throw new ManyhandsError('not-finite', 'A stage produced NaN.')
    }
    const t = await ticket()
    const answer = ring.generate(t, last, prompt, 30)
    expect(await ring.heard((m) => m.t === 'fault')).toEqual({
      t: 'fault',
      session: t.session,
      error: { code: 'not-finite', message: 'A stage produced NaN.' },
    })
    expect(ring.tellers[0]).toBe(ring.identities[1]?.id)
    expect(engines.map((e) => e.openSessions)).toEqual([1, 0, 1])
    ring.stop(new ManyhandsError('closed', 'The test is over.'))
    await expect(answer).rejects.toMatchObject({ code: 'closed' })
  })

  it('[TK2] with a ticket that is not for this peer, or from another server, is refused', async () => {
    const { ring, ticket } = await pipeline([0, 3, 6])
    const other = await pipeline([0, 3, 6])
    for (const bad of [await other.ticket(), { ...(await ticket()), maxPositions: 9 }, await ring.ticket([0, 2, 6], { revision })]) {
      await expect(ring.nodes[0]?.open(bad)).rejects.toMatchObject({ code: 'bad-ticket' })
    }
    other.ring.stop(new ManyhandsError('closed', 'done'))
  })

  it('[SE2] spoken by a stranger to a session costs the stranger its link', async () => {
    const { ring, ticket, last } = await pipeline([0, 2, 4, 6])
    const t = await ticket()
    const gate = deferred<void>()
    last.before = () => gate.promise
    const answer = ring.generate(t, last, prompt, 10)
    await expect.poll(() => last.held(t.session) + (ring.nodes[2]?.stats().sessions ?? 0)).toBeGreaterThan(0)
    // Stage 0 sends on link 2, which is stage 1's to send on.
    const channel = ring.channels.get(`${ring.identities[0]?.id}>${ring.identities[1]?.id}`)
    await expect.poll(() => channel?.sent.length ?? 0).toBeGreaterThan(3)
    const sent = channel?.sent.find((m) => m[0] === 3)
    if (!sent) throw new Error('no frame was sent')
    const stray = sent.slice()
    stray[1] = 2
    channel?.other?.deliver(stray)
    gate.resolve()
    // Both ends of the link tell the server whom they have lost.
    expect(await ring.heard((m) => m.t === 'fault')).toMatchObject({ error: { code: 'peer-lost' } })
    ring.stop(new ManyhandsError('closed', 'The test is over.'))
    await expect(answer).rejects.toMatchObject({ code: 'closed' })
  })

  it('[HO5] when the requester says stop, ends the work at every stage', async () => {
    const { ring, ticket, engines } = await pipeline([0, 2, 4, 6])
    const asking = await ring.ask(await ticket(), () => asking.stop())
    asking.start(prompt.length, 200)
    ring.sendPrompt(asking, prompt)
    expect(await asking.ended).toMatchObject({ finish: 'aborted' })
    await expect.poll(() => engines.map((e) => e.openSessions)).toEqual([0, 0, 0])
  })

  it('when it leaves while a ticket is being checked, opens nothing any more', async () => {
    const { ring, ticket, engines } = await pipeline([0, 3, 6])
    const opening = ring.nodes[0]?.open(await ticket())
    ring.nodes[0]?.stop(new ManyhandsError('peer-lost', 'A volunteer left.'))
    await expect(opening).rejects.toMatchObject({ code: 'closed' })
    expect(engines[0]?.openSessions).toBe(0)
  })

  it('with a prompt longer than the ticket allows, is refused before anything runs', async () => {
    const { ring, ticket } = await pipeline([0, 3, 6])
    const asking = await ring.ask(await ticket({ maxPositions: 10 }), () => undefined)
    asking.start(prompt.length, 10)
    await expect(asking.ended).rejects.toMatchObject({ code: 'context-overflow' })
  })
})
