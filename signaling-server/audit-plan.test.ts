import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex, utf8 } from '../protocol/bytes.ts'
import type { Chunk } from '../protocol/custody.ts'
import { sha256 } from '../protocol/hash.ts'
import type { PeerId } from '../protocol/ids.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { inputsHash } from '../protocol/shadow.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { makeTicket } from '../testing/tickets.ts'
import { stageChunks, stageJobs, type Answered, type StageJob } from './audit-plan.ts'

const greedy = { temperature: 0, topP: 1, seed: 0 }
let server: Identity
let requester: Identity
let stages: Identity[]

beforeAll(async () => {
  ;[server, requester, ...stages] = (await Promise.all(Array.from({ length: 6 }, () => createIdentity()))) as [
    Identity,
    Identity,
    ...Identity[],
  ]
})

const stage = (i: number) => stages[i] as Identity

interface Laid {
  readonly ticket: Ticket
  /** Rows of its chunks, by link, from a position on. */
  readonly links: Readonly<Record<number, readonly [from: number, ...rows: number[]]>>
}

/** Chunks whose hash says which rows of which link they are, whatever the generation. */
async function answered(...laid: readonly Laid[]): Promise<Answered> {
  const all = new Map<string, Chunk[]>()
  for (const { ticket, links } of laid) {
    for (const [name, [from, ...cuts]] of Object.entries(links)) {
      const link = Number(name)
      let at = from
      const chunks: Chunk[] = []
      for (const [seq, rows] of cuts.entries()) {
        const payloadHash = await hashOf(link, at, rows)
        const { session, generation } = ticket
        chunks.push({ session, generation, link, seq, firstPosition: at, rows, alone: 0, payloadHash })
        at += rows
      }
      all.set(`${ticket.generation}/${link}`, chunks)
    }
  }
  return { tickets: laid.map((l) => l.ticket), chunks: (generation, link) => all.get(`${generation}/${link}`) ?? [] }
}

const hashOf = async (link: number, at: number, rows: number) => fromHex(await sha256(utf8(`${link} ${at} ${rows}`)))

/** A later generation of a session, with other stages. */
const next = async (of: Ticket, over: readonly Identity[]): Promise<Ticket> => ({
  ...(await makeTicket(server, requester, over, { sampling: greedy })),
  session: of.session,
  generation: of.generation + 1,
})

const jobOf = (jobs: readonly StageJob[], peer: PeerId) => jobs.find((job) => job.peer === peer) as StageJob

