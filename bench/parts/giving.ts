/** Whether a giving tab keeps to the power that was set, and whether it computes as fast behind another tab as in front. */
import type { Page } from 'playwright'
import { startNetwork } from '../../e2e/harness/network.ts'
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
/** Of the set power. */
const powerTolerance = 0.1

export async function giving(model: LibraryModel, library: string, rounds: number, say: (line: string) => void): Promise<Part> {
  const network = await startNetwork({ model, library, volunteers: ['tab'] })
  const asking = await connect({ server: network.url })
  try {
    const [tab] = network.tabs
    if (!tab) throw new Error('no tab')
    const { page, context } = tab.browser
    const front = await context.newPage()
    const inFront = async (shown: Page) => {
      await shown.bringToFront()
      await page.waitForFunction((state) => document.visibilityState === state, shown === page ? 'visible' : 'hidden')
    }
    const speed = (shown: Page) => async () => {
      await inFront(shown)
      const { timing } = await asking.generate(model.revision, messages, { maxTokens: answerTokens })
      return timing.tokensPerSecond
    }
    const { visible, hidden } = await interleaved(rounds, { visible: speed(page), hidden: speed(front) }, say)
    const ratio = medianRatio(hidden, visible)

    await inFront(page)
    const shares: { power: number; share: number }[] = []
    for (const power of powers) {
      await setPower(page, power)
      const share = await underLoad(asking, model, () => busyShare(page))
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
    await network.close()
  }
}

const setPower = (page: Page, power: number) =>
  page.getByTestId('power').evaluate((slider, value) => {
    ;(slider as HTMLInputElement).value = String(value)
    slider.dispatchEvent(new Event('input', { bubbles: true }))
  }, power * 100)

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
async function busyShare(page: Page): Promise<number> {
  const [first, last] = await page.evaluate(
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
