/** Whether a giving tab keeps to the power that was set, and whether it computes as fast behind another tab as in front. */
import { startNetwork } from '../../e2e/harness/network.ts'
import { startUnwatched, type UnwatchedTab } from '../../e2e/harness/unwatched-browser.ts'
import type { LibraryModel } from '../../models/library.ts'
import { connect } from '../../sdk/node.ts'
import type { Message, Network } from '../../sdk/types.ts'
import { interleaved, medianRatio, spread } from '../measure.ts'
import { promise, type Part, type Promised } from '../report.ts'

const messages: readonly Message[] = [{ role: 'user', content: 'Tell me a long story about a lighthouse.' }]
const answerTokens = 64
/** Enough that there is always a step waiting. */
const atOnce = 3
const powers = [0.9, 0.75, 0.5, 0.25, 0.1]
const powerMs = 20_000
/** Fetching, preparing and checking the whole model. */
const servingMs = 180_000
/** Of the set power. */
const powerTolerance = 0.1

export async function giving(model: LibraryModel, library: string, rounds: number, say: (line: string) => void): Promise<Part> {
  const network = await startNetwork({ model, library, stages: 1, volunteers: [] })
  const browser = await startUnwatched()
  const asking = await connect({ server: network.url })
  try {
    const tab = await browser.open(`${network.url}/give`)
    await tab.until(() => document.querySelector('[data-testid=start]') !== null)
    await tab.evaluate(() => (document.querySelector('[data-testid=start]') as HTMLElement).click())
    await tab.until(() => document.querySelector('[data-phase=serving]') !== null, servingMs)
    const other = await browser.open(network.url)
    const speed = (front: UnwatchedTab, state: DocumentVisibilityState) => async () => {
      await front.bringToFront()
      if ((await tab.evaluate(() => document.visibilityState)) !== state) throw new Error(`The tab is not ${state}.`)
      const { timing } = await asking.generate(model.revision, messages, { maxTokens: answerTokens })
      return timing.tokensPerSecond
    }
    const { visible, hidden } = await interleaved(rounds, { visible: speed(tab, 'visible'), hidden: speed(other, 'hidden') }, say)
    const ratio = medianRatio(hidden, visible)

    await tab.bringToFront()
    const shares: { power: number; share: number }[] = []
    for (const power of powers) {
      await tab.evaluate(setPower, power)
      const share = await underLoad(asking, model, () => busyShare(tab))
      say(`power ${power}: busy ${share.toFixed(3)}`)
      shares.push({ power, share })
    }
    const held = shares.map(({ power, share }): Promised => {
      const off = Math.abs(share - power) / power
      return promise(`power ${power} is held within ${powerTolerance * 100} %`, share, off <= powerTolerance, 3)
    })
    return {
      title: 'A giving tab',
      how: `One volunteer tab with the whole model. In front and behind another tab: answers of ${answerTokens} tokens, tokens a second of decoding. Power: the share of ${powerMs / 1000} s in which it computed, with ${atOnce} answers asked at once all the time.`,
      head: ['', 'tokens/s', 'share of time'],
      rows: [
        ['in front', spread(visible), ''],
        ['behind another tab', spread(hidden), ''],
        ...shares.map(({ power, share }) => [`power ${Math.round(power * 100)} %`, '', share.toFixed(3)]),
      ],
      promises: [promise('behind / in front at least 0.9', ratio, ratio >= 0.9), ...held],
    }
  } finally {
    await asking.close()
    await browser.close()
    await network.close()
  }
}

function setPower(power: number): void {
  const slider = document.querySelector('[data-testid=power]') as HTMLInputElement
  slider.value = String(power * 100)
  slider.dispatchEvent(new Event('input', { bubbles: true }))
}

/** Measures while there is always something to compute. */
async function underLoad<T>(asking: Network, model: LibraryModel, measure: () => Promise<T>): Promise<T> {
  const enough = new AbortController()
  const { signal } = enough
  const load = Array.from({ length: atOnce }, async () => {
    while (!signal.aborted) await asking.generate(model.revision, messages, { maxTokens: 1024, signal }).then(undefined, () => undefined)
  })
  try {
    return await measure()
  } finally {
    enough.abort()
    await Promise.all(load)
  }
}

/** From what the worker counts, which the page is told about once a second. */
async function busyShare(tab: UnwatchedTab): Promise<number> {
  const [first, last] = await tab.evaluate(
    (forMs) =>
      new Promise<[Sample, Sample]>((resolve) => {
        const tally = document.querySelector('[data-busy-ms]') as HTMLElement
        let start: Sample | undefined
        let waited = 0
        const observer = new MutationObserver(() => {
          const sample = { at: performance.now(), busyMs: Number(tally.dataset['busyMs']) }
          // The first seconds are prompts, and what was owed before.
          if (++waited < 4) return
          start ??= sample
          if (sample.at - start.at < forMs) return
          observer.disconnect()
          resolve([start, sample])
        })
        observer.observe(tally, { attributes: true, attributeFilter: ['data-busy-ms'] })
      }),
    powerMs,
  )
  return (last.busyMs - first.busyMs) / (last.at - first.at)
}

interface Sample {
  readonly at: number
  readonly busyMs: number
}
