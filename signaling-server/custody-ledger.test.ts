/** [CU6]: what the server makes of a session's proofs, with real keys and signatures. */
import { beforeAll, describe, expect, it } from 'vitest'
import { concatBytes } from '../protocol/bytes.ts'
import type { Chunk } from '../protocol/custody.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { signTicket, type Ticket, type TicketStage } from '../protocol/ticket.ts'
import { makeTicket } from '../testing/tickets.ts'
import { prove, reports, reportsOf, type Carried, type Reported } from '../testing/custody.ts'
import { CustodyLedger } from './custody-ledger.ts'

let server: Identity
let requester: Identity
let stages: Identity[]
let ticket: Ticket
/** A prompt of 40 rows in three runs, and 30 tokens, over three stages. */
let good: Reported[]
const fed = { from: 0, to: 69 }
const said = { from: 40, to: 70 }
const expected = new Map([
  [0, fed],
  [1, fed],
  [2, fed],
  [3, said],
  [4, { from: 0, to: 40 }],
  [5, said],
])
const sampling = { temperature: 0, topP: 1, seed: 0 }
const [ring, inner, answer, prompt, logits] = [0, 1, 3, 4, 5]
const allLinks = [ring, inner, 2, answer, prompt, logits]

beforeAll(async () => {
  ;[server, requester, ...stages] = (await Promise.all(Array.from({ length: 5 }, () => createIdentity()))) as [
    Identity,
    Identity,
    ...Identity[],
  ]
  ticket = await makeTicket(server, requester, stages, { sampling })
  good = await reports(ticket, [requester, ...stages], [16, 16, 8], 30)
})

async function ledgerOf(reported: readonly Reported[]): Promise<CustodyLedger> {
  const ledger = new CustodyLedger(ticket)
  await Promise.all(reported.map(({ proof, from }) => ledger.add(proof, from)))
  return ledger
}

const verdict = async (reported: readonly Reported[]) => (await ledgerOf(reported)).result(expected)

/** The same reports, but for one chunk that is described otherwise, properly signed. */
async function altered(link: number, seq: number, change: Partial<Chunk>, sender?: Identity, receiver?: Identity): Promise<Reported[]> {
  const ends = [
    [stages[2], stages[0]],
    [stages[0], stages[1]],
    [stages[1], stages[2]],
    [stages[2], requester],
    [requester, stages[2]],
    [stages[2], stages[2]],
  ][link] as [Identity, Identity]
  return Promise.all(
    good.map(async (report) => {
      if (report.chunk.link !== link || report.chunk.seq !== seq) return report
      return { ...report, proof: await prove({ ...report.chunk, ...change }, sender ?? ends[0], receiver ?? ends[1]) }
    }),
  )
}

const another = () => new Uint8Array(32).fill(7)

