import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../protocol/ids.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { checkReceipt, receiptHash, signReceipt, type Receipt } from '../protocol/receipt.ts'
import type { StandingInfo } from '../protocol/server-messages.ts'
import { sampleAudit, sampleCell, sampleReceipt, sampleStrike } from '../testing/sample-receipts.ts'
import { peerOf } from '../testing/swarms.ts'
import { settleLeftOver } from './settlement-sweep.ts'
import { openEmbedded } from './sqlite-store.ts'
import { Standings } from './standings.ts'
import type { Store } from './store.ts'
import { barredMs, provenAgreements } from './trust/policy.ts'

const [ada, bob] = [peerOf(1), peerOf(2)] as [PeerId, PeerId]
let directory: string
let store: Store
let epoch: number
let now: number
let told: [PeerId, StandingInfo, boolean][]
let failures: unknown[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'manyhands-standings-'))
  const embedded = openEmbedded(directory, '')
  store = embedded.store
  epoch = (await embedded.ownership.ownerOf(sampleCell))?.epoch ?? 0
  now = 1_700_000_000_000
  told = []
  failures = []
  return async () => {
    await store.close()
    await rm(directory, { recursive: true })
  }
})

const open = (change: { anchors?: PeerId[]; epoch?: number } = {}) =>
  new Standings({
    store,
    anchors: new Set(change.anchors),
    epochOf: () => change.epoch ?? epoch,
    now: () => now,
    changed: (peer, info, barred) => told.push([peer, info, barred]),
    failed: (thrown) => failures.push(thrown),
  })

