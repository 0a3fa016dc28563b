/**
 * A PostgreSQL of a test's own, from Debian's package: a new cluster in a temporary folder, reached by a socket file there,
 * run as an unprivileged user where the test is root, and ended by its own process id. A cluster of the machine's is not touched.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { findPostgres, missingPostgres } from '../scripts/setup/database.mjs'

const run = promisify(execFile)
/** A cold start on a busy machine. */
const startMs = 60_000

export interface Postgres {
  /** A new, empty database: what `DATABASE_URL` would say. */
  database(): Promise<string>
  /** The engine goes away, as in a restart; connections break. */
  stop(): Promise<void>
  start(): Promise<void>
  /** Ends it and removes all of it. */
  close(): Promise<void>
}

export async function startPostgres(): Promise<Postgres> {
  const bin = await findPostgres()
  if (!bin) throw new Error(missingPostgres)
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-pg-'))
  const user = await unprivileged()
  const as = { cwd: folder, ...user }
  if (user) await chown(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  await run(join(bin, 'initdb'), ['-D', data, '-U', 'manyhands', '--auth=trust', '--no-sync', '-E', 'UTF8', '--locale=C'], as)

  let engine: ChildProcess | undefined
  const abandon = () => engine?.kill('SIGQUIT')
  process.once('exit', abandon)
  const start = async () => {
    const child = spawn(join(bin, 'postgres'), ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'max_connections=60'], {
      ...as,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    engine = child
    await saysReady(child)
  }
  const stop = async () => {
    const child = engine
    engine = undefined
    if (!child || child.exitCode !== null) return
    const ended = once(child, 'exit')
    // Fast: connections are broken off, what was committed stays.
    child.kill('SIGINT')
    await ended
  }
  await start()
  const urlOf = (name: string) => `postgresql://manyhands@localhost/${name}?host=${encodeURIComponent(folder)}`
  return {
    async database() {
      const name = `test_${randomBytes(6).toString('hex')}`
      const client = new pg.Client({ connectionString: urlOf('postgres') })
      await client.connect()
      await client.query(`CREATE DATABASE ${name}`)
      await client.end()
      return urlOf(name)
    },
    stop,
    start,
    async close() {
      process.off('exit', abandon)
      await stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** PostgreSQL refuses to run as root. */
async function unprivileged(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const id = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

function saysReady(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    const fail = (why: string) => reject(new Error(`PostgreSQL ${why}. It wrote: ${text.trim().slice(-2_000)}`))
    const timer = setTimeout(() => fail('did not start in time'), startMs)
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      text = (text + part).slice(-20_000)
      if (!text.includes('database system is ready to accept connections')) return
      clearTimeout(timer)
      resolve()
    })
    child.once('exit', () => {
      clearTimeout(timer)
      fail('ended')
    })
  })
}
