/** The store and the bus on a real PostgreSQL: what every one must do, and what only this one can get wrong. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { sampleCell as cell, sampleReceipt, sampleSession } from '../testing/sample-receipts.ts'
import { killWhileSettling } from '../testing/settlements/kill-while-settling.ts'
import { projectContract } from '../testing/project-contract.ts'
import { busContract, storeContract } from '../testing/store-contract.ts'
import { peerOf } from '../testing/swarms.ts'
import { PostgresBus } from './postgres-bus.ts'
import { PostgresOwnership } from './postgres-ownership.ts'
import { migrate, openPool } from './postgres-pool.ts'
import { PostgresStore } from './postgres-store.ts'
import { PostgresProjects } from './projects/postgres-projects.ts'
import type { Write } from './store.ts'

/** Short, so that a dead server's cell is soon another's. */
const leaseMs = 1_000

let postgres: Postgres
let processes = 0

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres?.close())

async function server(url: string) {
  const name = `server-${processes++}`
  const pool = openPool(url, name, 8)
  await migrate(pool)
  const store = new PostgresStore(pool, name)
  return { name, pool, store, projects: new PostgresProjects(pool), ownership: new PostgresOwnership(pool, name, 'http://here', leaseMs) }
}

describe('the PostgreSQL store', () => {
  storeContract(async () => {
    const url = await postgres.database()
    return { open: () => server(url), remove: async () => undefined }
  })
  projectContract(async () => {
    const url = await postgres.database()
    return { open: () => server(url), remove: async () => undefined }
  })

  it('is made once, by however many servers start together', async () => {
    const url = await postgres.database()
    const servers = await Promise.all(Array.from({ length: 4 }, () => server(url)))
    await Promise.all(servers.map(({ store }) => store.close()))
  })

  it('whose server is killed again and again while it settles, has every entry once, and no half of a commit', async () => {
    const report = await killWhileSettling({ kills: 20, directory: '', database: await postgres.database() })
    expect(report).toMatchObject({ kills: 20, lost: 0, doubled: 0, halves: 0, miscounted: 0 })
    expect(report.settled).toBeGreaterThanOrEqual(20)
  })

  it('refuses a database of a newer version, and one that is not there', async () => {
    const url = await postgres.database()
    const { pool, store } = await server(url)
    await pool.query('UPDATE schema_version SET version = 99')
    await expect(migrate(pool)).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining('newer') as string })
    await store.close()
    await expect(server(url.replace(/test_\w+/, 'nowhere'))).rejects.toMatchObject({ code: 'bad-input' })
  })

  it('decides between a commit and the claim of another process in the same moment: never both', async () => {
    const url = await postgres.database()
    const [a, b] = [await server(url), await server(url)]
    for (let round = 0; round < 40; round++) {
      const epoch = (await a.ownership.claim([cell], 1)).get(cell) as number
      await a.ownership.release([cell])
      await a.pool.query('UPDATE cell SET owner = $1, until = clock_timestamp() WHERE name = $2', [a.name, cell])
      const writes: Write[] = [{ t: 'receipt', receipt: sampleReceipt(round) }]
      const [written, claimed] = await Promise.all([a.store.commit(cell, epoch, writes), b.ownership.claim([cell], 1)])
      const there = (await b.store.receipt(sampleSession(round))) !== undefined
      expect(there).toBe(written === 'ok')
      if (claimed.has(cell)) expect(await a.store.commit(cell, epoch, writes)).toBe('stale')
      expect((await b.store.receipt(sampleSession(round))) !== undefined).toBe(there)
      await b.ownership.release([cell])
    }
    await Promise.all([a.store.close(), b.store.close()])
  })

  it('writes the same peers’ standings from two processes at once, in whatever order, without one waiting for the other for ever', async () => {
    const url = await postgres.database()
    const [a, b] = [await server(url), await server(url)]
    const [one, two] = ['one', 'two']
    await a.ownership.claim([one], 1)
    await b.ownership.claim([two], 1)
    const peers = Array.from({ length: 50 }, (_, n) => peerOf(n))
    const standings = (order: typeof peers): Write[] => order.map((peer) => ({ t: 'standing', peer, standing: { n: 1 } }))
    const rounds = Array.from({ length: 20 }, () => [
      a.store.commit(one, 1, standings(peers)),
      b.store.commit(two, 1, standings(peers.toReversed())),
    ])
    expect(new Set(await Promise.all(rounds.flat()))).toEqual(new Set(['ok']))
    await Promise.all([a.store.close(), b.store.close()])
  })
})

describe('the PostgreSQL store while the engine is away', () => {
  it('loses no commit to a restart in between, and says that it can’t be read meanwhile', async () => {
    const url = await postgres.database()
    const { store, ownership } = await server(url)
    const epoch = (await ownership.claim([cell], 1)).get(cell) as number
    await postgres.stop()
    const written = store.commit(cell, epoch, [{ t: 'receipt', receipt: sampleReceipt(1) }])
    await expect(store.receipt(sampleSession(1))).rejects.toMatchObject({ code: 'unavailable' })
    await postgres.start()
    expect(await written).toBe('ok')
    expect(await store.receipt(sampleSession(1))).toEqual(sampleReceipt(1))
    await store.close()
  })

  it('says what was missed on the bus after the engine’s return, and hears again', async () => {
    const url = await postgres.database()
    const { pool } = await server(url)
    const bus = await PostgresBus.open(pool, url, 'here')
    const received: number[] = []
    bus.onMessage((bytes) => received.push(...bytes))
    const gap = new Promise<void>((resolve) => bus.onGap(resolve))
    await postgres.stop()
    await bus.send('here', Uint8Array.of(1))
    await postgres.start()
    await gap
    await bus.send('here', Uint8Array.of(2))
    await expect.poll(() => received, { timeout: 60_000 }).toEqual([2])
    await bus.close()
    await pool.end()
  })
})

describe('the bus over PostgreSQL', () => {
  let url: string
  beforeAll(async () => {
    url = await postgres.database()
  })
  busContract(async (name) => {
    const pool = openPool(url, name, 2)
    const bus = await PostgresBus.open(pool, url, name)
    const close = bus.close.bind(bus)
    bus.close = async () => {
      await close()
      if (!pool.ended) await pool.end()
    }
    return bus
  })
})
