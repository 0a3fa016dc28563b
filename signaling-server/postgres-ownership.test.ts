/** Who owns what among several processes, on a real PostgreSQL: leases, epochs, shares, and what an outage does to them. */
import type { Pool } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { PostgresOwnership } from './postgres-ownership.ts'
import { migrate, openPool } from './postgres-pool.ts'

/** Nothing runs out by itself while a test is on, however busy the machine is. */
const longMs = 600_000
const cells = Array.from({ length: 12 }, (_, n) => `cell-${n}`)
const [cell] = cells as [string]

let postgres: Postgres
let url: string
const pools: Pool[] = []

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres?.close())
beforeEach(async () => {
  url = await postgres.database()
})
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.end()))
})

async function process(name: string, leaseMs = longMs): Promise<PostgresOwnership> {
  const pool = openPool(url, name, 2)
  pools.push(pool)
  await migrate(pool)
  return new PostgresOwnership(pool, name, `http://${name}`, leaseMs)
}

const claim = async (ownership: PostgresOwnership) => (await ownership.claim([cell], 1)).get(cell)

/** As after a long silence of all the owners. */
const runOut = () => pools[0]?.query(`UPDATE cell SET until = clock_timestamp() - interval '1 s'`)

it('gives a cell to one process, and to another under a higher epoch once the first is silent', async () => {
  const [a, b] = [await process('a'), await process('b')]
  const first = (await claim(a)) as number
  expect(await claim(b)).toBeUndefined()
  expect(await b.ownerOf(cell)).toEqual({ url: 'http://a', epoch: first })
  await runOut()
  const second = await claim(b)
  expect(second).toBe(first + 1)
  expect(await a.renew([cell])).toEqual([])
  expect(await claim(a)).toBeUndefined()
  expect(await a.ownerOf(cell)).toEqual({ url: 'http://b', epoch: second })
  expect(await b.renew([cell])).toEqual([cell])
})

it('a released cell is free at once, and its epoch grows all the same, also for the one who had it', async () => {
  const [a, b] = [await process('a'), await process('b')]
  const epoch = (await claim(a)) as number
  await a.release([cell])
  expect(await a.ownerOf(cell)).toBeUndefined()
  expect(await claim(b)).toBe(epoch + 1)
  await b.release([cell])
  expect(await claim(a)).toBe(epoch + 2)
})

it('a lease that ran out and that nobody took is kept by its owner', async () => {
  const a = await process('a')
  const epoch = await claim(a)
  await runOut()
  expect(await a.ownerOf(cell)).toBeUndefined()
  expect(await a.renew([cell])).toEqual([cell])
  expect(await a.ownerOf(cell)).toEqual({ url: 'http://a', epoch })
})

it('a process started anew under the same address is another: it waits for its own old lease', async () => {
  const [a, again] = [await process('a'), await process('a-again')]
  const epoch = (await claim(a)) as number
  expect(await claim(again)).toBeUndefined()
  await runOut()
  expect(await claim(again)).toBe(epoch + 1)
})

it('takes its share of what is free and no more, however much it asks for; the rest goes to the others', async () => {
  const three = [await process('a'), await process('b'), await process('c')]
  for (const ownership of three) await ownership.renew([])
  const [a, b] = three as [PostgresOwnership, PostgresOwnership]
  expect((await a.claim(cells, cells.length)).size).toBe(4)
  expect((await b.claim(cells, 2)).size).toBe(2)
  const taken = await Promise.all(three.map((ownership) => ownership.claim(cells, cells.length)))
  const all = taken.flatMap((held) => [...held.keys()])
  expect(new Set(all).size).toBe(all.length)
  await expect
    .poll(async () => (await Promise.all(three.map((o) => o.claim(cells, cells.length)))).reduce((sum, held) => sum + held.size, 0))
    .toBe(cells.length)
})

it('of many that claim the same at once, one has each', async () => {
  const many = await Promise.all(Array.from({ length: 6 }, (_, n) => process(`p${n}`)))
  const taken = await Promise.all(many.map((ownership) => ownership.claim(cells, cells.length)))
  const all = taken.flatMap((held) => [...held.keys()])
  expect(new Set(all).size).toBe(all.length)
})

it('knows which processes are up', async () => {
  const [a, b] = [await process('a'), await process('b')]
  await a.renew([])
  await b.renew([])
  expect(await a.servers()).toEqual(['http://a', 'http://b'])
  await b.resign()
  expect(await a.servers()).toEqual(['http://a'])
})

it('stops acting before its lease is over when it can’t renew, and acts again after a good renewal', async () => {
  const a = await process('a', 3_000)
  expect(a.mayAct()).toBe(false)
  await claim(a)
  expect(a.mayAct()).toBe(true)
  await expect.poll(() => a.mayAct(), { timeout: 60_000, interval: 5 }).toBe(false)
  expect(await a.ownerOf(cell)).toMatchObject({ url: 'http://a' })
  await a.renew([cell])
  expect(a.mayAct()).toBe(true)
})

it('after an outage claims nothing for a while, so that whoever owned a cell before renews it first', async () => {
  const [a, b] = [await process('a'), await process('b')]
  const epoch = await claim(a)
  await postgres.stop()
  await expect(a.renew([cell])).rejects.toMatchObject({ code: 'unavailable' })
  await expect(b.claim([cell], 1)).rejects.toMatchObject({ code: 'unavailable' })
  await postgres.start()
  await runOut()
  expect(await claim(b)).toBeUndefined()
  await expect.poll(() => a.renew([cell]).catch(() => []), { timeout: 60_000 }).toEqual([cell])
  expect(await b.ownerOf(cell)).toEqual({ url: 'http://a', epoch })
})
