/**
 * What every store with its ownership, and every bus, must do, whatever database is behind: the server relies on it. An
 * implementation's own test file calls these.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../protocol/bytes.ts'
import { maxBusBytes, type Bus } from '../signaling-server/bus.ts'
import type { Ownership } from '../signaling-server/ownership.ts'
import type { Store } from '../signaling-server/store.ts'
import { maxEvidenceBytes, maxStandingBytes, maxWhyChars, type Write } from '../signaling-server/store.ts'
import {
  sampleAudit as audit,
  sampleCell as cell,
  sampleHash as hash,
  sampleReceipt,
  sampleSession as sessionOf,
  sampleStrike as strike,
  sampleWork as work,
} from './sample-receipts.ts'
import { peerOf, revisionOf } from './swarms.ts'

/** A database that stays while servers come and go. */
export interface Durable {
  /** As a server at http://here does when it starts. */
  open(): Promise<{ readonly store: Store; readonly ownership: Ownership }>
  /** Once every store is closed. */
  remove(): Promise<void>
}

export function storeContract(make: () => Promise<Durable>): void {
  describe('as every store', () => {
    let durable: Durable
    const opened: Store[] = []
    /** A server that has claimed the cell, as soon as whoever had it is thought dead. */
    const start = async () => {
      const { store, ownership } = await durable.open()
      opened.push(store)
      const claimed = async () => (await ownership.claim([cell], 1)).get(cell)
      await expect.poll(claimed, { timeout: 60_000 }).toBeDefined()
      return { store, ownership, epoch: (await claimed()) as number }
    }
    beforeEach(async () => {
      durable = await make()
    })
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close().catch(() => undefined)))
      await durable.remove()
    })

    it('finds a model’s receipts that were never settled, by the last of each request', async () => {
      const { store, epoch } = await start()
      const receipts = [
        sampleReceipt(1),
        sampleReceipt(2),
        sampleReceipt(2, { status: 'settled', supersedes: hash }),
        sampleReceipt(3, { status: 'settled' }),
        sampleReceipt(3, { status: 'corrected', session: sessionOf(4), supersedes: hash }),
        sampleReceipt(5, { revision: revisionOf(2) }),
      ]
      expect(await store.unsettled(cell)).toEqual([])
      for (const receipt of receipts) await store.commit(cell, epoch, [{ t: 'receipt', receipt }])
      expect((await store.unsettled(cell)).map((r) => [r.request, r.status])).toEqual([
        [sessionOf(1), 'provisional'],
        [sessionOf(3), 'corrected'],
      ])
      expect((await store.unsettled(revisionOf(2))).map((r) => r.request)).toEqual([sessionOf(5)])
    })

    it('gives back what was committed, and nothing for what was not', async () => {
      const { store, epoch } = await start()
      const receipt = sampleReceipt(1)
      expect(
        await store.commit(cell, epoch, [
          { t: 'receipt', receipt },
          { t: 'work', entry: work(1) },
        ]),
      ).toBe('ok')
      expect(await store.receipt(sessionOf(1))).toEqual(receipt)
      expect(await store.work(peerOf(1))).toEqual([work(1)])
      expect(await store.receipt(sessionOf(2))).toBeUndefined()
      expect(await store.work(peerOf(2))).toEqual([])
    })

    it('[RC4] never changes a receipt: the first of a session and status stands', async () => {
      const { store, epoch } = await start()
      const receipt = sampleReceipt(1)
      await store.commit(cell, epoch, [{ t: 'receipt', receipt }])
      await store.commit(cell, epoch, [{ t: 'receipt', receipt }])
      await store.commit(cell, epoch, [{ t: 'receipt', receipt: sampleReceipt(1, { issuedAt: 1_900_000_000_000 }) }])
      expect(await store.receipt(sessionOf(1))).toEqual(receipt)
    })

    it('[RC4] gives a successor once there is one, also when the clock went back meanwhile', async () => {
      const { store, epoch } = await start()
      await store.commit(cell, epoch, [{ t: 'receipt', receipt: sampleReceipt(1) }])
      const corrected = sampleReceipt(1, { status: 'corrected', supersedes: hash, issuedAt: 1_600_000_000_000 })
      await store.commit(cell, epoch, [{ t: 'receipt', receipt: corrected }])
      expect(await store.receipt(sessionOf(1))).toEqual(corrected)
    })

    it('[RC4] gives all of a session’s receipts in their order, several of one status among them', async () => {
      const { store, epoch } = await start()
      const other = 'd'.repeat(64) as typeof hash
      const chain = [
        sampleReceipt(1),
        sampleReceipt(1, { status: 'settled', supersedes: hash }),
        sampleReceipt(1, { status: 'corrected', supersedes: other, session: sessionOf(7) }),
        sampleReceipt(1, { status: 'corrected', supersedes: hash, session: sessionOf(8) }),
      ]
      for (const receipt of chain) await store.commit(cell, epoch, [{ t: 'receipt', receipt }])
      for (const receipt of chain) await store.commit(cell, epoch, [{ t: 'receipt', receipt: { ...receipt, issuedAt: 1 } }])
      expect(await store.receipts(sessionOf(1))).toEqual(chain)
      expect(await store.receipt(sessionOf(1))).toEqual(chain[3])
      expect(await store.receipts(sessionOf(7))).toEqual([])
    })

    it('counts the work of a stage in a session once, in the order of time', async () => {
      const { store, epoch } = await start()
      const entries = [work(2), work(1), work(2, { rows: 99 }), work(2, { first: 2 })]
      await store.commit(
        cell,
        epoch,
        entries.map((entry) => ({ t: 'work', entry })),
      )
      expect(await store.work(peerOf(1))).toEqual([work(1), work(2), work(2, { first: 2 })])
    })

    it('keeps work of another kind, or of an audit, beside a stage’s', async () => {
      const { store, epoch } = await start()
      const entries = [work(1), work(1, { kind: 'standby', at: work(2).at }), work(3, { id: audit(1).audit, kind: 'audit' })]
      await store.commit(
        cell,
        epoch,
        entries.map((entry) => ({ t: 'work', entry })),
      )
      expect(await store.work(peerOf(1))).toEqual(entries)
    })

    it('adds a peer’s work up by day and kind, from a day on', async () => {
      const { store, epoch } = await start()
      const day = 20_000
      const at = (days: number, ms: number) => (day + days) * 86_400_000 + ms
      const entries = [
        work(1, { at: at(0, -1), rows: 7 }),
        work(2, { at: at(0, 0), rows: 3 }),
        work(3, { at: at(0, 5), rows: 4 }),
        work(4, { at: at(0, 6), rows: 5, kind: 'audit' }),
        work(5, { at: at(2, 0), rows: 6 }),
        work(6, { at: at(2, 0), rows: 9, peer: peerOf(2) }),
      ]
      await store.commit(
        cell,
        epoch,
        entries.map((entry) => ({ t: 'work', entry })),
      )
      expect(await store.workSums(peerOf(1), at(0, 0))).toEqual([
        { day, kind: 'audit', rows: 5, pieces: 1 },
        { day, kind: 'stage', rows: 7, pieces: 2 },
        { day: day + 2, kind: 'stage', rows: 6, pieces: 1 },
      ])
      expect(await store.workSums(peerOf(3), 0)).toEqual([])
    })

    it('gives the audits of a peer or of a session, the latest first, as many as are asked for; each is written once', async () => {
      const { store, epoch } = await start()
      const entries = [audit(1), audit(3), audit(2), audit(4, { session: sessionOf(1), peer: peerOf(3), outcome: 'lost' })]
      for (const entry of [...entries, audit(1, { outcome: 'lost' })]) await store.commit(cell, epoch, [{ t: 'audit', entry }])
      expect(await store.audits({ peer: peerOf(1) }, 10)).toEqual([audit(3), audit(2), audit(1)])
      expect(await store.audits({ peer: peerOf(1) }, 2)).toEqual([audit(3), audit(2)])
      expect(await store.audits({ session: sessionOf(1) }, 10)).toEqual([entries[3], audit(1)])
      expect(await store.audits({ peer: peerOf(2) }, 10)).toEqual([])
    })

    it('keeps a strike once for each cause and peer, in the order of time', async () => {
      const { store, epoch } = await start()
      const entries = [strike(2), strike(1), strike(1, { why: 'again' }), strike(1, { peer: peerOf(2) })]
      await store.commit(
        cell,
        epoch,
        entries.map((entry) => ({ t: 'strike', entry })),
      )
      expect(await store.strikes(peerOf(1))).toEqual([strike(1), strike(2)])
      expect(await store.strikes(peerOf(2))).toEqual([entries[3]])
    })

    it('has of every peer the standing that was written last', async () => {
      const { store, epoch } = await start()
      const standing = (n: number): Write => ({ t: 'standing', peer: peerOf(n), standing: { agreements: n, why: 'naïve ✓' } })
      await store.commit(cell, epoch, [{ t: 'standing', peer: peerOf(1), standing: { agreements: 90 } }, standing(1), standing(2)])
      await store.commit(cell, epoch, [{ t: 'standing', peer: peerOf(2), standing: [0] }])
      expect(await store.standings([peerOf(1), peerOf(2), peerOf(3)])).toEqual(
        new Map<unknown, unknown>([
          [peerOf(1), { agreements: 1, why: 'naïve ✓' }],
          [peerOf(2), [0]],
        ]),
      )
      expect(await store.standings([])).toEqual(new Map())
    })

    it('keeps a session’s evidence byte for byte, the first that was written', async () => {
      const { store, epoch } = await start()
      const evidence = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 255)
      await store.commit(cell, epoch, [{ t: 'evidence', session: sessionOf(1), evidence }])
      await store.commit(cell, epoch, [{ t: 'evidence', session: sessionOf(1), evidence: utf8('another') }])
      expect(await store.evidence(sessionOf(1))).toEqual(evidence)
      expect(await store.evidence(sessionOf(2))).toBeUndefined()
    })

    it('takes each write up to its limit and refuses what is over it, with all that was to be written along with it', async () => {
      const { store, epoch } = await start()
      const within: Write[] = [
        { t: 'evidence', session: sessionOf(1), evidence: new Uint8Array(maxEvidenceBytes).fill(7) },
        { t: 'standing', peer: peerOf(1), standing: 'é'.repeat(maxStandingBytes / 2 - 1) },
        { t: 'strike', entry: strike(1, { why: 'é'.repeat(maxWhyChars) }) },
      ]
      const over: Write[] = [
        { t: 'evidence', session: sessionOf(1), evidence: new Uint8Array(maxEvidenceBytes + 1) },
        { t: 'standing', peer: peerOf(1), standing: 'é'.repeat(maxStandingBytes / 2) },
        { t: 'strike', entry: strike(1, { why: 'é'.repeat(maxWhyChars + 1) }) },
      ]
      for (const write of over) {
        const batch = store.commit(cell, epoch, [{ t: 'receipt', receipt: sampleReceipt(1) }, write])
        await expect(batch).rejects.toMatchObject({ code: 'bad-input' })
      }
      expect(await store.receipt(sessionOf(1))).toBeUndefined()
      expect(await store.commit(cell, epoch, within)).toBe('ok')
      expect(await store.evidence(sessionOf(1))).toHaveLength(maxEvidenceBytes)
      expect((await store.standings([peerOf(1)])).size).toBe(1)
      expect(await store.strikes(peerOf(1))).toHaveLength(1)
    })

    it('is as it was after a commit that is sent twice, as after a crash', async () => {
      const { store, epoch } = await start()
      const writes: Write[] = [
        { t: 'receipt', receipt: sampleReceipt(1) },
        { t: 'work', entry: work(1) },
        { t: 'audit', entry: audit(1) },
        { t: 'strike', entry: strike(1) },
        { t: 'evidence', session: sessionOf(1), evidence: utf8('proofs') },
        { t: 'standing', peer: peerOf(1), standing: { agreements: 1 } },
      ]
      const everything = async () => [
        await store.receipts(sessionOf(1)),
        await store.work(peerOf(1)),
        await store.audits({ session: sessionOf(1) }, 10),
        await store.strikes(peerOf(1)),
        await store.evidence(sessionOf(1)),
        await store.standings([peerOf(1)]),
      ]
      expect(await store.commit(cell, epoch, writes)).toBe('ok')
      const before = await everything()
      expect(await store.commit(cell, epoch, writes)).toBe('ok')
      expect(await everything()).toEqual(before)
      expect(before[1]).toHaveLength(1)
    })

    it('writes all of a batch or nothing', async () => {
      const { store, epoch } = await start()
      const batch = store.commit(cell, epoch, [
        { t: 'receipt', receipt: sampleReceipt(1) },
        { t: 'work', entry: work(1, { rows: Number.NaN }) },
      ])
      await expect(batch).rejects.toThrow()
      expect(await store.receipt(sessionOf(1))).toBeUndefined()
      expect(await store.commit(cell, epoch, [{ t: 'receipt', receipt: sampleReceipt(2) }])).toBe('ok')
      expect(await store.receipt(sessionOf(2))).toBeDefined()
    })

    it('takes commits that overlap', async () => {
      const { store, epoch } = await start()
      const numbers = Array.from({ length: 20 }, (_, n) => n)
      const written = await Promise.all(numbers.map((n) => store.commit(cell, epoch, [{ t: 'receipt', receipt: sampleReceipt(n) }])))
      expect(new Set(written)).toEqual(new Set(['ok']))
      for (const n of numbers) expect(await store.receipt(sessionOf(n))).toEqual(sampleReceipt(n))
    })

    it('has everything after a restart', async () => {
      const first = await start()
      await first.store.commit(cell, first.epoch, [
        { t: 'receipt', receipt: sampleReceipt(1) },
        { t: 'work', entry: work(1) },
      ])
      await first.store.close()
      const { store } = await start()
      expect(await store.receipt(sessionOf(1))).toEqual(sampleReceipt(1))
      expect(await store.work(peerOf(1))).toEqual([work(1)])
    })

    it('takes nothing under an epoch that is over', async () => {
      const old = await start()
      const now = await start()
      expect(now.epoch).toBeGreaterThan(old.epoch)
      const writes = [{ t: 'receipt' as const, receipt: sampleReceipt(1) }]
      expect(await old.store.commit(cell, old.epoch, writes)).toBe('stale')
      expect(await now.store.commit(cell, old.epoch, writes)).toBe('stale')
      expect(await now.store.receipt(sessionOf(1))).toBeUndefined()
      expect(await now.store.commit(cell, now.epoch, writes)).toBe('ok')
      expect(await old.store.receipt(sessionOf(1))).toEqual(sampleReceipt(1))
    })

    it('says who owns a cell, under which epoch, until it is another', async () => {
      const { ownership, epoch } = await start()
      expect(await ownership.ownerOf(cell)).toMatchObject({ epoch })
      expect(await ownership.renew([cell])).toEqual([cell])
      expect(await ownership.claim([], 1)).toEqual(new Map())
      expect(ownership.mayAct()).toBe(true)
    })

    it('says which servers are up once they have renewed', async () => {
      const { ownership } = await start()
      await ownership.renew([cell])
      expect(await ownership.servers()).toEqual(['http://here'])
    })
  })
}

