/** Our engine with the whole model, against transformers.js on the same ONNX and wllama on the same weights. */
import type { PassTimes } from '../pages/yardstick.ts'
import { interleaved, medianRatio, spread } from '../measure.ts'
import { promise, type Part } from '../report.ts'
import { engineTab, type EngineTab } from '../tab.ts'

const promptLengths = [64, 256] as const
const answerTokens = 48

interface Speeds {
  readonly prefill64: number
  readonly prefill256: number
  readonly decode: number
}

export async function engineAlone(site: string, rounds: number, threads: number, say: (line: string) => void): Promise<Part> {
  const tabs: EngineTab[] = []
  try {
    for (const kind of ['ours', 'transformers', 'wllama'] as const) tabs.push(await engineTab(site, kind, threads))
    const [ours, transformers, wllama] = tabs as [EngineTab, EngineTab, EngineTab]
    const turn = (tab: EngineTab) => async (): Promise<Speeds> => {
      const short = await tab.pass(promptLengths[0], answerTokens)
      const long = await tab.pass(promptLengths[1], 1)
      return { prefill64: prefill(short), prefill256: prefill(long), decode: (short.answerTokens * 1000) / short.answerMs }
    }
    const results = await interleaved(rounds, { ours: turn(ours), transformers: turn(transformers), wllama: turn(wllama) }, say)
    const of = (who: keyof typeof results, what: keyof Speeds) => results[who].map((speeds) => speeds[what])
    const row = (who: keyof typeof results, tab: EngineTab) => [tab.name, ...kinds.map(({ key }) => spread(of(who, key)))]
    const ratios = kinds.map(({ key, name }) => ({ name, value: medianRatio(of('ours', key), of('transformers', key)) }))
    return {
      title: `The engine alone, ${threads === 1 ? 'one thread' : `${threads} threads`}`,
      how: 'The whole model in one tab of a browser of its own; tokens a second, median (least–most). Decoding follows a prompt of 64 tokens.',
      head: ['engine', ...kinds.map(({ name }) => name)],
      rows: [
        row('ours', ours),
        row('transformers', transformers),
        row('wllama', wllama),
        ['ours / transformers.js', ...ratios.map(({ value }) => value.toFixed(2))],
      ],
      promises: ratios.map(({ name, value }) => promise(`${name}: ours / transformers.js at least 1.0`, value, value >= 1)),
    }
  } finally {
    for (const tab of tabs) await tab.close()
  }
}

const kinds = [
  { key: 'prefill64', name: 'prompt of 64' },
  { key: 'prefill256', name: 'prompt of 256' },
  { key: 'decode', name: 'decoding' },
] as const

const prefill = ({ promptTokens, promptMs }: PassTimes) => (promptTokens * 1000) / promptMs
