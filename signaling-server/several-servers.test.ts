/**
 * Two server processes on one PostgreSQL, as an operator runs them, and clients on raw sockets: who asks at the wrong one is
 * sent to the right one, and what a dead or a stopped one had is the other's.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { RawSocket } from '../e2e/harness/raw-socket.ts'
import { serverData } from '../e2e/harness/server-data.ts'
import { startServerProcess, type ServerProcess } from '../e2e/harness/server-process.ts'
import { openLibrary } from '../models/library.ts'
import type { Revision } from '../protocol/ids.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'

/** Two processes start, two leases run out, and the machine may be busy with other tests. */
const soon = { timeout: 60_000 }

let postgres: Postgres
let library: string
const revisions: Revision[] = []

beforeAll(async () => {
  postgres = await startPostgres()
  library = await mkdtemp(join(tmpdir(), 'manyhands-several-'))
  const opened = openLibrary(library)
  for (const name of ['one', 'two']) revisions.push((await opened.addFile(tinyLlama({ layers: 1 }), { name })).revision)
})
afterAll(async () => {
  await postgres?.close()
  await rm(library, { recursive: true, force: true })
})

let database: string
let db: pg.Client
/** The first has the first model, the second the second one. */
let a: ServerProcess
let b: ServerProcess
const ends: (() => unknown)[] = []
/** By server. */
const folders = new Map<ServerProcess, string>()

beforeEach(async () => {
  database = await postgres.database()
  ;[a, b] = await Promise.all([start(), start()])
  db = new pg.Client({ connectionString: database })
  db.on('error', () => undefined)
  await db.connect()
  // One that came first may have had both, and gives one up as soon as it sees the other.
  await expect.poll(owners, soon).toEqual(expect.arrayContaining([a.url, b.url]))
  if ((await owners())[0] !== a.url) revisions.reverse()
})
afterEach(async () => {
  await db.end()
  for (const end of ends.splice(0).toReversed()) await end()
})

/** With a key and a folder of its own. */
async function start(): Promise<ServerProcess> {
  const data = await serverData(library, revisions)
  ends.push(() => data.remove())
  const server = await startServerProcess({ data: data.directory, database })
  ends.push(() => server.close())
  folders.set(server, data.directory)
  return server
}

/** Of the models in their order; '' is nobody. */
async function owners(): Promise<string[]> {
  const { rows } = await db.query<{ name: string; url: string }>('SELECT name, url FROM cell WHERE until > clock_timestamp()')
  return revisions.map((revision) => rows.find(({ name }) => name === revision)?.url ?? '')
}

async function peer({ url }: ServerProcess): Promise<RawSocket> {
  const socket = await RawSocket.welcomed(url)
  ends.push(() => socket.close())
  return socket
}

const open = (revision: Revision | undefined, id = 7) => ({
  t: 'open',
  id,
  revision,
  maxPositions: 8,
  sampling: { temperature: 0, topP: 1, seed: 1 },
})
const offer = (models: readonly (Revision | undefined)[]) => ({ t: 'offer', models, memoryBytes: 2 ** 30, power: 1, backends: ['wasm'] })

it('who asks for a swarm of the other’s, as a requester or a volunteer, is sent there, and is served there', async () => {
  const [mine, others] = revisions
  const asker = await peer(a)
  asker.send(open(others))
  expect(await asker.next('moved')).toEqual({ t: 'moved', id: 7, revision: others, url: b.url })
  asker.send(open(mine, 8))
  expect(await asker.next('error')).toMatchObject({ id: 8, error: { code: 'no-volunteers' } })
  const volunteer = await peer(a)
  volunteer.send(offer([others]))
  expect(await volunteer.next('moved')).toEqual({ t: 'moved', revision: others, url: b.url })
  const there = await peer(b)
  there.send(offer([others]))
  expect(await there.next('assign')).toMatchObject({ revision: others })
  there.send(open(others))
  expect(await there.next('error')).toMatchObject({ id: 7, error: { code: 'no-volunteers' } })
})

