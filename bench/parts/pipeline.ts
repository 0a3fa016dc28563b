/** The same answer from three volunteers in a ring, from one, and from the bare engine in one tab: what the network costs. */
import { startNetwork, type TestNetwork } from '../../e2e/harness/network.ts'
import type { LibraryModel } from '../../models/library.ts'
import { connect } from '../../sdk/node.ts'
import type { Message, Network } from '../../sdk/types.ts'
import { interleaved, median, medianRatio, quantile, spread } from '../measure.ts'
import { promise, type Part } from '../report.ts'
import { engineTab } from '../tab.ts'

const messages: readonly Message[] = [{ role: 'user', content: 'List five healthy breakfast ideas.' }]
/** As many tokens as that prompt has, with the template. */
const promptTokens = 36
const answerTokens = 64
/** On one machine every hop is a loopback one. */
const hopLimitMs = 1

interface Turn {
  readonly tokensPerSecond: number
  readonly hopMs: readonly number[]
}

export async function pipeline(
  site: string,
  model: LibraryModel,
  library: string,
  rounds: number,
  say: (line: string) => void,
): Promise<Part> {
  const ends: (() => Promise<unknown>)[] = []
  // One thread on each side: a page without shared memory has no more.
  const volunteer = { isolated: false }
  const start = async (count: number): Promise<{ network: TestNetwork; asking: Network }> => {
    const network = await startNetwork({ model, library, volunteers: Array.from({ length: count }, () => volunteer) })
    ends.push(() => network.close())
    const asking = await connect({ server: network.url })
    ends.push(() => asking.close())
    return { network, asking }
  }
  const ask = (asking: Network) => async (): Promise<Turn> => {
    const { timing, tokenIds } = await asking.generate(model.revision, messages, { maxTokens: answerTokens })
    if (tokenIds.length !== answerTokens) throw new Error(`an answer of ${tokenIds.length} tokens`)
    return timing
  }
  try {
    const whole = await engineTab(site, 'ours', 1)
    ends.push(() => whole.close())
    const three = await start(3)
    const one = await start(1)
    const inOneTab = async (): Promise<Turn> => {
      const { answerMs } = await whole.pass(promptTokens, answerTokens)
      return { tokensPerSecond: (answerTokens * 1000) / answerMs, hopMs: [] }
    }
    const results = await interleaved(rounds, { whole: inOneTab, one: ask(one.asking), three: ask(three.asking) }, say)
    const speeds = (who: keyof typeof results) => results[who].map((turn) => turn.tokensPerSecond)
    const hops = (who: keyof typeof results) => results[who].flatMap((turn) => turn.hopMs)
    const ratio = { one: medianRatio(speeds('one'), speeds('whole')), three: medianRatio(speeds('three'), speeds('whole')) }
    const hopText = (who: 'one' | 'three') => `${median(hops(who)).toFixed(2)} / ${quantile(hops(who), 0.95).toFixed(2)}`
    return {
      title: 'The network against the bare engine',
      how: `Greedy answers of ${answerTokens} tokens to the same prompt, one thread everywhere, each volunteer a browser of its own on this machine. Tokens a second of decoding, median (least–most).`,
      head: ['', 'tokens/s', 'against the whole in one tab', 'a hop adds, ms (median / p95)'],
      rows: [
        ['the whole model in one tab, no network', spread(speeds('whole')), '1', ''],
        ['one volunteer', spread(speeds('one')), ratio.one.toFixed(2), hopText('one')],
        ['three volunteers', spread(speeds('three')), ratio.three.toFixed(2), hopText('three')],
      ],
      promises: [
        promise('three volunteers / whole at least 0.9', ratio.three, ratio.three >= 0.9),
        promise('one volunteer / whole at least 0.95', ratio.one, ratio.one >= 0.95),
        promise('a hop adds at most 1.0 ms (median)', median(hops('three')), median(hops('three')) <= hopLimitMs),
      ],
    }
  } finally {
    for (const end of ends.toReversed()) await end()
  }
}
