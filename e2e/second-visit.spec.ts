/** A volunteer who comes again, with the same profile: no byte of weights is fetched a second time. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from './harness/fixtures.ts'
import { catalogueModel, sharedLibrary, startNetwork } from './harness/network.ts'
import { slowLine } from './harness/slow-line.ts'
import { joinAsVolunteer } from './harness/volunteer-tab.ts'

const servingMs = 120_000
/** Nothing is held back: it only counts. */
const unlimited = { bitsPerSecond: 1e12, delayMs: 0 }

test('the second visit downloads no weights', async () => {
  const model = await catalogueModel('pp-ocrv4-rec')
  const weightBytes = model.manifest.shards.reduce((sum, shard) => sum + shard.bytes, 0)
  const profile = await mkdtemp(join(tmpdir(), 'manyhands-profile-'))
  const network = await startNetwork({ model, library: sharedLibrary, stages: 1, volunteers: [] })
  const line = await slowLine(network.url, unlimited)
  const visit = async () => {
    const before = line.downBytes
    const tab = await joinAsVolunteer(line.url, { profile })
    try {
      const { weights } = await tab.serving(servingMs)
      return { weights, bytes: line.downBytes - before }
    } finally {
      await tab.browser.close()
    }
  }
  try {
    const first = await visit()
    const second = await visit()
    expect(first.bytes).toBeGreaterThan(weightBytes)
    expect(first.weights).not.toMatch(/\b0 B downloaded/)
    expect(second.weights).toMatch(/\b0 B downloaded/)
    // The page itself and the engine may come again; they are far less than both together.
    expect(second.bytes).toBeLessThan(first.bytes - weightBytes + 1)
  } finally {
    await line.close()
    await network.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
})
