/**
 * Two server processes on one PostgreSQL: the one that has the swarm is killed in the middle of an answer. The other one has
 * the swarm then, and the answer goes on. Volunteers are Node processes: browsers have scenarios of their own.
 */
import pg from 'pg'
import { startNodeVolunteer } from '../../e2e/harness/network.ts'
import { serverData } from '../../e2e/harness/server-data.ts'
import { startServerProcess, type ServerProcess } from '../../e2e/harness/server-process.ts'
import type { LibraryModel } from '../../models/library.ts'
import { connect } from '../../sdk/node.ts'
import { startPostgres } from '../../testing/postgres.ts'
import { answerDisturbed } from './answer.ts'
import type { ChaosOptions } from './options.ts'
import { stageCount } from './pool.ts'
import { found, type Found } from './report.ts'

const question = [{ role: 'user', content: 'Tell me a story about a lighthouse and the people who keep it.' }] as const
const maxTokens = 64
const lookMs = 50
/** Whoever is killed is owned again long before. */
const ownedMs = 60_000

export async function processes(
  model: LibraryModel,
  { rounds, data }: ChaosOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Found> {
  const ends: (() => Promise<unknown>)[] = []
  try {
    const postgres = await startPostgres()
    ends.push(() => postgres.close())
    const database = await postgres.database()
    const db = new pg.Client({ connectionString: database })
    await db.connect()
    ends.push(() => db.end())
    const start = async (): Promise<ServerProcess> => {
      const own = await serverData(data, [model.revision])
      ends.push(() => own.remove())
      const server = await startServerProcess({ data: own.directory, database, stages: stageCount, signal })
      ends.push(() => server.close())
      return server
    }
    const owner = async () => {
      const { rows } = await db.query<{ url: string }>('SELECT url FROM cell WHERE name = $1 AND until > clock_timestamp()', [
        model.revision,
      ])
      return rows[0]?.url
    }
    let servers = await Promise.all([start(), start()])
    for (let i = 0; i < stageCount; i++) {
      const volunteer = await startNodeVolunteer((servers[i % 2] as ServerProcess).url)
      ends.push(() => volunteer.close())
      await volunteer.serving()
    }
    const pauses: number[] = []
    const owned: number[] = []
    const problems: string[] = []
    let undisturbed = ''
    for (let round = -1; round < rounds; round++) {
      const has = await until(owner)
      const dying = servers.find(({ url }) => url === has) as ServerProcess
      const other = servers.find((server) => server !== dying) as ServerProcess
      // Every other time the asker is at home where the swarm is not.
      await until(async () => ((await served(other.url, model)) ? true : undefined))
      const network = await connect({ server: (round % 2 ? dying : other).url })
      let killing: Promise<unknown> = Promise.resolve()
      const seen = await answerDisturbed(
        network,
        model.manifest.name,
        question,
        { maxTokens, temperature: 0 },
        5 + 9 * Math.max(0, round),
        () => {
          // The first answer is what the others are compared with.
          if (round < 0) return
          const killedAt = performance.now()
          killing = dying.group.kill().then(async () => {
            await until(async () => ((await owner()) === other.url ? other.url : undefined))
            owned.push(performance.now() - killedAt)
          })
        },
      )
      await killing
      await network.close()
      if (round < 0) {
        undisturbed = seen.tokenIds.join()
        continue
      }
      const same = seen.tokenIds.join() === undisturbed
      if (!same) problems.push(`round ${round}: ${seen.error ?? 'another text'}`)
      pauses.push(seen.pauseMs)
      say(
        `processes, round ${round}: ${same ? 'the same text' : problems.at(-1)}, pause ${Math.round(seen.pauseMs)} ms, owned again after ${Math.round(owned.at(-1) ?? 0)} ms`,
      )
      servers = [other, await start()]
    }
    const longest = Math.round(Math.max(0, ...owned))
    const what = `one of two server processes killed, its swarm owned again after ${longest} ms at most`
    return found('processes', what, pauses, rounds - problems.length, rounds, problems)
  } finally {
    for (const end of ends.toReversed()) await end().catch(() => undefined)
  }
}

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  const limit = performance.now() + ownedMs
  for (;;) {
    const seen = await look()
    if (seen !== undefined) return seen
    if (performance.now() > limit) throw new Error('Nobody has the swarm.')
    await new Promise((resume) => setTimeout(resume, lookMs))
  }
}

/** Whether every stage has somebody, as that server knows it. */
async function served(url: string, model: LibraryModel): Promise<boolean> {
  const network = await connect({ server: url })
  try {
    const info = (await network.models()).find(({ revision }) => revision === model.revision)
    return info?.stages.every(({ ready }) => ready > 0) === true
  } finally {
    await network.close()
  }
}
