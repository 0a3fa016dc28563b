/** Every end that an examination can come to, over a real store; the volunteers are objects that answer as the test says. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { historyMs } from '../protocol/limits.ts'
import { checkReceipt, receiptHash, type Receipt } from '../protocol/receipt.ts'
import type { SessionId } from '../protocol/ids.ts'
import { AuditScene, revision } from '../testing/audit-scene.ts'
import { seededRandom } from '../testing/fuzz.ts'
import { cats } from '../testing/projects.ts'
import { peerOf } from '../testing/swarms.ts'
import type { ProjectStore } from './projects/project-store.ts'
import type { Serving } from './routing.ts'
import { openEmbedded } from './sqlite-store.ts'
import type { Store } from './store.ts'
import { provenAgreements } from './trust/policy.ts'

let server: Identity
let store: Store
let projects: ProjectStore
let epoch: number
let scene: AuditScene

beforeAll(async () => {
  server = await createIdentity()
})
beforeEach(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'manyhands-audits-'))
  const embedded = openEmbedded(directory, '')
  store = embedded.store
  projects = embedded.projects
  epoch = (await embedded.ownership.ownerOf(revision))?.epoch ?? 0
  scene = new AuditScene(server, store, epoch)
  return async () => {
    await store.close()
    await rm(directory, { recursive: true })
  }
})

/** Everything that may be drawn is drawn; who it falls on is seeded. */
const always = (seed: number) => {
  const below = seededRandom(seed)
  return () => below(1_000_000) / 1e9
}

const stages = [peerOf(10), peerOf(20)] as const

/** Two producers that everybody trusts, and others that hold the second block. */
async function producers(lies = {}): Promise<void> {
  await scene.join(10, 0)
  await scene.join(20, 1, 'honest', lies)
  await scene.trusted(stages)
}

const outcomes = async (session: SessionId) => (await store.audits({ session }, 100)).map((a) => a.outcome)
const last = async (session: SessionId) => (await scene.receipts(session)).at(-1) as Receipt

describe('[AU2] [AU3] an audit', () => {
  it('that agrees earns both sides an agreement, the auditor its work, and the answer a settled receipt', async () => {
    scene.random = always(1)
    await producers()
    const auditor = await scene.join(21, 1)
    const session = await scene.answered(stages)
    await scene.settle()
    expect(await outcomes(session)).toEqual(['agreed'])
    expect(scene.standings.info(auditor)).toMatchObject({ agreements: 1, rows: 35, strikes: 0 })
    expect(scene.standings.info(stages[1])).toMatchObject({ agreements: 5_001, strikes: 0 })
    expect(await store.work(auditor)).toMatchObject([{ kind: 'shadow', rows: 35, first: 1, end: 2 }])
    const [provisional, settled] = (await scene.receipts(session)) as [Receipt, Receipt]
    expect(settled.status).toBe('settled')
    expect(settled.supersedes).toBe(await receiptHash(provisional))
    expect(await checkReceipt(settled)).toBe(true)
    // The host's tokens, hashes of logits and ring; stage 0 has no replica.
    expect(settled.audits).toEqual({ done: 6, of: 8 })
    expect(scene.messages('receipt').map((m) => m.receipt.status)).toEqual(['settled'])
    expect(scene.wrong).toEqual([])
  })

  it('tells the auditor nothing of what the stage has signed', async () => {
    scene.random = always(1)
    await producers()
    await scene.join(21, 1)
    await scene.answered(stages)
    await scene.settle()
    const [{ ticket }] = scene.messages('shadow') as [ReturnType<typeof scene.messages<'shadow'>>[number]]
    expect(JSON.stringify(ticket)).not.toMatch(/hash/)
    expect(stages).toContain(ticket.source.peer)
    expect(scene.messages('reveal')).toEqual([])
  })

  it('is settled at once where nobody holds the same blocks', async () => {
    scene.random = always(1)
    await producers()
    const session = await scene.answered(stages)
    await scene.settle()
    expect(await last(session)).toMatchObject({ status: 'settled', audits: { done: 0, of: 8 } })
    expect(scene.audits.underWay).toBe(0)
  })

  it('is never done by who took part, nor from their networks', async () => {
    scene.random = always(1)
    await producers()
    const near = await scene.join(21, 1)
    await scene.standings.load(near, 'network 20')
    const session = await scene.answered(stages)
    await scene.settle()
    expect(scene.messages('shadow')).toEqual([])
    expect((await last(session)).status).toBe('settled')
  })

  it('[PJ3] is not done by those who give to a project alone; where they do, it counts for theirs', async () => {
    scene.random = always(1)
    await producers()
    const auditor = scene.volunteers.get(await scene.join(21, 1)) as Serving
    auditor.gives = { project: cats, audience: 'only' }
    const before = await scene.answered(stages)
    await scene.settle()
    expect(await outcomes(before)).toEqual([])
    expect(await projects.totals(cats)).toMatchObject({ rows: 0 })
    auditor.gives = { project: cats, audience: 'first' }
    const session = await scene.answered(stages)
    await scene.settle()
    expect(await outcomes(session)).toEqual(['agreed'])
    expect(await projects.totals(cats)).toMatchObject({ rows: 35 })
  })

  it('waits for an auditor that is at work, one piece at a time', async () => {
    scene.random = always(1)
    await producers()
    await scene.join(21, 1)
    const sessions = [await scene.answered(stages), await scene.answered(stages), await scene.answered(stages)]
    const shadows = () => scene.messages('shadow').length
    expect(scene.audits.underWay).toBe(3)
    await scene.settle()
    expect(shadows()).toBe(3)
    expect(await Promise.all(sessions.map(outcomes))).toEqual([['agreed'], ['agreed'], ['agreed']])
  })

  it('is left when the rows are kept no more', async () => {
    scene.random = always(1)
    await producers()
    const auditor = await scene.join(21, 1, 'silent')
    const session = await scene.answered(stages)
    await scene.settle()
    scene.pass(historyMs)
    await scene.settle()
    expect(await last(session)).toMatchObject({ status: 'settled', audits: { done: 0 } })
    expect(scene.standings.info(auditor)).toMatchObject({ strikes: 0, agreements: 0 })
  })
})

