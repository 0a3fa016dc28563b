/**
 * A stage in a dedicated worker of the page, spoken to by Comlink. Channels are transferred to it, so tensors never touch the
 * page's main thread; ending it ends whatever computes, at once.
 */
import * as Comlink from 'comlink'
import { deferred } from '../../link/deferred.ts'
import type { StageApi, StageEvent, StageRequest } from '../../worker/api.ts'
import type { StageHost } from './stage-host.ts'

/** The worker is asked this often whether it still answers. */
const askMs = 10_000
/** Turns without an answer after which it hangs: no load or run takes two minutes. Turns, since a machine that slept has none. */
const mostTurns = 12

/** @param worker freshly started, and runs worker/entry.ts: where its script comes from depends on how this is built */
export function workerHost(worker: Worker): StageHost {
  const remote = Comlink.wrap<StageApi>(worker)
  const crashed = deferred<Error>()
  worker.onerror = (event) => crashed.resolve(new Error(event.message || 'The compute worker crashed.'))
  worker.onmessageerror = () => crashed.resolve(new Error('The compute worker sent something unreadable.'))
  let turns = 0
  const asking = setInterval(() => {
    turns += 1
    if (turns === 1) void remote.alive().then(() => (turns = 0))
    else if (turns > mostTurns) crashed.resolve(new Error('The compute worker does not answer any more.'))
  }, askMs)
  const api: StageApi = {
    load: (request: StageRequest, onEvent: (event: StageEvent) => void) => remote.load(request, Comlink.proxy(onEvent)),
    addChannel: (id, channel, terms) => void remote.addChannel(id, Comlink.transfer(channel, [channel]), terms),
    bindChannel: (id, fingerprints) => void remote.bindChannel(id, fingerprints),
    dropChannel: (id) => void remote.dropChannel(id),
    openSession: (ticket) => remote.openSession(ticket),
    closeSession: (session) => void remote.closeSession(session),
    probe: (session) => remote.probe(session),
    shadow: (ticket) => void remote.shadow(ticket),
    reveal: (reveal) => void remote.reveal(reveal),
    closeShadow: (shadow) => void remote.closeShadow(shadow),
    setServerKeys: (keys) => void remote.setServerKeys(keys),
    setPower: (power) => void remote.setPower(power),
    setPaused: (paused) => void remote.setPaused(paused),
    stats: () => remote.stats(),
    alive: () => remote.alive(),
    stop: () => remote.stop(),
  }
  return {
    api,
    crashed: crashed.promise,
    end: async () => {
      clearInterval(asking)
      remote[Comlink.releaseProxy]()
      worker.terminate()
    },
  }
}
