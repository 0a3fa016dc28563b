/** The page that the bench opens, once for each engine: `yardstick('ours')` makes one, which the bench then tells what to do. */
import * as Comlink from 'comlink'
import type { Carving, CarvingTimes } from './carving.worker.ts'
import { BareChannel } from './channel.ts'
import type { ChannelTask } from './channel.worker.ts'
import type { Honest } from './honest.worker.ts'
import type { Yardstick } from './yardstick.ts'

export type YardstickName = 'ours' | 'transformers' | 'wllama'

declare global {
  var yardstick: (name: YardstickName) => Promise<Comlink.Remote<Yardstick> | Yardstick>
  /** In a worker that has never run anything. */
  var carve: (base: string) => Promise<CarvingTimes>
  /** Makes this page's end of a channel. */
  var openChannel: (task: ChannelTask) => void
  var channel: BareChannel | undefined
  var honest: () => Comlink.Remote<Honest>
  var honestPeer: Comlink.Remote<Honest> | undefined
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

globalThis.carve = async (base) => {
  const worker = new Worker(new URL('./carving.worker.ts', import.meta.url), { type: 'module' })
  try {
    return await Comlink.wrap<Carving>(worker).times(base)
  } finally {
    worker.terminate()
  }
}

globalThis.openChannel = (task) => {
  globalThis.channel = new BareChannel(task)
}

globalThis.honest = () => Comlink.wrap<Honest>(new Worker(new URL('./honest.worker.ts', import.meta.url), { type: 'module' }))
