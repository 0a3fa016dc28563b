/** How long a volunteer's worker takes over the graph, cold. */
import { startBrowser } from '../../e2e/harness/browser-process.ts'
import { median, spread } from '../measure.ts'
import { promise, type Part } from '../report.ts'
import { openBench } from '../tab.ts'

export async function carving(site: string, rounds: number): Promise<Part> {
  const times: { parseMs: number; cutsMs: number; carveMs: number }[] = []
  for (let round = 0; round < rounds; round++) {
    // A browser each, so that no compiled code is left from the round before.
    const browser = await startBrowser()
    try {
      await openBench(browser, site)
      times.push(await browser.page.evaluate((base) => globalThis.carve(base), site))
    } finally {
      await browser.close()
    }
  }
  const total = times.map((t) => t.cutsMs + t.carveMs)
  const rows = [
    ['parse', times.map((t) => t.parseMs)],
    ['find the cuts', times.map((t) => t.cutsMs)],
    ['carve and write a third', times.map((t) => t.carveMs)],
    ['find + carve', total],
  ] as const
  return {
    title: 'The graph in a cold worker',
    how: "The chat model's graph (0.5 MB, 30 layers) in a worker of a browser just started.",
    head: ['', 'ms'],
    rows: rows.map(([name, ms]) => [name, spread(ms, 0)]),
    promises: [promise('find cuts + carve at most 300 ms', median(total), median(total) <= 300, 0)],
  }
}
