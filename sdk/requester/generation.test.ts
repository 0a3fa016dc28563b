import { describe, expect, it, vi } from 'vitest'
import { lettersManifest, lettersRevision, lettersTokenizer, ToldSessions } from '../../testing/told-sessions.ts'
import type { Correction, GenerateOptions, Progress } from '../types.ts'
import { BrokenAnswer } from './broken-answer.ts'
import { Generating } from './generation.ts'
import { pipelinesFor } from './verification.ts'

function ask(options: GenerateOptions = {}) {
  const source = new ToldSessions()
  const corrections: Correction[] = []
  const progress: Progress[] = []
  const all: GenerateOptions = { ...options, onCorrection: (c) => corrections.push(c), onProgress: (p) => progress.push(p) }
  const question = {
    manifest: lettersManifest,
    revision: lettersRevision,
    tokenizer: lettersTokenizer,
    eos: [0],
    ids: [1, 2],
    maxTokens: 32,
    sampling: { temperature: 0, topP: 1, seed: 7 },
    pipelines: pipelinesFor(options.verify),
    startedAt: 0,
    options: all,
  }
  const generation = new Generating(source, Promise.resolve(question), all)
  const pieces: string[] = []
  const read = (async () => {
    for await (const piece of generation) pieces.push(piece)
  })()
  read.catch(() => undefined)
  return { source, generation, corrections, progress, pieces, read }
}

const streamed = (asked: ReturnType<typeof ask>, text: string) => expect.poll(() => asked.pieces.join('')).toBe(text)