describe('[AU4] a void audit', () => {
  it.each(['busy', 'other-rows', 'blames-source', 'malformed'] as const)(
    '(%s) is tried with another, and accuses nobody',
    async (manner) => {
      scene.random = always(3)
      await producers()
      await scene.join(21, 1, manner)
      await scene.join(22, 1)
      const session = await scene.answered(stages)
      await scene.settle()
      const first = scene.messages('shadow')[0]?.to
      expect(await outcomes(session)).toEqual(['agreed'])
      if (first === peerOf(21)) expect(scene.messages('shadow').length).toBeGreaterThan(1)
      for (const peer of [...stages, peerOf(21), peerOf(22)]) expect(scene.standings.info(peer).strikes).toBe(0)
    },
  )

  it('ends after three tries', async () => {
    scene.random = always(1)
    await producers()
    for (const n of [21, 22, 23, 24]) await scene.join(n, 1, 'busy')
    const session = await scene.answered(stages)
    await scene.settle()
    expect(scene.messages('shadow').length).toBe(3)
    expect(await last(session)).toMatchObject({ status: 'settled', audits: { done: 0 } })
    expect(scene.audits.counts.void).toBe(2)
  })

  it('follows when the auditor goes, and when a source has gone the other is asked', async () => {
    scene.random = always(1)
    await producers()
    const [a, b] = [await scene.join(21, 1), await scene.join(22, 1)]
    scene.gone.add(stages[0])
    const session = await scene.answered(stages)
    await scene.quiet()
    const [{ to, ticket }] = scene.messages('shadow') as [ReturnType<typeof scene.messages<'shadow'>>[number]]
    expect(ticket.source.peer).toBe(stages[1])
    scene.gone.add(to)
    scene.audits.gone(to)
    await scene.settle()
    expect((await store.audits({ session }, 10)).map((x) => [x.outcome, x.auditor])).toEqual([['agreed', to === a ? b : a]])
  })

  it('of one that never hands over its own rows makes it no producer for a while', async () => {
    scene.random = always(1)
    await producers()
    scene.gone.add(stages[0])
    for (const n of [21, 22]) await scene.join(n, 1, 'blames-source')
    for (let i = 0; i < 3; i++) {
      await scene.answered(stages)
      await scene.settle()
    }
    expect(scene.audits.withholds(stages[1])).toBe(true)
    expect(scene.standings.info(stages[1]).strikes).toBe(0)
    scene.pass(11 * 60_000)
    expect(scene.audits.withholds(stages[1])).toBe(false)
  })
})

