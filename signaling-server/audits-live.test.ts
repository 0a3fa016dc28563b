/** A server, volunteers over WebRTC and a requester, as they are shipped; one of the volunteers lies. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openLibrary } from '../models/library.ts'
import { connect } from '../sdk/node.ts'
import { donate, type Donation } from '../sdk/volunteer-node.ts'
import { VolunteerDonation } from '../sdk/volunteer/donation.ts'
import { inProcessHost } from '../sdk/volunteer/in-process-host.ts'
import { folderIdentity } from '../sdk/volunteer/kept-identity-node.ts'
import { cheats, type CheatName } from '../testing/cheats/index.ts'
import { loadCheatingStage } from '../testing/cheats/cheat.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { NodeFiles } from '../worker/blobs/node-files.ts'
import { defaultLimitBytes, storedBlobs } from '../worker/blobs/stored-blobs.ts'
import { ortFromPackage } from '../worker/engine/node-engine.ts'
import { startServer } from './server.ts'

const name = 'tiny-llama'
const maxTokens = 24
const prompt = 'Many hands'

const phase = (donation: Donation, wanted: Donation['state']['phase']) =>
  new Promise<void>((resolve) => {
    const look = () => {
      if (donation.state.phase === wanted) resolve()
    }
    donation.addEventListener('change', look)
    look()
  })

function cheating(cheat: CheatName, server: string, folder: string): Donation {
  const ort = ortFromPackage()
  const files = new NodeFiles(folder)
  const host = () =>
    inProcessHost((request, { blobsUrl }, loading) => {
      const blobs = storedBlobs({ blobsUrl, files, limitBytes: defaultLimitBytes })
      return loadCheatingStage(cheats[cheat](), request, { ort, blobs, threads: 1 }, loading)
    })
  return new VolunteerDonation({ server, models: [], maxMemory: 2 ** 28, backends: ['wasm'] }, host, folderIdentity(folder))
}

it(
  '[AU6] an answer of one who lies is found wrong and given again, right; who lied is known afterwards',
  { timeout: 120_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'manyhands-audits-live-'))
    await openLibrary(folder).addFile(tinyLlama({ layers: 2 }), { name })
    const server = await startServer({ data: folder, port: 0, stages: 1 })
    const donations: Donation[] = []
    try {
      const liar = cheating('another token', server.url, join(folder, 'liar'))
      const honest = [1, 2, 3].map((n) =>
        donate({ server: server.url, models: [], maxMemory: 2 ** 28, threads: 1, weightsFolder: join(folder, `honest-${n}`) }),
      )
      donations.push(liar, ...honest)
      await Promise.all(donations.map((d) => phase(d, 'serving')))
      const network = await connect({ server: server.url })
      const corrections: string[] = []
      /** Of the liar, unless the server has not heard yet that the others pause. */
      const ask = async () => {
        for (const d of honest) d.pause()
        const asked = network.generate(name, prompt, {
          maxTokens,
          // The liar has it by now; those who will find it out are back before it ends.
          onProgress: ({ phase }) => phase === 'connecting' && honest.forEach((d) => d.resume()),
          onCorrection: ({ answer }) => corrections.push(answer.text),
        })
        await asked
        return (await asked.settled).status
      }
      await expect.poll(ask, { timeout: 60_000 }).toBe('corrected')
      await expect.poll(() => liar.state.standing?.strikes).toBe(1)
      for (const d of honest) expect(d.state.standing?.strikes).toBe(0)
      await liar.stop('now')
      const right = await network.generate(name, prompt, { maxTokens })
      expect(corrections).toEqual([right.text])
      await network.close()
    } finally {
      await Promise.all(donations.map((d) => d.stop('now')))
      await server.close()
      await rm(folder, { recursive: true, force: true })
    }
  },
)
