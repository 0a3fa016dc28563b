/** The server killed again and again while it settles sessions, on either database: is every entry there once? */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '../../testing/postgres.ts'
import { killWhileSettling, type KillReport } from '../../testing/settlements/kill-while-settling.ts'
import type { ChaosOptions } from './options.ts'
import { found, type Found } from './report.ts'

/** A kill takes half a second, an answer that is disturbed some ten. */
const killsPerRound = 20

export async function settlement({ rounds }: ChaosOptions, say: (line: string) => void): Promise<Found> {
  const kills = killsPerRound * rounds
  const reports = [
    { database: 'SQLite', report: await onSqlite(kills) },
    { database: 'PostgreSQL', report: await onPostgres(kills) },
  ]
  const problems: string[] = []
  let right = 0
  for (const { database, report } of reports) {
    const { settled, lost, doubled, halves } = report
    const line = `${database}: ${settled} sessions settled, ${lost} entries lost, ${doubled} doubled, ${halves} commits half there`
    say(`settlement, ${line}`)
    if (lost + doubled + halves === 0) right += kills
    else problems.push(line)
  }
  return found('settlement', 'the server killed while it settles', [], right, reports.length * kills, problems)
}

async function onSqlite(kills: number): Promise<KillReport> {
  const directory = await mkdtemp(join(tmpdir(), 'manyhands-settlement-'))
  try {
    return await killWhileSettling({ kills, directory })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function onPostgres(kills: number): Promise<KillReport> {
  const postgres = await startPostgres()
  try {
    return await killWhileSettling({ kills, directory: '', database: await postgres.database() })
  } finally {
    await postgres.close()
  }
}