it('[PJ5] a project that is made or ended at one server is so at the other', async () => {
  const ask = async ({ url }: ServerProcess, path: string, method = 'GET', key?: string, body?: object) => {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
    const response = await fetch(`${url}/v1/projects${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) })
    return (await response.json()) as Record<string, string>
  }
  const token = (await readFile(join(folders.get(a) ?? '', 'operator.token'), 'utf8')).trim()
  const { id, key, ownerKey } = await ask(a, '', 'POST', token, { name: 'Cats', origins: ['server'] })
  const known = () => ask(b, `/${id}`)
  await expect.poll(known, soon).toMatchObject({ name: 'Cats', revoked: false })
  const asker = await RawSocket.welcomed(b.url, { project: { key } })
  ends.push(() => asker.close())
  asker.send(open(revisions[1]))
  expect(await asker.next('error')).toMatchObject({ id: 7, error: { code: 'no-volunteers' } })
  await ask(a, `/${id}/revoke`, 'POST', ownerKey)
  await expect.poll(known, soon).toMatchObject({ revoked: true })
  asker.send(open(revisions[1], 8))
  expect(await asker.next('error')).toMatchObject({ id: 8, error: { code: 'forbidden' } })
})

it('a volunteer that finds nothing to do is told where it is needed', async () => {
  const volunteer = await peer(a)
  volunteer.send(offer([]))
  const { lease } = await volunteer.next('assign')
  // What it failed at it is not given again so soon, and here there is nothing else.
  volunteer.send({ t: 'failed', lease, error: { code: 'engine-failed', message: 'A test.' } })
  volunteer.send(offer([]))
  await volunteer.next('idle')
  expect(await volunteer.next('moved')).toEqual({ t: 'moved', url: b.url })
})

it('both list every model with the swarm as it is, and sign for each other', async () => {
  const [, others] = revisions
  const volunteer = await peer(b)
  volunteer.send(offer([others]))
  await volunteer.next('assign')
  const volunteers = async (server: ServerProcess) => {
    const socket = await peer(server)
    socket.send({ t: 'models', id: 1 })
    const { models } = await socket.next('models')
    socket.close()
    return revisions.map((revision) => models.find((m) => m.revision === revision)?.volunteers)
  }
  for (const server of [a, b]) await expect.poll(() => volunteers(server), soon).toEqual([0, 1])
  const keys = async ({ url }: ServerProcess) => {
    const { serverKey, pastKeys } = (await (await fetch(`${url}/.well-known/manyhands.json`)).json()) as {
      serverKey: string
      pastKeys: string[]
    }
    return new Set([serverKey, ...pastKeys])
  }
  await expect.poll(async () => (await keys(a)).size, soon).toBe(2)
  expect(await keys(b)).toEqual(await keys(a))
})

it('killed, its swarms are the other’s, and the other is the only one named', async () => {
  const [mine] = revisions
  const [{ epoch }] = (await db.query<{ epoch: string }>('SELECT epoch FROM cell WHERE name = $1', [mine])).rows as [{ epoch: string }]
  await a.group.kill()
  // Asked before the lease is over: the answer waits until it is clear whose it is.
  const asker = await peer(b)
  await expect.poll(owners, soon).toEqual([b.url, b.url])
  asker.send(open(mine))
  expect(await asker.next('error')).toMatchObject({ id: 7, error: { code: 'no-volunteers' } })
  const volunteer = await peer(b)
  volunteer.send(offer([mine]))
  expect((await volunteer.next('assign')).epoch).toBeGreaterThan(Number(epoch))
})

it('stopped for a while, it decides nothing for what it has lost, and sends on those who are still with it', async () => {
  const [mine] = revisions
  const [volunteer, asker] = [await peer(a), await peer(a)]
  volunteer.send(offer([mine]))
  await volunteer.next('assign')
  a.group.signal('SIGSTOP')
  await expect.poll(owners, soon).toEqual([b.url, b.url])
  asker.send(open(mine))
  a.group.signal('SIGCONT')
  expect(await asker.next('moved')).toEqual({ t: 'moved', id: 7, revision: mine, url: b.url })
  expect(await volunteer.next('moved')).toEqual({ t: 'moved', revision: mine, url: b.url })
})

it('ended politely, it leaves its swarms at once, and clients of the other hear that it is gone', async () => {
  const witness = await peer(b)
  await a.close()
  await expect.poll(async () => (await witness.next('servers')).servers, soon).toEqual([b.url])
  await expect.poll(owners, soon).toEqual([b.url, b.url])
})

it('while the database is away an asker waits; back, everyone has what they had', async () => {
  const [mine] = revisions
  const before = await db.query('SELECT name, epoch, owner FROM cell ORDER BY name')
  const asker = await peer(a)
  await db.end()
  await postgres.stop()
  await postgres.start()
  db = new pg.Client({ connectionString: database })
  await db.connect()
  await expect.poll(owners, soon).toEqual([a.url, b.url])
  asker.send(open(mine))
  expect(await asker.next('error')).toMatchObject({ id: 7, error: { code: 'no-volunteers' } })
  expect((await db.query('SELECT name, epoch, owner FROM cell ORDER BY name')).rows).toEqual(before.rows)
})
