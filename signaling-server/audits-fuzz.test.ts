/** Audits in whatever order their messages come, lost ones among them, over servers that restart: who is honest is never accused. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createIdentity } from '../protocol/keys.ts'
import type { PeerId, SessionId } from '../protocol/ids.ts'
import { AuditScene, revision, type Manner } from '../testing/audit-scene.ts'
import { fuzzRuns, seededRandom } from '../testing/fuzz.ts'
import { openEmbedded } from './sqlite-store.ts'

/** Each of them is signed, computed again by an object, judged and committed. MANYHANDS_FUZZ=2000000 does 10,000. */
const wanted = Math.round(fuzzRuns / 200)
const sessionsAtOnce = 40

const odd: readonly Manner[] = ['lying', 'other-rows', 'malformed', 'busy', 'blames-source', 'silent']

it(`[AU5] accuses nobody honest in ${wanted} audits, whatever is said, lost or restarted`, { timeout: 600_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'manyhands-audits-fuzz-'))
  const { store, ownership } = openEmbedded(directory, '')
  try {
    const epoch = (await ownership.ownerOf(revision))?.epoch ?? 0
    const below = seededRandom(11)
    const scene = new AuditScene(await createIdentity(), store, epoch)
    scene.random = () => below(2 ** 30) / 2 ** 30
    const honest: [PeerId[], PeerId[]] = [[], []]
    const liars: [PeerId[], PeerId[]] = [[], []]
    const load = async () => {
      for (const peer of scene.volunteers.keys()) await scene.standings.load(peer, `network ${Number.parseInt(peer, 16)}`)
    }
    for (const block of [0, 1] as const) {
      for (let n = 0; n < 14; n++) honest[block].push(await scene.join(100 + 100 * block + n, block))
      for (const [n, manner] of odd.entries()) liars[block].push(await scene.join(150 + 100 * block + n, block, manner))
    }
    // Half of the honest ones are known well, the others are new, as their neighbours are.
    await scene.trusted(honest.flatMap((peers) => peers.slice(0, 7)))

    const any = <T>(of: readonly T[]) => of[below(of.length)] as T
    let audits = 0
    let lies = 0
    while (audits < wanted) {
      const sessions: SessionId[] = []
      for (let i = 0; i < sessionsAtOnce; i++) {
        const lying = below(8)
        const stages = [lying === 0 ? any(liars[0]) : any(honest[0]), lying === 1 ? any(liars[1]) : any(honest[1])]
        // Everybody lies in a way of its own: those who agree on a lie are another matter.
        if (lying < 2) lies += 1
        sessions.push(await scene.answered(stages, lying < 2 ? { [lying]: `${stages[lying]} ${below(3)}` } : {}))
      }
      for (let step = below(4); step >= 0; step--) {
        const peer = any(honest.flat())
        scene.gone.add(peer)
        scene.audits.gone(peer)
        if (below(3) === 0) scene.said.splice(0, below(3))
        await scene.settle(below)
        scene.pass(below(60_000))
        scene.gone.delete(peer)
      }
      if (below(5) === 0) {
        scene.restart()
        await load()
      }
      scene.pass(150_000)
      await scene.settle(below)
      for (const session of sessions) {
        const entries = await store.audits({ session }, 100)
        audits += entries.length
        for (const { outcome, peer, auditor } of entries) {
          if (outcome === 'lost') expect(honest.flat()).not.toContain(peer)
          if (outcome === 'auditor-lost') expect(honest.flat()).not.toContain(auditor)
        }
      }
      scene.told = []
      scene.wrong.length = 0
    }
    for (const peer of honest.flat()) {
      expect(await store.strikes(peer)).toEqual([])
      expect(scene.standings.info(peer).strikes).toBe(0)
    }
    // It was a test of something.
    expect(lies).toBeGreaterThan(wanted / 40)
    expect(liars.flat().filter((peer) => scene.standings.info(peer).state === 'barred').length).toBeGreaterThan(liars.flat().length / 2)
    expect(scene.failures).toEqual([])
  } finally {
    await store.close()
    await rm(directory, { recursive: true })
  }
})