describe('[TR] a standing', () => {
  it('[TR1] begins with nothing, and is what audits have agreed with', async () => {
    const standings = open()
    await standings.load(ada, undefined)
    expect(standings.info(ada)).toEqual({ state: 'new', agreements: 0, needed: provenAgreements, strikes: 0, rows: 0 })
    for (let i = 0; i < provenAgreements; i++) {
      expect(standings.mayProduce(ada)).toBe(false)
      await standings.commit(sampleCell, [ada], (draft) => (draft.agreed(ada, 32, 1), []))
    }
    expect(standings.mayProduce(ada)).toBe(true)
    expect(standings.info(ada)).toMatchObject({ state: 'proven', rows: 32 * provenAgreements })
    expect(told.at(-1)?.[1]).toMatchObject({ state: 'proven' })
  })

  it('[TR4] changes with what changed it, or not at all', async () => {
    const standings = open()
    const ok = await standings.commit(sampleCell, [ada], (draft) => {
      draft.agreed(ada, 5, 1)
      return [{ t: 'audit', entry: sampleAudit(1) }]
    })
    expect(ok).toBe(true)
    const stale = open({ epoch: epoch + 1 })
    await stale.load(ada, undefined)
    const gone = await stale.commit(sampleCell, [ada], (draft) => {
      draft.agreed(ada, 5, 1)
      return [{ t: 'audit', entry: sampleAudit(2) }]
    })
    expect(gone).toBe(false)
    expect(stale.info(ada).agreements).toBe(1)
    const failing = standings.commit(sampleCell, [ada], (draft) => {
      draft.agreed(ada, 5, 1)
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(standings.info(ada).agreements).toBe(1)
    expect((await store.audits({ peer: peerOf(1) }, 10)).length).toBe(1)
    expect(await standings.commit(sampleCell, [ada], () => [{ t: 'strike', entry: sampleStrike(1, { why: 'x'.repeat(1000) }) }])).toBe(
      false,
    )
    expect(failures.length).toBe(1)
  })

  it('[TR4] is the same for a server that begins anew, also for one who is not there', async () => {
    const before = open()
    await before.commit(sampleCell, [ada, bob], (draft) => (draft.agreed(ada, 7, 1), draft.agreed(bob, 7, 1), []))
    const after = open()
    // Nobody has offered: what is stored must not be written over.
    await after.commit(sampleCell, [bob], (draft) => (draft.agreed(bob, 7, 1), []))
    expect(after.info(bob)).toMatchObject({ agreements: 2, rows: 14 })
    await after.load(ada, undefined)
    expect(after.info(ada)).toMatchObject({ agreements: 1, rows: 7 })
  })

  it('[TR2] bars a key at the second strike, for a week, and remembers where it came from', async () => {
    const standings = open()
    const prefix = '203.0.113.0/24'
    await standings.load(ada, prefix)
    const lose = () =>
      standings.commit(sampleCell, [ada], (draft) => {
        draft.lost(ada)
        return []
      })
    await lose()
    expect(standings.rank(ada)).toBe('new')
    await lose()
    expect(standings.info(ada).state).toBe('barred')
    expect(told.at(-1)?.[2]).toBe(true)
    const again = open()
    await again.load(bob, prefix)
    expect(again.info(bob).needed).toBe(2 * provenAgreements)
    await again.load(ada, prefix)
    now += barredMs
    expect(again.info(ada)).toMatchObject({ state: 'new', agreements: 0, strikes: 0 })
  })

  it('[TR2] of those whom the operator named is trusted from the start', async () => {
    const standings = open({ anchors: [ada] })
    expect(standings.mayProduce(ada)).toBe(true)
    expect(standings.info(ada).state).toBe('anchor')
    expect(standings.lessTrusted(ada, bob)).toBe(bob)
    expect(standings.lessTrusted(bob, ada)).toBe(bob)
  })

  it('[AU5] of a side of a mismatch is worth nothing until it is decided', () => {
    const standings = open({ anchors: [ada] })
    standings.dispute(ada, true)
    standings.dispute(ada, true)
    standings.dispute(ada, false)
    expect(standings.mayProduce(ada)).toBe(false)
    standings.dispute(ada, false)
    expect(standings.mayProduce(ada)).toBe(true)
  })

  it('is none where what was stored is none', async () => {
    await store.commit(sampleCell, epoch, [{ t: 'standing', peer: ada, standing: { agreements: 'many' } }])
    const standings = open()
    await standings.load(ada, undefined)
    expect(standings.info(ada)).toMatchObject({ state: 'new', agreements: 0 })
  })
})

describe('[RC8] what a server left unsettled', () => {
  let server: Identity
  beforeAll(async () => {
    server = await createIdentity()
  })

  const provisional = async (n: number, change: Partial<Receipt> = {}) => {
    const receipt = await signReceipt(
      sampleReceipt(n, { audits: { done: 0, of: 9 }, serverKey: server.publicKey, ...change }),
      server.privateKey,
    )
    await store.commit(sampleCell, epoch, [{ t: 'receipt', receipt }])
    return receipt
  }
  const sweep = () =>
    settleLeftOver(sampleCell, open(), { identity: server, store, now: () => now, failed: (thrown) => failures.push(thrown) })

  it('is settled with the audits that were written, once', async () => {
    now += 60_000
    const receipt = await provisional(1)
    await store.commit(sampleCell, epoch, [
      { t: 'audit', entry: sampleAudit(1, { chunks: 4 }) },
      { t: 'audit', entry: sampleAudit(1, { audit: 'a'.repeat(32), chunks: 4 }) },
      { t: 'audit', entry: sampleAudit(1, { audit: 'b'.repeat(32), peer: peerOf(5), first: 0, chunks: 3 }) },
      { t: 'audit', entry: sampleAudit(1, { audit: 'c'.repeat(32), peer: peerOf(6), first: 1, chunks: 2, outcome: 'void' }) },
    ])
    await sweep()
    await sweep()
    const chain = await store.receipts(receipt.request)
    expect(chain.length).toBe(2)
    expect(chain[1]).toMatchObject({ status: 'settled', audits: { done: 7, of: 9 }, supersedes: await receiptHash(receipt) })
    expect(await checkReceipt(chain[1] as Receipt)).toBe(true)
  })

  it('stays as it is where a lie was found, where custody does not hold, and where the server is still at it', async () => {
    now += 60_000
    await provisional(1)
    await store.commit(sampleCell, epoch, [{ t: 'audit', entry: sampleAudit(1, { outcome: 'lost' }) }])
    await provisional(2, { custody: { checked: 3, failed: 1 } })
    await provisional(3, { issuedAt: now + 1 })
    await sweep()
    expect((await store.unsettled(sampleCell)).length).toBe(3)
    expect(failures).toEqual([])
  })
})