describe('[CU6] the ledger of a session', () => {
  it('holds when every row of every link is proven by both ends', async () => {
    const ledger = await ledgerOf(good)
    expect(ledger.complete(expected)).toBe(true)
    expect(ledger.result(expected)).toEqual({ checked: good.length, failed: 0, reasons: [], named: [] })
  })

  it('takes the links in whatever order they come, each link in its own', async () => {
    const backwards = [...allLinks].reverse().flatMap((link) => good.filter((r) => r.chunk.link === link))
    expect(await verdict(backwards)).toMatchObject({ checked: good.length, failed: 0 })
  })

  it('[RC3] orders its proofs by link and seq, however they came', async () => {
    const backwards = [...allLinks].reverse().flatMap((link) => good.filter((r) => r.chunk.link === link))
    expect(concatBytes((await ledgerOf(backwards)).proofs())).toEqual(concatBytes(good.map((r) => r.proof)))
  })

  it('fails for a proof that is missing, and says how many rows there are', async () => {
    const { reasons } = await verdict(good.filter((r) => r.chunk.link !== inner || r.chunk.seq < 2))
    expect(reasons[0]).toBe('link 1: 64 of 69 rows proven')
  })

  it('is not complete before the last proof', async () => {
    for (const missing of good) {
      const ledger = await ledgerOf(
        good.filter((r) => r !== missing && (r.chunk.link !== missing.chunk.link || r.chunk.seq < missing.chunk.seq)),
      )
      expect(ledger.complete(expected)).toBe(false)
    }
  })

  it('refuses a chunk that its sender did not sign', async () => {
    const { reasons } = await verdict(await altered(inner, 0, {}, stages[2]))
    expect(reasons[0]).toBe('link 1 chunk 0: not signed by its sender')
  })

  it('refuses a chunk that its receiver did not sign', async () => {
    const { reasons } = await verdict(await altered(inner, 0, {}, stages[0], stages[2]))
    expect(reasons[0]).toBe('link 1 chunk 0: not signed by its receiver')
  })

  it('refuses a chunk whose bytes were changed after it was signed', async () => {
    for (const at of [35, 66, 70, 140, 194]) {
      const changed = good.map((r, i) => (i === 0 ? { ...r, proof: r.proof.map((byte, j) => (j === at ? byte ^ 1 : byte)) } : r))
      expect((await verdict(changed)).failed).toBeGreaterThan(0)
    }
  })

  it('refuses what is reported by another than the receiver, and a chunk of one link as of another', async () => {
    const byAnother = good.map((r) => (r.chunk.link === inner ? { ...r, from: requester.id } : r))
    expect((await verdict(byAnother)).reasons[0]).toBe('link 1 chunk 0: reported by a peer that is not its receiver')
    const { reasons } = await verdict(await altered(inner, 0, { link: 2 }))
    expect(reasons[0]).toBe('link 2 chunk 0: reported by a peer that is not its receiver')
    expect((await verdict(await altered(inner, 0, { link: 9 }))).reasons[0]).toContain('link 9')
  })

  it('[TK1] refuses a chunk of another session or generation', async () => {
    for (const change of [{ session: '0'.repeat(32) as Chunk['session'] }, { generation: 1 }]) {
      expect((await verdict(await altered(inner, 0, change))).reasons[0]).toBe('link 1 chunk 0: of another session or generation')
    }
  })

  it('takes chunks in any order, and again after a reconnection', async () => {
    expect(await verdict([...good].reverse())).toMatchObject({ checked: good.length, failed: 0 })
    expect(await verdict([...good, ...good])).toMatchObject({ checked: good.length, failed: 0 })
  })

  it('names who signed two different chunks as one, whichever came first', async () => {
    const other = (await altered(inner, 0, { payloadHash: another() })).find((r) => r.chunk.link === inner && r.chunk.seq === 0)
    for (const reported of [
      [...good, other as Reported],
      [other as Reported, ...good],
    ]) {
      const { failed, named } = await verdict(reported)
      expect(failed).toBe(1)
      expect(named).toEqual([{ peer: stages[0]?.id, why: 'link 1 chunk 0: signed two different chunks as one' }])
    }
  })

  it('names who countersigned what its sender did not sign, so that nobody frames a neighbour', async () => {
    const { named } = await verdict(await altered(inner, 0, { payloadHash: another() }, stages[1]))
    expect(named).toEqual([{ peer: stages[1]?.id, why: 'link 1 chunk 0: countersigned what its sender did not sign' }])
  })

  it('refuses rows that leave a gap or come twice', async () => {
    for (const firstPosition of [31, 33]) {
      const { reasons } = await verdict(await altered(inner, 1, { firstPosition }))
      expect(reasons[0]).toBe('link 1 chunk 1: its rows do not follow the ones before')
    }
    expect((await verdict(await altered(prompt, 0, { firstPosition: 1 }))).reasons[0]).toContain('do not follow')
  })

  it('[FR6] fails when a stage ran other rows together than the others', async () => {
    const { failed, reasons } = await verdict(await altered(inner, 0, { alone: 1 }))
    expect({ failed, reasons }).toEqual({ failed: 1, reasons: ['link 1: other runs than on link 0'] })
  })

  it('[HO1] fails when the last stage sends another prompt round the ring than it was given', async () => {
    const { failed, reasons, named } = await verdict(await altered(ring, 0, { payloadHash: another() }))
    expect({ failed, reasons }).toEqual({ failed: 1, reasons: ['prompt rows from 0 on were not passed on as they came'] })
    expect(named).toEqual([{ peer: stages[2]?.id, why: 'signed prompt rows from 0 on as two different things' }])
  })

  it('fails when the last stage tells the requester other tokens than it feeds back', async () => {
    const { reasons, named } = await verdict(await altered(answer, 0, { payloadHash: another() }))
    expect(reasons).toEqual(['tokens from 40 on were not passed on as they came'])
    expect(named).toHaveLength(1)
  })

  it('fails for rows that nobody asked for', async () => {
    const more = await reports(ticket, [requester, ...stages], [16, 16, 8], 31)
    const result = await verdict([...good.filter((r) => r.chunk.link !== answer), ...more.filter((r) => r.chunk.link === answer)])
    expect(result.reasons).toContain('link 3: rows from 70 that nobody asked for')
  })

  it('of an answer that was broken off holds with what there is, but for a prompt that was changed', async () => {
    const some = good.filter((r) => r.chunk.seq < 2)
    expect((await ledgerOf(some)).result(undefined)).toMatchObject({ checked: some.length, failed: 0 })
    const changed = (await altered(ring, 0, { payloadHash: another() })).filter((r) => r.chunk.seq < 2)
    expect((await ledgerOf(changed)).result(undefined)).toMatchObject({ failed: 1 })
  })

  it('refuses what is no proof, and judges the next one all the same', async () => {
    const noRows = (good[0] as Reported).proof.slice()
    noRows.set([0, 0], 29)
    const tooManyMarks = (good[0] as Reported).proof.slice()
    tooManyMarks.set([1, 0, 255, 255, 255, 255], 29)
    for (const proof of [new Uint8Array(0), new Uint8Array(194), new Uint8Array(195), noRows, tooManyMarks]) {
      const ledger = new CustodyLedger(ticket)
      await ledger.add(proof, stages[0]?.id ?? requester.id)
      for (const r of good) await ledger.add(r.proof, r.from)
      expect(ledger.result(expected)).toMatchObject({ checked: good.length, failed: 1 })
    }
  })

  it('keeps few reasons, whatever is wrong', async () => {
    const ledger = new CustodyLedger(ticket)
    for (let i = 0; i < 50; i++) await ledger.add(new Uint8Array(1), requester.id)
    const { failed, reasons } = ledger.result(expected)
    expect(failed).toBe(50 + expected.size)
    expect(reasons).toHaveLength(10)
  })

  it('[LN4] wants the links whose ends are one peer too', async () => {
    const alone = await makeTicket(server, requester, [stages[0] as Identity], { sampling })
    const ledger = new CustodyLedger(alone)
    const reported = await reports(alone, [requester, stages[0] as Identity], [16], 4)
    for (const { proof, from } of reported) await ledger.add(proof, from)
    expect(new Set(reported.map((r) => r.chunk.link))).toEqual(new Set([0, 1, 2, 3]))
    const tokens = { from: 16, to: 20 }
    const wanted = new Map([
      [0, { from: 0, to: 19 }],
      [1, tokens],
      [2, { from: 0, to: 16 }],
      [3, tokens],
    ])
    expect(ledger.result(wanted)).toMatchObject({ checked: reported.length, failed: 0 })
  })
})