describe('[AU5] [AU6] a mismatch', () => {
  const honest = async () => {
    const peers = []
    for (const n of [21, 22, 23, 24]) peers.push(await scene.join(n, 1))
    await scene.trusted(peers)
    return peers
  }

  it('strikes a stage that lied, in one commit with its audits, and tells the requester', async () => {
    scene.random = always(1)
    await producers()
    await honest()
    const session = await scene.answered(stages, { 1: 'zeros' })
    await scene.settle()
    expect(await outcomes(session)).toEqual(['lost', 'lost', 'lost'])
    expect(scene.standings.info(stages[1])).toMatchObject({ strikes: 1, agreements: provenAgreements })
    expect(await store.strikes(stages[1])).toMatchObject([{ why: expect.stringContaining('blocks 2 to 2') as string }])
    expect(scene.wrong).toEqual([{ session, without: [stages[1]] }])
    // It is for its correction to settle it.
    expect((await last(session)).status).toBe('provisional')
    expect(scene.standings.info(stages[0]).strikes).toBe(0)
  })

  it('finds the stage that lied, not the ones after it that computed on with what they got', async () => {
    scene.random = always(5)
    await producers()
    const first = [await scene.join(11, 0), await scene.join(12, 0), await scene.join(13, 0), await scene.join(14, 0)]
    await scene.trusted([...(await honest()), ...first])
    await scene.answered(stages, { 0: 'int8' })
    await scene.settle()
    expect(scene.standings.info(stages[0]).strikes).toBe(1)
    expect(scene.standings.info(stages[1])).toMatchObject({ strikes: 0, agreements: 5_001 })
  })

  it('strikes an auditor that lied, and the stage has its agreement', async () => {
    scene.random = always(1)
    await producers()
    const liar = await scene.join(21, 1, 'lying')
    const session = await scene.answered(stages)
    await scene.settle()
    // Nobody can decide yet: nobody is accused.
    expect(await outcomes(session)).toEqual(['split'])
    expect(scene.standings.info(liar).strikes).toBe(0)
    await scene.trusted([await scene.join(31, 1), await scene.join(32, 1)])
    for (let i = 0; i < 10; i++) await scene.answered(stages)
    await scene.settle()
    expect(scene.standings.info(liar).state).toBe('barred')
    expect((await store.strikes(liar)).length).toBeGreaterThan(1)
    expect(scene.standings.info(stages[1]).strikes).toBe(0)
    expect(await store.work(liar)).toEqual([])
  })

  it('that nobody can decide accuses nobody, and the answer is given again', async () => {
    scene.random = always(1)
    await producers()
    const auditors = []
    for (const n of [21, 22, 23, 24]) auditors.push(await scene.join(n, 1, 'lying'))
    const session = await scene.answered(stages)
    await scene.settle()
    expect(await outcomes(session)).toEqual(['split', 'split', 'split', 'split'])
    for (const peer of [...stages, ...auditors]) expect(scene.standings.info(peer).strikes).toBe(0)
    expect(scene.wrong).toEqual([{ session, without: [stages[1]] }])
  })

  it('has the loser’s other work looked at, and what was said of it corrected', async () => {
    await producers()
    await honest()
    // Not drawn, as most work is not.
    scene.random = () => 0.999
    const before = [await scene.answered(stages, { 1: 'zeros' }), await scene.answered(stages)]
    await scene.settle()
    expect(await Promise.all(before.map(async (s) => (await last(s)).status))).toEqual(['settled', 'settled'])
    scene.random = always(2)
    const caught = await scene.answered(stages, { 1: 'zeros' })
    await scene.settle()
    expect(new Set(scene.wrong.map((w) => w.session))).toEqual(new Set([caught, before[0]]))
    expect(await outcomes(before[1] as SessionId)).toEqual(['agreed'])
    expect(scene.standings.info(stages[1]).state).toBe('barred')
    expect(scene.standings.mayProduce(stages[1])).toBe(false)
  })

  it('strikes those who had agreed to the lie as well', async () => {
    await producers()
    scene.random = always(4)
    const friend = await scene.join(21, 1, 'agreeing')
    const session = await scene.answered(stages, { 1: 'zeros' })
    await scene.settle()
    expect(await outcomes(session)).toEqual(['agreed'])
    await honest()
    // It is not there when the next lie is looked at.
    scene.gone.add(friend)
    await scene.answered(stages, { 1: 'zeros' })
    await scene.settle()
    expect(scene.standings.info(stages[1]).state).toBe('barred')
    expect(scene.standings.info(friend).strikes).toBeGreaterThan(0)
    expect(scene.wrong.map((w) => w.session)).toContain(session)
  })
})

