import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Receipt } from '../protocol/receipt.ts'
import { sampleHash, sampleReceipt, sampleSession, sampleWork } from '../testing/sample-receipts.ts'
import { killWhileSettling } from '../testing/settlements/kill-while-settling.ts'
import { projectContract } from '../testing/project-contract.ts'
import { busContract, storeContract } from '../testing/store-contract.ts'
import { peerOf } from '../testing/swarms.ts'
import { memoryBus } from './bus.ts'
import { openEmbedded } from './sqlite-store.ts'

const folder = () => mkdtemp(join(tmpdir(), 'manyhands-store-'))

describe('the SQLite store', () => {
  storeContract(async () => {
    const directory = await folder()
    return { open: async () => openEmbedded(directory, 'http://here'), remove: () => rm(directory, { recursive: true }) }
  })
  projectContract(async () => {
    const directory = await folder()
    return { open: async () => openEmbedded(directory, 'http://here'), remove: () => rm(directory, { recursive: true }) }
  })

  it('owns every cell it is asked about, under one epoch that grows with every start', async () => {
    const directory = await folder()
    try {
      for (const epoch of [1, 2, 3]) {
        const { store, ownership } = openEmbedded(directory, 'http://here')
        expect(await ownership.claim(['a', 'b'], 2)).toEqual(
          new Map([
            ['a', epoch],
            ['b', epoch],
          ]),
        )
        expect(await ownership.ownerOf('c')).toEqual({ url: 'http://here', epoch })
        await store.close()
      }
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it('brings a database of the first version along, with all that is in it', async () => {
    const directory = await folder()
    try {
      const { DatabaseSync } = await import('@photostructure/sqlite')
      const db = new DatabaseSync(join(directory, 'manyhands.db'))
      db.exec(`CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL); INSERT INTO epoch VALUES (1, 5);
        CREATE TABLE receipt (session TEXT NOT NULL, status TEXT NOT NULL, issued_at INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (session, status)) STRICT;
        CREATE TABLE work (session TEXT NOT NULL, peer TEXT NOT NULL, revision TEXT NOT NULL, first INTEGER NOT NULL, "end" INTEGER NOT NULL,
          rows INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (session, peer, first)) STRICT;
        CREATE INDEX work_by_peer ON work (peer, at); PRAGMA user_version = 1`)
      const receipts = [sampleReceipt(1), sampleReceipt(1, { status: 'corrected', supersedes: sampleHash })]
      for (const receipt of receipts)
        db.prepare('INSERT INTO receipt VALUES (?, ?, ?, ?)').run(
          receipt.request,
          receipt.status,
          receipt.issuedAt,
          JSON.stringify(receipt),
        )
      for (const { id, peer, revision, first, end, rows, at } of [sampleWork(2), sampleWork(1)])
        db.prepare('INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?)').run(id, peer, revision, first, end, rows, at)
      db.close()
      const { store, ownership } = openEmbedded(directory, '')
      expect(await ownership.ownerOf('a')).toMatchObject({ epoch: 6 })
      expect(await store.receipts(sampleSession(1))).toEqual(receipts)
      expect(await store.work(peerOf(1))).toEqual([sampleWork(1), sampleWork(2)])
      await store.commit('a', 6, [{ t: 'receipt', receipt: { ...(receipts[1] as Receipt), issuedAt: 1 } }])
      expect(await store.receipts(sampleSession(1))).toEqual(receipts)
      await store.close()
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it('killed again and again while it settles, has every entry once, and no half of a commit', async () => {
    const directory = await folder()
    try {
      const report = await killWhileSettling({ kills: 20, directory })
      expect(report).toMatchObject({ kills: 20, lost: 0, doubled: 0, halves: 0, miscounted: 0 })
      expect(report.settled).toBeGreaterThanOrEqual(20)
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it('refuses a file that is no database, and says what to do', async () => {
    const directory = await folder()
    try {
      await writeFile(join(directory, 'manyhands.db'), 'A text that is long enough to be taken for a header.'.repeat(20))
      expect(() => openEmbedded(directory, '')).toThrow(
        expect.objectContaining({ code: 'bad-input', message: expect.stringContaining('--data') }),
      )
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it('refuses a database of a newer version', async () => {
    const directory = await folder()
    try {
      const { DatabaseSync } = await import('@photostructure/sqlite')
      const db = new DatabaseSync(join(directory, 'manyhands.db'))
      db.exec('PRAGMA user_version = 99')
      db.close()
      expect(() => openEmbedded(directory, '')).toThrow(
        expect.objectContaining({ code: 'bad-input', message: expect.stringContaining('newer') }),
      )
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})

describe('the bus of one process', () => {
  busContract(async (name) => memoryBus(name))
})
