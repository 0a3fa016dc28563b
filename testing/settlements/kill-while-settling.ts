/**
 * Kills a process again and again while it settles sessions, starts another that goes on where the first said it was, and
 * looks in the end whether every entry is there once.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'
import type { WorkEntry } from '../../signaling-server/store.ts'
import { openDatabase } from '../../signaling-server/database.ts'
import { cats } from '../projects.ts'
import { sampleAudit, sampleSession, sampleStrike } from '../sample-receipts.ts'
import { peerOf } from '../swarms.ts'
import { evidenceOf, receiptsOf, standingOf, workOf } from './writes.ts'

export interface KillPlan {
  readonly kills: number
  /** Of the embedded database. */
  readonly directory: string
  /** PostgreSQL instead. */
  readonly database?: string
}

export interface KillReport {
  readonly kills: number
  /** Sessions that were said to be settled. */
  readonly settled: number
  /** Entries of those that are not there, or not as they were written. */
  readonly lost: number
  /** Entries that are there more than once. */
  readonly doubled: number
  /** Commits of the last session that was not said to be settled, of which a part is there. */
  readonly halves: number
  /** Counts of the project that all of it was for, against the entries that are there. */
  readonly miscounted: number
}

const program = fileURLToPath(new URL('settle-forever.ts', import.meta.url))
/** Sessions settled between two kills, at most; and the moment of the kill after the last of them, at most: a commit or two. */
const mostSettled = 12
const mostMs = 8

export async function killWhileSettling({ kills, directory, database }: KillPlan): Promise<KillReport> {
  let settled = -1
  for (let kill = 0; kill < kills; kill++) {
    settled = await settleAndKill([directory, String(Math.max(0, settled)), ...(database === undefined ? [] : [database])], settled)
    if (database !== undefined) await runOut(database)
  }
  return { kills, settled: settled + 1, ...(await inspect(settled, directory, database)) }
}

/** The last session that it said was settled. */
async function settleAndKill(args: readonly string[], before: number): Promise<number> {
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = once(child, 'exit')
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  let settled = before
  let left = 1 + Math.floor(Math.random() * mostSettled)
  for await (const line of createInterface(child.stdout)) {
    settled = Math.max(settled, Number(line))
    if (--left === 0) setTimeout(() => child.kill('SIGKILL'), Math.random() * mostMs)
  }
  await exited
  if (child.signalCode !== 'SIGKILL') throw new Error(`The process that settles ended by itself: ${complaint.trim().slice(-2_000)}`)
  return settled
}

/** A dead process's lease is over at once: three seconds each would be most of the time. */
async function runOut(database: string): Promise<void> {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  await client.query(`UPDATE cell SET until = clock_timestamp() - interval '1 s'`)
  await client.end()
}

async function inspect(
  settled: number,
  data: string,
  database: string | undefined,
): Promise<Pick<KillReport, 'lost' | 'doubled' | 'halves' | 'miscounted'>> {
  const { store, projects, close } = await openDatabase({ data, database, name: randomBytes(8).toString('hex'), url: 'http://here' })
  const work = groupedBy(await store.work(peerOf(1)), ({ id }) => id)
  const strikes = groupedBy(await store.strikes(peerOf(1)), ({ cause }) => cause)
  const found = async (n: number) => {
    const session = sampleSession(n)
    const [stage, audit] = workOf(n) as [WorkEntry, WorkEntry]
    const [provisional, final] = receiptsOf(n)
    const receipts = await store.receipts(session)
    return [
      // By commit: what is there, and what should be, each once.
      [
        [receipts.filter((r) => r.status === 'provisional'), provisional],
        [work.get(stage.id) ?? [], stage],
        [[await store.evidence(session)].filter((e) => e !== undefined), evidenceOf(n)],
      ],
      [
        [receipts.filter((r) => r.status === 'settled'), final],
        [work.get(audit.id) ?? [], audit],
        [await store.audits({ session }, 10), sampleAudit(n)],
        [strikes.get(sampleAudit(n).audit) ?? [], sampleStrike(n)],
      ],
    ] as const
  }
  let [lost, doubled, halves] = [0, 0, 0]
  for (let n = 0; n <= settled; n++) {
    for (const [there, wanted] of (await found(n)).flat()) {
      // A copy: SQLite's rows have no prototype.
      if (!isDeepStrictEqual(structuredClone(there[0]), wanted)) lost += 1
      doubled += Math.max(0, there.length - 1)
    }
  }
  for (const commit of await found(settled + 1)) if (new Set(commit.map(([there]) => there.length)).size > 1) halves += 1
  const standing = (await store.standings([peerOf(1)])).get(peerOf(1))
  if (!isDeepStrictEqual(standing, standingOf(settled)) && !isDeepStrictEqual(standing, standingOf(settled + 1))) lost += 1
  const entries = [...work.values()].flat()
  const counted = await projects.totals(cats)
  const rows = entries.reduce((sum, entry) => sum + entry.rows, 0)
  const answered = entries.filter(({ kind }) => kind === 'stage').length
  const miscounted = Math.abs(counted.rows - rows) + Math.abs(counted.requests - answered) + Math.abs(counted.byAudience - answered)
  await close()
  return { lost, doubled, halves, miscounted }
}

function groupedBy<T>(entries: readonly T[], key: (entry: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const entry of entries) groups.set(key(entry), [...(groups.get(key(entry)) ?? []), entry])
  return groups
}
