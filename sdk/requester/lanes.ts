/**
 * Bulk work: many pieces, a few at once, so that several pipelines are kept at it. Where all places are taken a piece waits and
 * comes again; the first that fails otherwise stops the rest.
 */
import { asError } from '../../protocol/errors.ts'
import { abortable } from './abortable.ts'

/** Sessions at once: half of what one requester may have in a queue (admission's `perRequester`), so that it can ask beside. */
export const lanes = 4
/** Times that one piece comes again when it hears `busy`: with a second between them at the least, half a minute's patience. */
const maxBusy = 30
/** Where `busy` does not say when to come again, ms. */
const againMs = 1_000

/**
 * @param work with a signal that ends with the caller's, and when another piece has failed
 * @throws ManyhandsError what the first failing piece threw; aborted
 */
export async function inLanes<P>(
  pieces: readonly P[],
  work: (piece: P, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const stop = new AbortController()
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal
  let next = 0
  const lane = async () => {
    while (next < pieces.length) {
      const piece = pieces[next++] as P
      await whenFree(() => work(piece, both), both)
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(lanes, pieces.length) }, lane))
  } catch (thrown) {
    // Only then: what is asked again later, because it was found wrong, goes by the same signal.
    stop.abort()
    throw thrown
  }
}

async function whenFree(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (let busy = 1; ; busy++) {
    try {
      return await abortable(work(), signal)
    } catch (thrown) {
      const { code, retryAfterMs = againMs } = asError(thrown)
      if (code !== 'busy' || busy > maxBusy) throw thrown
      let timer: ReturnType<typeof setTimeout> | undefined
      await abortable(new Promise<void>((resolve) => (timer = setTimeout(resolve, retryAfterMs))), signal).finally(() =>
        clearTimeout(timer),
      )
    }
  }
}
