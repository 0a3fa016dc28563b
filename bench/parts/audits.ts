/** What audits cost the volunteers: processor time for the same answers, over volunteers who can't be checked and over trusted ones who are. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessGroup } from '../../e2e/harness/process-group.ts'
import { serverData } from '../../e2e/harness/server-data.ts'
import { startServerProcess } from '../../e2e/harness/server-process.ts'
import type { LibraryModel } from '../../models/library.ts'
import { proofBytes } from '../../protocol/custody.ts'
import { sketchWidth } from '../../protocol/sketch.ts'
import { chunkRows } from '../../protocol/limits.ts'
import { connect } from '../../sdk/node.ts'
import type { Network } from '../../sdk/types.ts'
import { folderIdentity } from '../../sdk/volunteer/kept-identity-node.ts'
import { promise, type Part } from '../report.ts'

const stages = 3
const answers = 100
const answerTokens = 32
const servingMs = 300_000
/** While nobody asks. */
const idleMs = 20_000
/** Ticks of /proc a second. */
const ticksPerSecond = 100
/** Of one hash in an `audited` message: hexadecimal, quotes and comma. */
const auditedHashBytes = 67

export async function audits(model: LibraryModel, library: string, say: (line: string) => void): Promise<Part> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-audits-'))
  const data = await serverData(library, [model.revision])
  const volunteers: ProcessGroup[] = []
  const ends: (() => Promise<unknown>)[] = [() => data.remove(), () => rm(folder, { recursive: true, force: true })]
  try {
    const folders = Array.from({ length: 2 * stages }, (_, i) => join(folder, `volunteer-${i}`))
    const anchors = join(folder, 'anchors')
    await writeFile(anchors, (await Promise.all(folders.map(idOf))).join('\n'))
    const server = await startServerProcess({ data: data.directory, stages, anchors })
    ends.push(() => server.close())
    const join3 = async (from: number) => {
      for (const weights of folders.slice(from, from + stages)) {
        const args = ['--import', 'tsx', 'scripts/volunteer.ts', '--server', server.url, '--data', weights, '--threads', '1']
        const group = new ProcessGroup('A volunteer in Node', process.execPath, args)
        ends.push(() => group.end())
        volunteers.push(group)
        await group.says(/^serving:/m, servingMs)
      }
    }
    const asking = await connect({ server: server.url })
    ends.push(() => asking.close())

    await join3(0)
    say('unaudited')
    const unaudited = await course(asking, model, volunteers)
    await join3(stages)
    say('audited')
    const audited = await course(asking, model, volunteers)
    const drawn = Number(/^manyhands_audits_drawn_total (\d+)/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1] ?? 0)
    const more = audited.seconds / unaudited.seconds - 1
    const sketched = proofBytes + auditedHashBytes + 2 * Math.ceil((4 * sketchWidth * chunkRows) / 3) * 4
    return {
      title: 'What audits cost',
      how: `${answers} answers of ${answerTokens} tokens over three volunteers in Node, one thread each: first with nobody to check them, then with three more, all of them the operator's own (trusted). Processor seconds of all volunteers, less what they take while nobody asks.`,
      head: ['', 'CPU s', 'of it idle', 'audits', 'rows computed again'],
      rows: [
        ['unaudited', unaudited.seconds.toFixed(1), unaudited.idle.toFixed(1), '0', '0'],
        [
          'audited',
          audited.seconds.toFixed(1),
          audited.idle.toFixed(1),
          String(drawn),
          `${((100 * drawn) / (answers * stages)).toFixed(1)} %`,
        ],
        ['proof of a chunk on a link', `${proofBytes} B`, '', '', ''],
        ['the same, audited between two wasm peers', `${proofBytes + auditedHashBytes} B`, '', '', ''],
        ['the same, audited across backends', `${sketched} B`, '', '', ''],
      ],
      promises: [
        promise('audits take at most 5 % more processor time, %', 100 * more, more <= 0.05, 1),
        promise('proof bytes of an unaudited chunk at most 200', proofBytes, proofBytes <= 200, 0),
        promise(
          'proof bytes of an audited chunk at most 800, wasm',
          proofBytes + auditedHashBytes,
          proofBytes + auditedHashBytes <= 800,
          0,
        ),
        promise('the same across backends', sketched, sketched <= 800, 0),
      ],
    }
  } finally {
    for (const end of ends.toReversed()) await end().catch(() => undefined)
  }
}

/** Processor seconds of the volunteers for all answers, and what of the same time they would have taken idle. */
async function course(
  asking: Network,
  model: LibraryModel,
  volunteers: readonly ProcessGroup[],
): Promise<{ seconds: number; idle: number }> {
  const ask = async (i: number) => {
    const generation = asking.generate(model.revision, `Once upon a time, ${i}`, { maxTokens: answerTokens })
    await generation
    await generation.settled
  }
  // The first makes connections, and compiles.
  for (let i = 0; i < 3; i++) await ask(-i)
  const [restFrom, restStart] = [performance.now(), await cpuSeconds(volunteers)]
  await new Promise((resume) => setTimeout(resume, idleMs))
  const idleRate = ((await cpuSeconds(volunteers)) - restStart) / (performance.now() - restFrom)
  const [from, start] = [performance.now(), await cpuSeconds(volunteers)]
  for (let i = 0; i < answers; i++) await ask(i)
  const idle = idleRate * (performance.now() - from)
  return { seconds: (await cpuSeconds(volunteers)) - start - idle, idle }
}

async function cpuSeconds(groups: readonly ProcessGroup[]): Promise<number> {
  let ticks = 0
  for (const { pid } of groups) {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
    // utime and stime, counted from the state on.
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / ticksPerSecond
}

async function idOf(weights: string): Promise<string> {
  const { identity, release } = await folderIdentity(weights)()
  release()
  return identity.id
}