describe('an audited answer', () => {
  it('streams at once, resolves at its end, and is settled when the audits are done', async () => {
    const asked = ask()
    const session = await asked.source.session(1)
    expect(session.terms).not.toHaveProperty('apart')
    session.say('hel')
    await streamed(asked, 'hel')
    session.say('lo.')
    session.end()
    expect(await asked.generation).toMatchObject({ text: 'hello', tokenIds: [8, 5, 12, 12, 15, 0], finish: 'stop', corrected: false })
    asked.source.receipt(session, 'provisional')
    expect(await asked.generation.receipt).toMatchObject({ status: 'provisional' })
    asked.source.receipt(session, 'settled', { audits: { done: 3, of: 9 } })
    expect(await asked.generation.settled).toMatchObject({ status: 'settled', audits: { done: 3, of: 9 } })
    expect(await asked.generation.receipts).toHaveLength(1)
    expect(asked.corrections).toEqual([])
  })

  it('found wrong in the middle is asked again; what is the same is not streamed twice, and the promise is the whole', async () => {
    const asked = ask()
    const first = await asked.source.session(1)
    first.say('hel')
    await streamed(asked, 'hel')
    asked.source.wrong(first)
    const second = await asked.source.session(2)
    expect(second.terms).toMatchObject({ corrects: first.ticket.session, sampling: { seed: 7 }, maxPositions: 34 })
    expect(first.failed?.code).toBe('aborted')
    second.say('hello.')
    second.end()
    expect(await asked.generation).toMatchObject({ text: 'hello', corrected: true })
    await asked.read
    expect(asked.pieces.join('')).toBe('hello')
    expect(asked.corrections).toEqual([])
    expect(asked.progress).toContainEqual({ phase: 'correcting', reason: 'An audit found another result.' })
  })

  it('that differs from what was streamed says so before the promise resolves, and nothing wrong is added to the stream', async () => {
    const asked = ask()
    const first = await asked.source.session(1)
    first.say('help')
    await streamed(asked, 'help')
    asked.source.wrong(first)
    const second = await asked.source.session(2)
    second.say('hello.')
    second.end()
    const answer = await asked.generation
    expect(answer.text).toBe('hello')
    expect(asked.corrections).toEqual([{ answer, from: 3, reason: 'An audit found another result.' }])
    await asked.read
    expect(asked.pieces.join('')).toBe('help')
  })

  it('found wrong after its end is corrected by the event, and settled by the corrected receipt', async () => {
    const asked = ask()
    const first = await asked.source.session(1)
    first.say('cat.')
    first.end()
    expect(await asked.generation).toMatchObject({ text: 'cat', corrected: false })
    asked.source.receipt(first, 'provisional')
    asked.source.wrong(first)
    const second = await asked.source.session(2)
    second.say('car.')
    second.end()
    asked.source.receipt(second, 'corrected')
    expect(await asked.generation.settled).toMatchObject({ status: 'corrected', session: second.ticket.session })
    expect(asked.corrections).toMatchObject([{ answer: { text: 'car', corrected: true }, from: 2 }])
    expect(await asked.generation).toMatchObject({ text: 'cat' })
  })

  it('that was settled and is found wrong all the same is corrected too, and so is its correction', async () => {
    const asked = ask()
    const first = await asked.source.session(1)
    first.say('cat.')
    first.end()
    await asked.generation
    asked.source.receipt(first, 'settled')
    expect(await asked.generation.settled).toMatchObject({ status: 'settled' })
    asked.source.wrong(first)
    const second = await asked.source.session(2)
    second.say('car.')
    second.end()
    asked.source.receipt(second, 'corrected')
    await expect.poll(() => asked.corrections).toHaveLength(1)
    asked.source.wrong(second)
    const third = await asked.source.session(3)
    expect(third.terms).toMatchObject({ corrects: second.ticket.session })
    third.say('cab.')
    third.end()
    await expect.poll(() => asked.corrections).toMatchObject([{ answer: { text: 'car' } }, { answer: { text: 'cab' }, from: 2 }])
  })

  it('is asked again twice at most', async () => {
    const asked = ask()
    for (const n of [1, 2, 3]) {
      const session = await asked.source.session(n)
      session.say('ab')
      asked.source.wrong(session)
    }
    await expect(asked.generation).rejects.toMatchObject({ code: 'disputed', message: expect.stringContaining('3 times') })
    expect(asked.source.sessions).toHaveLength(3)
  })

  it('that breaks off rejects with the tokens that had come, in the stream and in the promise', async () => {
    const asked = ask()
    const session = await asked.source.session(1)
    session.say('ab')
    session.breakOff()
    const error: unknown = await asked.generation.then(undefined, (thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(BrokenAnswer)
    expect(error).toMatchObject({ code: 'peer-lost', partial: { text: 'ab', tokenIds: [1, 2] } })
    await expect(asked.read).rejects.toBe(error)
    await expect(asked.generation.settled).rejects.toBe(error)
  })

  it('whose last stage did not sign for it is told to the server, and asked again when the server agrees', async () => {
    const asked = ask()
    const first = await asked.source.session(1)
    first.forged = true
    first.say('ab.')
    first.end()
    await expect.poll(() => asked.source.faults).toMatchObject([{ session: first.ticket.session, error: { code: 'bad-signature' } }])
    asked.source.wrong(first)
    const second = await asked.source.session(2)
    second.say('ab.')
    second.end()
    expect(await asked.generation).toMatchObject({ text: 'ab' })
  })

  it('whose last stage did not sign for it fails when the server says nothing', async () => {
    vi.useFakeTimers()
    try {
      const asked = ask()
      const first = await asked.source.session(1)
      first.forged = true
      first.end()
      const failed = expect(asked.generation).rejects.toMatchObject({ code: 'bad-signature' })
      await vi.advanceTimersByTimeAsync(3_000)
      await failed
    } finally {
      vi.useRealTimers()
    }
  })

  it('of which the server says no more rejects the receipts in their time', async () => {
    vi.useFakeTimers()
    try {
      const asked = ask()
      const session = await asked.source.session(1)
      session.say('a.')
      session.end()
      await asked.generation
      const receipt = expect(asked.generation.receipt).rejects.toMatchObject({ code: 'timeout' })
      const settled = expect(asked.generation.settled).rejects.toMatchObject({ code: 'timeout' })
      await vi.advanceTimersByTimeAsync(30_000)
      await receipt
      await vi.advanceTimersByTimeAsync(270_000)
      await settled
    } finally {
      vi.useRealTimers()
    }
  })

  it('ends at a stop string, which is told to the volunteers', async () => {
    const asked = ask({ stop: 'lo' })
    const session = await asked.source.session(1)
    session.say('hello')
    expect(session.stopped).toBe(true)
    session.say('x')
    session.end('aborted')
    expect(await asked.generation).toMatchObject({ text: 'hel', finish: 'stop' })
    await asked.read
    expect(asked.pieces.join('')).toBe('hel')
  })

  it('is stopped by its signal, correction or not', async () => {
    const controller = new AbortController()
    const asked = ask({ signal: controller.signal })
    const first = await asked.source.session(1)
    first.say('ab')
    asked.source.wrong(first)
    const second = await asked.source.session(2)
    controller.abort()
    await expect(asked.generation).rejects.toMatchObject({ code: 'aborted' })
    expect(second.failed?.code).toBe('aborted')
  })

  it('is recorded with what was asked, all that was sent, and its receipt', async () => {
    const asked = ask({ stop: 'b' })
    const session = await asked.source.session(1)
    session.say('abc')
    session.end('aborted')
    await asked.generation
    asked.source.receipt(session, 'provisional')
    expect(await asked.generation.record()).toMatchObject({ prompt: { ids: [1, 2] }, answer: { ids: [1, 2, 3] } })
  })
})

describe('a quorum of two', () => {
  const verify = { quorum: 2 } as const

  it('asks two pipelines that share nobody, with one seed, and streams what both have said', async () => {
    const asked = ask({ verify })
    const [a, b] = [await asked.source.session(1), await asked.source.session(2)]
    expect(b.terms).toMatchObject({ apart: [a.ticket.session], sampling: a.terms.sampling })
    a.say('hello')
    b.say('he')
    await streamed(asked, 'he')
    expect(asked.progress.at(-1)).toEqual({ phase: 'answer', tokens: 2 })
    b.say('llo.')
    a.say('.')
    for (const session of [a, b]) session.end()
    expect(await asked.generation).toMatchObject({ text: 'hello', corrected: false })
    for (const session of [a, b]) asked.source.receipt(session, 'settled')
    expect((await asked.generation.receipts).map(({ session }) => session)).toEqual([a.ticket.session, b.ticket.session])
    expect(await asked.generation.settled).toMatchObject({ status: 'settled' })
    expect(asked.source.disputes).toEqual([])
  })

  it('that differs is decided by a third, and nothing of the other is given out', async () => {
    const asked = ask({ verify })
    const [a, b] = [await asked.source.session(1), await asked.source.session(2)]
    a.say('cat')
    b.say('car')
    const c = await asked.source.session(3)
    expect(asked.source.disputes).toEqual([[a.ticket.session, b.ticket.session]])
    expect(c.terms.apart).toEqual([a.ticket.session, b.ticket.session])
    c.say('car.')
    b.say('.')
    await streamed(asked, 'car')
    for (const session of [b, c]) session.end()
    expect(await asked.generation).toMatchObject({ text: 'car' })
    expect(a.failed?.code).toBe('aborted')
  })

  it('that one ends earlier than the other differs too', async () => {
    const asked = ask({ verify })
    const [a, b] = [await asked.source.session(1), await asked.source.session(2)]
    a.say('ab')
    b.say('abc')
    a.end('length')
    b.end('length')
    await asked.source.session(3)
    expect(asked.source.disputes).toHaveLength(1)
  })

  it('of three that all differ is disputed, with how many there were', async () => {
    const asked = ask({ verify })
    const [a, b] = [await asked.source.session(1), await asked.source.session(2)]
    a.say('ax')
    b.say('ay')
    const c = await asked.source.session(3)
    c.say('az')
    await expect(asked.generation).rejects.toMatchObject({
      code: 'disputed',
      retryable: true,
      message: expect.stringContaining('3 pipelines'),
      partial: { text: 'a' },
    })
    expect(asked.source.sessions).toHaveLength(3)
    expect(asked.source.disputes.at(-1)).toHaveLength(3)
  })

  it('with volunteers for one pipeline says how many there were, and lets that one go', async () => {
    const asked = ask({ verify })
    asked.source.available = 1
    await expect(asked.generation).rejects.toMatchObject({
      code: 'no-volunteers',
      message: expect.stringMatching(/2 pipelines .* volunteers for 1\. Nobody else holds blocks/),
    })
    expect(asked.source.sessions[0]?.failed?.code).toBe('aborted')
  })

  it('whose one pipeline breaks off goes on with a third', async () => {
    const asked = ask({ verify })
    const [a, b] = [await asked.source.session(1), await asked.source.session(2)]
    a.say('ab')
    b.breakOff()
    const c = await asked.source.session(3)
    a.say('.')
    c.say('ab.')
    for (const session of [a, c]) session.end()
    expect(await asked.generation).toMatchObject({ text: 'ab' })
    expect(asked.source.disputes).toEqual([])
  })

  it('found wrong before it agreed has no voice, and after it is corrected by one asking', async () => {
    const asked = ask({ verify })
    const [a, b] = [await asked.source.session(1), await asked.source.session(2)]
    b.say('ab')
    asked.source.wrong(b)
    const c = await asked.source.session(3)
    for (const session of [a, c]) {
      session.say('ac.')
      session.end()
    }
    expect(await asked.generation).toMatchObject({ text: 'ac' })
    asked.source.wrong(c)
    const d = await asked.source.session(4)
    expect(d.terms).toMatchObject({ corrects: c.ticket.session })
    d.say('ad.')
    d.end()
    await expect.poll(() => asked.corrections).toMatchObject([{ from: 1, answer: { text: 'ad' } }])
  })

  it('ends at a stop string that both have said', async () => {
    const asked = ask({ verify, stop: 'c' })
    const [a, b] = [await asked.source.session(1), await asked.source.session(2)]
    a.say('abcde')
    expect(a.stopped).toBe(false)
    b.say('abc')
    expect(a.stopped && b.stopped).toBe(true)
    a.end('aborted')
    b.say('d')
    b.end('aborted')
    expect(await asked.generation).toMatchObject({ text: 'ab', finish: 'stop' })
  })
})

describe('a quorum of three', () => {
  it('needs three to agree, and asks five at most', async () => {
    const asked = ask({ verify: { quorum: 3 } })
    const first = [await asked.source.session(1), await asked.source.session(2), await asked.source.session(3)]
    first.forEach((session, i) => session.say(['ax', 'ab', 'ay'][i] as string))
    const later = [await asked.source.session(4), await asked.source.session(5)]
    for (const session of later) session.say('ab.')
    await streamed(asked, 'ab')
    first[1]?.say('.')
    for (const session of [first[1], ...later]) session?.end()
    expect(await asked.generation).toMatchObject({ text: 'ab' })
    expect(asked.source.sessions).toHaveLength(5)
  })
})