export function busContract(open: (name: string) => Promise<Bus>): void {
  describe('as every bus', () => {
    const heard = async (to: string) => {
      const bus = await open('here')
      const received: string[] = []
      const first = new Promise<void>((resolve) => {
        bus.onMessage((bytes) => {
          received.push(new TextDecoder().decode(bytes))
          resolve()
        })
      })
      const bytes = utf8('one')
      await bus.send(to, bytes)
      bytes.fill(0)
      await bus.send('here', utf8('two'))
      await first
      await bus.send('here', utf8('three'))
      await expect.poll(() => received.at(-1), { timeout: 60_000 }).toBe('three')
      await bus.close()
      return received
    }

    it('hands a message to the process that it names', async () => {
      expect(await heard('here')).toEqual(['one', 'two', 'three'])
    })
    it('hands one for all to this process too', async () => {
      expect(await heard('all')).toEqual(['one', 'two', 'three'])
    })
    it('hands one for another to that one alone', async () => {
      expect(await heard('elsewhere')).toEqual(['two', 'three'])
    })

    it('hands over as many as are sent, in their order, up to the longest; a longer one is refused', async () => {
      const bus = await open('here')
      const received: Uint8Array[] = []
      bus.onMessage((bytes) => void received.push(bytes))
      const messages = Array.from({ length: 300 }, (_, n) => new Uint8Array(n % 3 === 0 ? maxBusBytes : n).fill(n & 255))
      await Promise.all(messages.map((bytes, n) => bus.send(n % 2 ? 'here' : 'all', bytes)))
      await expect.poll(() => received.length, { timeout: 60_000 }).toBe(messages.length)
      expect(received).toEqual(messages)
      await expect(bus.send('here', new Uint8Array(maxBusBytes + 1))).rejects.toMatchObject({ code: 'bad-input' })
      await bus.close()
    })

    it('says nothing more to who has stopped listening, or after its end', async () => {
      const bus = await open('here')
      const received: string[] = []
      const stop = bus.onMessage(() => received.push('stopped'))
      const last = new Promise<void>((resolve) => bus.onMessage(() => resolve()))
      stop()
      await bus.send('here', utf8('one'))
      await last
      await bus.close()
      await bus.send('here', utf8('two'))
      expect(received).toEqual([])
    })
  })
}
