/** The page that the bench opens, once for each engine: `yardstick('ours')` makes one, which the bench then tells what to do. */
import * as Comlink from 'comlink'
import type { Yardstick } from './yardstick.ts'

export type YardstickName = 'ours' | 'transformers' | 'wllama'

declare global {
  var yardstick: (name: YardstickName) => Promise<Comlink.Remote<Yardstick> | Yardstick>
  var engine: Comlink.Remote<Yardstick> | Yardstick | undefined
}

globalThis.yardstick = async (name) => {
  if (name === 'wllama') return new (await import('./wllama.ts')).WllamaYardstick()
  const worker =
    name === 'ours'
      ? new Worker(new URL('./ours.worker.ts', import.meta.url), { type: 'module' })
      : new Worker(new URL('./transformers.worker.ts', import.meta.url), { type: 'module' })
  return Comlink.wrap<Yardstick>(worker)
}