describe('[AU1] an ended session', () => {
  it('gives one piece of work for every stage: the rows that came and the chunks that it signed', async () => {
    const ticket = await makeTicket(server, requester, stages.slice(0, 2), { sampling: greedy })
    // 20 rows of prompt, 16 tokens: 35 rows are fed, the last token stands alone.
    const session = await answered({
      ticket,
      links: { 0: [0, 20, 15], 1: [0, 32, 3], 2: [20, 15, 1], 3: [0, 20], 4: [20, 15, 1] },
    })
    const jobs = await stageJobs(session)
    expect(jobs.map(({ stage, rows, link, last }) => ({ stage, rows, link, last }))).toEqual([
      { stage: 0, rows: 35, link: 0, last: false },
      { stage: 1, rows: 35, link: 1, last: true },
    ])
    const [first, host] = jobs as [StageJob, StageJob]
    expect(first).toMatchObject({
      inputCuts: [20, 15],
      chunks: 2,
      outputs: [{ link: 1, position: 0, chunks: [{ rows: 32 }, { rows: 3 }] }],
    })
    expect(first.inputs).toBe(
      await inputsHash([
        { alone: 0, payloadHash: await hashOf(0, 0, 20) },
        { alone: 0, payloadHash: await hashOf(0, 20, 15) },
      ]),
    )
    // Tokens, hashes of logits, and the ring that carries them round.
    expect(host).toMatchObject({
      chunks: 6,
      promptLength: 20,
      outputs: [
        { link: 2, position: 20, chunks: [{ rows: 15 }, { rows: 1 }] },
        { link: 4, position: 20 },
      ],
    })
    expect(first.sources.map((s) => s.peer)).toEqual([stage(1).id, stage(0).id])
    expect(host.sources.map((s) => s.peer)).toEqual([stage(0).id, stage(1).id])
    expect(stageChunks(session)).toBe(8)
  })

  it('has one source alone where a stage feeds itself', async () => {
    const ticket = await makeTicket(server, requester, stages.slice(0, 1), { sampling: greedy })
    const session = await answered({ ticket, links: { 0: [0, 8, 3], 1: [8, 3, 1], 2: [0, 8], 3: [8, 3, 1] } })
    const [job] = (await stageJobs(session)) as [StageJob]
    expect(job).toMatchObject({ rows: 11, link: 0, last: true, chunks: 6, receiver: requester.id })
    expect(job.sources.map((s) => s.peer)).toEqual([stage(0).id])
  })

  it('without a decoder is one row and its result', async () => {
    const ticket = await makeTicket(server, requester, stages.slice(0, 2))
    const session = await answered({ ticket, links: { 0: [0, 1], 1: [0, 1], 2: [1, 1], 3: [0, 1] } })
    expect((await stageJobs(session)).map((job) => [job.rows, job.outputs.length, job.chunks])).toEqual([
      [1, 1, 1],
      [1, 1, 2],
    ])
  })

  it('gives nothing of a stage that nobody proved to have done anything', async () => {
    const ticket = await makeTicket(server, requester, stages.slice(0, 2), { sampling: greedy })
    expect(await stageJobs(await answered({ ticket, links: {} }))).toEqual([])
    const half = await answered({ ticket, links: { 0: [0, 20], 1: [0, 16] } })
    expect((await stageJobs(half)).map((job) => job.stage)).toEqual([0])
  })
})

describe('[AU1] a session that was rerouted', () => {
  it('gives the work of who left, of who came and of who stayed, each as far as it went', async () => {
    const ticket = await makeTicket(server, requester, [stage(0), stage(1), stage(2)], { sampling: greedy })
    const later = await next(ticket, [stage(0), stage(3), stage(2)])
    const session = await answered(
      { ticket, links: { 0: [0, 20, 10], 1: [0, 30], 2: [0, 28], 3: [20, 10], 4: [0, 20], 5: [20, 10] } },
      // The new one gets all rows; the one after it had 28.
      { ticket: later, links: { 0: [30, 20], 1: [0, 32, 18], 2: [28, 22], 3: [30, 20, 1], 5: [30, 20, 1] } },
    )
    const jobs = await stageJobs(session)
    expect(jobs.length).toBe(4)
    expect(jobOf(jobs, stage(1).id)).toMatchObject({ rows: 30, outputs: [{ position: 0, chunks: [{ rows: 28 }] }] })
    expect(jobOf(jobs, stage(3).id)).toMatchObject({ rows: 50, inputCuts: [32, 18], outputs: [{ position: 28, chunks: [{ rows: 22 }] }] })
    expect(jobOf(jobs, stage(0).id)).toMatchObject({
      rows: 50,
      inputCuts: [20, 10, 20],
      outputs: [{ position: 0, chunks: [{ rows: 32 }, { rows: 18 }] }],
    })
    expect(jobOf(jobs, stage(2).id)).toMatchObject({ rows: 50, inputCuts: [28, 22], promptLength: 20 })
  })

  it('leaves out what was rolled back inside of a chunk', async () => {
    const ticket = await makeTicket(server, requester, stages.slice(0, 2), { sampling: greedy })
    const later = await next(ticket, [stage(0), stage(2)])
    const session = await answered(
      { ticket, links: { 0: [0, 20, 10], 1: [0, 20, 10] } },
      { ticket: later, links: { 0: [25, 20], 1: [0, 32, 13] } },
    )
    // What came between 20 and 25 is known only in one hash with what is held no more.
    expect(jobOf(await stageJobs(session), stage(0).id)).toMatchObject({ rows: 20, inputCuts: [20] })
  })
})
