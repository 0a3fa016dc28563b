/** What a hop can't be quicker than: a message of a hop's size between the workers of two browsers, and nothing else. */
import { startBrowser } from '../../e2e/harness/browser-process.ts'
import type { LibraryModel } from '../../models/library.ts'
import { median, quantile, spread } from '../measure.ts'
import type { Part } from '../report.ts'
import { openBench } from '../tab.ts'

/** About what the other stages compute meanwhile: whoever waits has gone to sleep. */
const pauseMs = 20
const messages = 200
/** Until the connection has found its pace. */
const warmUp = 20

export async function bareChannel(site: string, model: LibraryModel, rounds: number): Promise<Part> {
  const row = model.manifest.cuts[0]?.tensors.reduce((sum, tensor) => sum + 4 * Number(tensor.shape.at(-1)), 0) ?? 0
  const medians: number[] = []
  const slow: number[] = []
  for (let round = 0; round < rounds; round++) {
    const times = (await pingPong(site, row)).slice(warmUp)
    medians.push(median(times))
    slow.push(quantile(times, 0.95))
  }
  return {
    title: 'The channel alone',
    how: `One row of the chat model's activations (${row} bytes) from a worker to another browser's worker over a bare data channel, every ${pauseMs} ms: half of the round trip. A hop is this and what the two ends do with the row.`,
    head: ['', 'ms'],
    rows: [
      ['median', spread(medians, 2)],
      ['p95', spread(slow, 2)],
    ],
    promises: [],
  }
}

async function pingPong(site: string, bytes: number): Promise<number[]> {
  const [near, far] = await Promise.all([startBrowser(), startBrowser()])
  try {
    await Promise.all([openBench(near, site), openBench(far, site)])
    await far.page.evaluate(() => globalThis.openChannel({ kind: 'echo' }))
    await near.page.evaluate((task) => globalThis.openChannel(task), { kind: 'ping', bytes, pauseMs, count: messages } as const)
    const offer = await near.page.evaluate(() => globalThis.channel?.offer() ?? '')
    const answer = await far.page.evaluate((sdp) => globalThis.channel?.answer(sdp) ?? '', offer)
    await near.page.evaluate((sdp) => globalThis.channel?.accept(sdp), answer)
    return await near.page.evaluate(() => globalThis.channel?.oneWayMs() ?? [])
  } finally {
    await Promise.all([near.close(), far.close()])
  }
}
