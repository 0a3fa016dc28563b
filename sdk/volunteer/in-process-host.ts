/**
 * A stage in this very process, for Node: its WebRTC channels can't be handed to a thread. Runs block the event loop for their
 * length; ending it frees what garbage collection can.
 */
import { deferred } from '../../link/deferred.ts'
import { StageService, type LoadStage } from '../../worker/stage-service.ts'
import type { StageHost } from './stage-host.ts'

export function inProcessHost(loadStage: LoadStage): StageHost {
  const service = new StageService(loadStage)
  return { api: service, crashed: deferred<Error>().promise, end: () => service.stop() }
}