describe('[AU7] a dispute', () => {
  const requester = peerOf(999)
  const others = [peerOf(11), peerOf(22)] as const

  beforeEach(async () => {
    await producers()
    for (const [n, block] of [
      [11, 0],
      [22, 1],
      [12, 0],
      [23, 1],
      [24, 1],
      [25, 1],
    ] as const)
      await scene.join(n, block)
    await scene.trusted([11, 22, 12, 23, 24, 25].map(peerOf))
    scene.random = () => 0.999
  })

  it('has every stage of all pipelines computed again', async () => {
    const sessions = [await scene.answered(stages, { 1: 'greedy' }), await scene.answered(others)]
    scene.audits.dispute(requester, { t: 'dispute', sessions })
    await scene.settle()
    expect(scene.standings.info(stages[1]).strikes).toBe(1)
    expect(scene.wrong.map((w) => w.session)).toEqual([sessions[0]])
    expect((await outcomes(sessions[1] as SessionId)).every((o) => o === 'agreed')).toBe(true)
  })

  it('waits for pipelines that have not ended', async () => {
    const first = await scene.answered(stages, { 1: 'greedy' })
    const second = (Number.parseInt(first, 16) + 1).toString(16).padStart(32, '0') as SessionId
    scene.audits.dispute(requester, { t: 'dispute', sessions: [first, second] })
    await scene.settle()
    expect(scene.messages('shadow')).toEqual([])
    expect(await scene.answered(others)).toBe(second)
    await scene.settle()
    expect(scene.wrong.map((w) => w.session)).toEqual([first])
  })

  it('is nobody else’s to begin, and nothing where all answered alike', async () => {
    const sessions = [await scene.answered(stages, { 1: 'greedy' }), await scene.answered(others)]
    scene.audits.dispute(peerOf(998), { t: 'dispute', sessions })
    scene.audits.dispute(requester, { t: 'dispute', sessions: [sessions[0], sessions[0]] as SessionId[] })
    await scene.settle()
    expect(scene.messages('shadow')).toEqual([])
  })
})

describe('[AU8] what an auditor is tried with', () => {
  it('is work whose outcome is known, which it can’t tell from other work', async () => {
    await producers()
    const proven = await scene.join(21, 1)
    await scene.trusted([proven])
    scene.random = always(2)
    const known = await scene.answered(stages)
    await scene.settle()
    expect(await outcomes(known)).toEqual(['agreed'])
    await scene.join(31, 1, 'lying')
    await scene.trusted([await scene.join(22, 1), await scene.join(23, 1)])
    // The newcomer is drawn for the next one, and given the known one instead.
    scene.gone.add(proven)
    const dice = [0.999, 0]
    scene.random = () => dice.shift() ?? 0.3
    const next = await scene.answered(stages)
    await scene.settle()
    expect(scene.messages('shadow').filter((m) => m.to === peerOf(31) && m.ticket.session === known).length).toBe(1)
    expect((await store.strikes(peerOf(31))).length).toBe(1)
    expect(scene.wrong).toEqual([])
    expect(await outcomes(next)).toContain('agreed')
  })
})

describe('[AU9] a backend', () => {
  it('that is wrong on a model is doubted, and its people are not', async () => {
    scene.random = always(1)
    await scene.join(10, 0)
    await scene.trusted([stages[0]])
    const people = []
    for (const n of [20, 40, 60, 80]) people.push(await scene.join(n, 1, 'honest', { backend: 'webgpu', adapter: 'a driver' }))
    const checkers = []
    for (const n of [21, 22, 23, 24]) checkers.push(await scene.join(n, 1))
    await scene.trusted([...people, ...checkers])
    for (const peer of people.slice(0, 3)) {
      scene.sketches = 'far'
      await scene.answered([stages[0], peer], { 1: 'a wrong kernel' })
      await scene.settle()
    }
    expect(scene.doubted).toEqual([`${revision} webgpu a driver`])
    for (const peer of people) expect(scene.standings.info(peer).strikes).toBe(0)
    for (const peer of checkers) expect(scene.standings.info(peer).strikes).toBe(0)
    expect(scene.wrong.length).toBe(3)
  })
})
