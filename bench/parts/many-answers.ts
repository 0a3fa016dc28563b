/** Four answers at once against one, and the tenth against the first, over three volunteers. */
import { startNetwork } from '../../e2e/harness/network.ts'
import type { LibraryModel } from '../../models/library.ts'
import { connect } from '../../sdk/node.ts'
import type { Message } from '../../sdk/types.ts'
import { interleaved, medianRatio, spread } from '../measure.ts'
import { promise, type Part } from '../report.ts'

const messages: readonly Message[] = [{ role: 'user', content: 'List five healthy breakfast ideas.' }]
const answerTokens = 64
const atOnce = 4
const inARow = 10

export async function manyAnswers(model: LibraryModel, library: string, rounds: number, say: (line: string) => void): Promise<Part> {
  const network = await startNetwork({ model, library, volunteers: ['tab', 'tab', 'tab'] })
  const asking = await connect({ server: network.url })
  const answer = () => asking.generate(model.revision, messages, { maxTokens: answerTokens })
  const tokensPerSecond = (count: number) => async () => {
    const start = performance.now()
    const answers = await Promise.all(Array.from({ length: count }, answer))
    const tokens = answers.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0)
    return (tokens * 1000) / (performance.now() - start)
  }
  try {
    const { one, four } = await interleaved(rounds, { one: tokensPerSecond(1), four: tokensPerSecond(atOnce) }, say)
    const series: number[][] = []
    for (let round = 0; round < rounds; round++) {
      say(`ten in a row, ${round + 1} of ${rounds}`)
      const speeds: number[] = []
      for (let i = 0; i < inARow; i++) speeds.push((await answer()).timing.tokensPerSecond)
      series.push(speeds)
    }
    const nth = (n: number) => series.map((speeds) => speeds[n] as number)
    const aggregate = medianRatio(four, one)
    const lasting = medianRatio(nth(inARow - 1), nth(0))
    return {
      title: 'Several answers',
      how: `Answers of ${answerTokens} tokens over three volunteers, with the threads that each of them chose. Tokens a second from asking to the end, prompt included; the last two rows: of decoding.`,
      head: ['', 'tokens/s', ''],
      rows: [
        ['one answer', spread(one), ''],
        [`${atOnce} at once, together`, spread(four), `${aggregate.toFixed(2)} x one`],
        ['the first of ten in a row', spread(nth(0)), ''],
        ['the tenth', spread(nth(inARow - 1)), `${lasting.toFixed(2)} x the first`],
      ],
      promises: [
        promise('four at once / one at least 1.2', aggregate, aggregate >= 1.2),
        promise('the tenth as fast as the first (within a tenth)', lasting, lasting >= 0.9),
      ],
    }
  } finally {
    await asking.close()
    await network.close()
  }
}
