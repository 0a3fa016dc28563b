/** A small part of `npm run chaos`: browsers killed and frozen, and the server started again, in the middle of answers. */
import { Pool } from '../scripts/chaos/pool.ts'
import { scenarios } from '../scripts/chaos/scenarios.ts'
import { expect, test } from './harness/fixtures.ts'
import { catalogueModel, sharedLibrary } from './harness/network.ts'

/** Nine browsers are started in its course, and each loads its part of a chat model. */
const courseMs = 600_000

test('stages that die, one that freezes, and a server that starts again leave the text as it would have been', async () => {
  test.setTimeout(courseMs)
  const stop = new AbortController()
  const pool = await Pool.start(await catalogueModel('smollm2-135m-instruct'), sharedLibrary, stop.signal)
  try {
    for (const name of ['kill', 'freeze', 'server'] as const) {
      const { runs, right, problems } = await scenarios[name](pool, { positions: 1, rounds: 1 }, () => undefined)
      expect(problems).toEqual([])
      expect(right).toBe(runs)
    }
  } finally {
    stop.abort()
    await pool.close()
  }
})