describe('[FO5] over generations', () => {
  const one = (rows: number) => Array.from({ length: rows }, () => 1)
  const groups = (...all: number[][]) => all
  /** 50 rows in, the second stage dies; another takes its place, and the answer goes on to its 30th token. */
  async function rerouted(change: (carried: Map<number, Carried>) => void = () => undefined) {
    const newcomer = await createIdentity()
    const [first, , host] = ticket.stages
    const place = { ...(ticket.stages[1] as TicketStage), peer: newcomer.id, key: newcomer.publicKey }
    const next = await signTicket(
      { ...ticket, generation: 1, stages: [first as TicketStage, place, host as TicketStage] },
      server.privateKey,
    )
    const before = new Map<number, Carried>([
      [ring, { first: 0, groups: groups([16, 16, 8], one(10)) }],
      [inner, { first: 0, groups: groups([16, 16, 8, ...one(10)]) }],
      // What the one that died had not signed is not proven.
      [2, { first: 0, groups: groups([16, 16]) }],
      [answer, { first: 40, groups: groups(one(10)) }],
      [prompt, { first: 0, groups: groups([16, 16, 8]) }],
      [logits, { first: 40, groups: groups(one(10)) }],
    ])
    const after = new Map<number, Carried>([
      [ring, { first: 40, groups: groups(one(29)) }],
      [inner, { first: 0, groups: groups([16, 16], [8, ...one(29)]) }],
      [2, { first: 32, groups: groups([8, ...one(29)]) }],
      [answer, { first: 40, groups: groups(one(29), [1]) }],
      [logits, { first: 40, groups: groups(one(29), [1]) }],
    ])
    change(after)
    const parties = [requester, ...stages, newcomer]
    const all = [...(await reportsOf(ticket, parties, before)), ...(await reportsOf(next, parties, after))]
    const ledger = new CustodyLedger(ticket)
    ledger.turn(next)
    return { ledger, all, next, newcomer }
  }
  const enter = async ({ ledger, all }: { ledger: CustodyLedger; all: readonly Reported[] }) => {
    for (const { proof, from } of all) await ledger.add(proof, from)
    return ledger.result(expected)
  }

  it('holds when later generations cover what the ones before left open, in whatever order the proofs come', async () => {
    const { ledger, all } = await rerouted()
    expect(await enter({ ledger, all: all.toReversed() })).toEqual({ checked: all.length, failed: 0, reasons: [], named: [] })
    expect(ledger.complete(expected)).toBe(true)
    expect(ledger.rows(2)).toBe(69)
  })

  it('takes late proofs of the one before from those who were its receivers', async () => {
    const { ledger, all, next } = await rerouted()
    const late = all.filter((r) => r.chunk.generation === 0)
    expect((await enter({ ledger, all: late })).named).toEqual([])
    expect(ledger.chunks(0, inner).length).toBeGreaterThan(0)
    expect(ledger.chunks(1, inner)).toEqual([])
    expect(ledger.tickets).toEqual([ticket, next])
  })

  it('fails where no generation covers a row', async () => {
    const { ledger, all } = await rerouted((after) => after.set(2, { first: 40, groups: groups(one(29)) }))
    expect((await enter({ ledger, all })).reasons).toEqual(['link 2: 61 of 69 rows proven'])
  })

  it('fails when the newcomer ran other rows together than the others', async () => {
    const { ledger, all } = await rerouted((after) => after.set(2, { first: 32, groups: groups([...one(8), ...one(24)], one(5)) }))
    expect((await enter({ ledger, all })).reasons).toEqual(['link 2: other runs than on link 0'])
  })

  it('lets a new host be told the tokens so far behind the prompt', async () => {
    const { ledger, all } = await rerouted((after) => after.set(prompt, { first: 0, groups: groups([16, 16, 8], one(10)) }))
    expect(await enter({ ledger, all })).toMatchObject({ failed: 0 })
  })
})
