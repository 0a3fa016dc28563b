/**
 * A commit to a store that may be away for a moment: the same writes again until it answers. A commit sent twice changes
 * nothing, so whether the first one arrived need not be known.
 */
import { asError } from '../protocol/errors.ts'
import type { Store, Write } from './store.ts'

/** A database that fails over is back within half a minute; an answer's receipt waits that long. */
export const commitTries = 30
const pauseMs = 1_000

/**
 * @param signal ends the waiting: one more try is made, then the failure is thrown
 * @throws ManyhandsError unavailable when the store has been away too long; what else it throws at once
 */
export async function patientCommit(
  store: Pick<Store, 'commit'>,
  { cell, epoch, writes }: { readonly cell: string; readonly epoch: number; readonly writes: readonly Write[] },
  signal: AbortSignal,
  pause: (ms: number, signal: AbortSignal) => Promise<void> = waited,
): Promise<'ok' | 'stale'> {
  for (let left = commitTries; ; left--) {
    try {
      return await store.commit(cell, epoch, writes)
    } catch (thrown) {
      if (asError(thrown).code !== 'unavailable' || left <= 1 || signal.aborted) throw thrown
    }
    await pause(pauseMs, signal)
  }
}

/** At most so long; no longer once the signal says so. */
function waited(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}
